"""Names and addresses as Docker and DNS accept them, checked before they get near a host."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

_OBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9_./:@-]{0,254}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


def _object_name(value: str) -> str:
    if not _OBJECT_NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name that Docker takes: a letter or digit, then letters, digits, '_', '.' or '-'"
        )
    return value


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
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


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 address") from error


def _subnet(value: str) -> str:
    try:
        return str(ipaddress.IPv4Network(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 subnet such as 192.168.99.0/24 ({error})") from error


ObjectName = Annotated[str, AfterValidator(_object_name)]
HostName = Annotated[str, AfterValidator(_host_name)]
ImageReference = Annotated[str, AfterValidator(_image)]
InterfaceName = Annotated[str, AfterValidator(_interface)]
Address = Annotated[str, AfterValidator(_address)]
Subnet = Annotated[str, AfterValidator(_subnet)]
