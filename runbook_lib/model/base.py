"""What all models read from a file share: fields, numbers, names, addresses, URLs, kinds of host and control plane."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

FilePath = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of everything read from a file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"this must be a number, and is read as {str(value).lower()}")
    return value


WholeNumber = Annotated[int, BeforeValidator(_no_truth_value)]
Port = Annotated[WholeNumber, Field(ge=1, le=65535)]
Seconds = Annotated[float, BeforeValidator(_no_truth_value), Field(gt=0, le=3600, allow_inf_nan=False)]


PlatformName = Literal["boot2docker", "systemd-networkd", "netplan", "NetworkManager", "ifupdown"]
"""How a host boots and gets its addresses."""

ControlPlaneName = Literal["etcd", "swarm-mode", "classic-swarm"]
"""Where engines keep an overlay's state: a store of their own making, Swarm mode's raft, or etcd below a manager that
schedules over all engines."""


_OBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9_./:@-]{0,254}")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_REACHABLE_AT = re.compile(r"[A-Za-z0-9_:]([A-Za-z0-9_.:-]{0,251}[A-Za-z0-9_:])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
# Docker makes or reserves these; a user's overlay cannot be called so.
_RESERVED_NETWORKS = ("bridge", "default", "docker_gwbridge", "host", "ingress", "none")


def _object_name(value: str) -> str:
    if not _OBJECT_NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name that Docker takes: a letter or digit, then letters, digits, '_', '.' or '-'"
        )
    return value


def _network_name(value: str) -> str:
    if value in _RESERVED_NETWORKS:
        raise ValueError(f"{value!r} is a network of Docker's own: choose another name")
    return _object_name(value)


def is_host_name(value: str) -> bool:
    """True for a name that can be one label of DNS."""
    return _HOST_NAME.fullmatch(value) is not None


def _host_name(value: str) -> str:
    if not is_host_name(value):
        raise ValueError(f"{value!r} is not a host name: lower-case letters, digits and inner '-' only")
    return value


def _image(value: str) -> str:
    if not _IMAGE.fullmatch(value):
        raise ValueError(f"{value!r} is not an image reference such as 'alpine' or 'alpine:3.20'")
    return value


def _interface(value: str) -> str:
    if not _INTERFACE.fullmatch(value):
        raise ValueError(f"{value!r} is not a network interface name (1 to 15 letters, digits, '_', '.', '-')")
    return value


def _reachable_at(value: str) -> str:
    if not _REACHABLE_AT.fullmatch(value):
        raise ValueError(f"{value!r} is neither an address nor a host name")
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError(f"{value!r} is not a user name: a letter, then letters, digits, '_', '.' or '-'")
    return value


def parse_address(value: str) -> str:
    """The IPv4 address, in its usual form. Raises ``ValueError``."""
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 address") from error


def _subnet(value: str) -> str:
    try:
        if "/" not in value:
            raise ValueError(value)  # it would be taken for a subnet of one address
        return str(ipaddress.IPv4Network(value))
    except ValueError as error:
        why = ": it has host bits set" if "host bits" in str(error) else ""
        raise ValueError(f"{value!r} is not an IPv4 subnet such as 192.168.99.0/24{why}") from error


ObjectName = Annotated[str, AfterValidator(_object_name)]
NetworkName = Annotated[str, AfterValidator(_network_name)]
HostName = Annotated[str, AfterValidator(_host_name)]
ImageReference = Annotated[str, AfterValidator(_image)]
InterfaceName = Annotated[str, AfterValidator(_interface)]
Address = Annotated[str, AfterValidator(parse_address)]
Subnet = Annotated[str, AfterValidator(_subnet)]
ReachableAt = Annotated[str, AfterValidator(_reachable_at)]
UserName = Annotated[str, AfterValidator(_user)]


_URL = re.compile(r"etcd://([^/\s]+)(/\S*)?")


@dataclass(frozen=True)
class EtcdUrl:
    """The ``members`` of a store as the URL names them, and the ``prefix`` of the keys in it."""

    members: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        """Host and port of each member; ``None`` where the URL names no port."""
        parts = [member.rpartition(":") if ":" in member else (member, "", "") for member in self.members]
        return tuple((host, int(port) if port.isdecimal() else None) for host, _, port in parts if host)


def parse_etcd_url(url: str) -> EtcdUrl:
    """The members and the prefix in an engine's ``--cluster-store``; no members when that is not an etcd URL."""
    match = _URL.fullmatch(url)
    return (
        EtcdUrl() if match is None else EtcdUrl(tuple(filter(None, match[1].split(","))), (match[2] or "").strip("/"))
    )
