"""A docker-machine store: one folder a machine, each with a ``config.json``.

The fields are those of docker/machine (libmachine: ``host.Host``, ``drivers.BaseDriver``, ``engine.Options``,
``swarm.Options``, ``auth.Options``). Stores outlive their programs: files of all ages lie in them, with fields that are
missing, null or empty, and with paths of the computer on which the machine was made.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.errors import Fault, InputError, ParameterError

STORE_VARIABLE = "MACHINE_STORAGE_PATH"
_CONFIG = "config.json"
_ENGINE_PORT = 2376
# The drivers that start boot2docker.iso; its user is docker, where other drivers have root.
BOOT2DOCKER_DRIVERS = frozenset(
    ("hyperkit", "hyperv", "kvm", "parallels", "virtualbox", "vmware", "vmwarefusion", "vmwarevsphere", "xhyve")
)
_DEFAULT_HOST_ONLY = "192.168.99.1/24"


@dataclass(frozen=True)
class SwarmRole:
    """What a machine is in a classic swarm; ``endpoint`` is where a manager listens, ``tcp://0.0.0.0:3376``."""

    member: bool
    manager: bool
    endpoint: str
    discovery: str


@dataclass(frozen=True)
class Machine:
    """One machine.

    ``address`` is empty where docker-machine did not know it (the machine was off). ``key_file`` is ``None`` where the
    store has no key: the driver then used ssh-agent. ``ca``, ``cert`` and ``key`` are ``None`` where a file is missing.
    ``flags`` are dockerd's options of the store: ``cluster-store``, ``cluster-advertise``.
    ``host_only`` is VirtualBox's network, with the address of the computer on it: ``192.168.99.1/24``. ``config`` is
    the file that says all this.
    """

    name: str
    driver: str
    address: str
    ssh_host: str
    ssh_port: int
    ssh_user: str
    key_file: Path | None
    ca: Path | None
    cert: Path | None
    key: Path | None
    engine_port: int
    flags: Mapping[str, str]
    swarm: SwarmRole
    host_only: str = ""
    dhcp: bool = False
    config: str = ""

    @property
    def boot2docker(self) -> bool:
        """Whether its driver starts boot2docker."""
        return self.driver in BOOT2DOCKER_DRIVERS


def default_store() -> Path:
    """Where docker-machine keeps its machines: ``MACHINE_STORAGE_PATH``, else ``~/.docker/machine``."""
    named = os.environ.get(STORE_VARIABLE)
    return Path(named).expanduser() if named else Path("~/.docker/machine").expanduser()


def read_store(store: Path, names: Sequence[str] = ()) -> tuple[Machine, ...]:
    """The machines of a store, or those of the given names, in the order of their names or as given.

    Raises:
        InputError: the folder is not a store, or lacks a named machine.
        ParameterError: machines whose ``config.json`` cannot be used, each with its place.
    """
    store = store.absolute()
    folders = _folders(store)
    absent = [name for name in names if name not in folders]
    if absent:
        raise InputError(
            f"there is no machine {absent[0]!r} in this store",
            place=str(store),
            remedy=f"its machines are {', '.join(folders)}",
        )
    machines, faults = list[Machine](), list[Fault]()
    for name in dict.fromkeys(names or folders):
        try:
            machines.append(_read_machine(store, folders[name]))
        except InputError as error:
            faults.append(Fault(error.place, error.message))
    if faults:
        raise ParameterError(
            faults,
            place=str(store),
            remedy="remove the machine and create it again, or name the machines to import, without it",
        )
    return tuple(machines)


def _folders(store: Path) -> dict[str, Path]:
    """The machines' folders by name."""
    root = store / "machines"
    if not root.is_dir():
        what = "it has no folder 'machines'" if store.is_dir() else "there is no such folder"
        raise InputError(
            f"not a docker-machine store: {what}",
            place=str(store),
            remedy=f"name the folder above 'machines' with --store, or set {STORE_VARIABLE} as docker-machine has it",
        )
    folders = {folder.name: folder for folder in sorted(root.iterdir(), key=_by_number) if folder.is_dir()}
    if not folders:
        raise InputError("this store has no machines", place=str(store), remedy="name another store with --store")
    return folders


def _by_number(folder: Path) -> list[tuple[int, str]]:
    """node2 before node10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"([0-9]+)", folder.name)]


def _read_machine(store: Path, folder: Path) -> Machine:
    place = str(folder / _CONFIG)
    config = _read_config(folder / _CONFIG, place)
    driver, options = _part(config, "Driver"), _part(config, "HostOptions")
    kind = _text(config, "DriverName")
    if not driver or not kind:
        raise InputError("it has no Driver with a DriverName: docker-machine did not create this machine", place=place)
    if kind == "none":
        raise InputError("its driver is 'none', a URL without SSH, and a node needs SSH", place=place)
    name, address = folder.name, _text(driver, "IPAddress")
    virtualbox = kind == "virtualbox"
    auth, files = _part(options, "AuthOptions"), _Files(store, folder)
    key_file = files.find(_text(driver, "SSHKeyPath"), "id_rsa") or files.find(_text(driver, "SSHKey"))
    ssh_port, engine_port = _port(driver, "SSHPort", 22, place), _port(driver, "EnginePort", _ENGINE_PORT, place)
    return Machine(
        name=name,
        driver=kind,
        # amazonec2 and its like: the address that the machines have among themselves
        address=_text(driver, "PrivateIPAddress") or address,
        # VirtualBox forwards a port of this computer; all others are reached at their address. A name that
        # does not resolve stands in for an address that is not known: nothing else is reached by mistake.
        ssh_host="127.0.0.1" if virtualbox else address or name,
        ssh_port=ssh_port,
        ssh_user=_text(driver, "SSHUser") or ("docker" if kind in BOOT2DOCKER_DRIVERS else "root"),
        key_file=key_file,
        ca=files.find(_text(auth, "CaCertPath"), "ca.pem"),
        cert=files.find(_text(auth, "ClientCertPath"), "cert.pem"),
        key=files.find(_text(auth, "ClientKeyPath"), "key.pem"),
        engine_port=engine_port,
        flags=_flags(_part(options, "EngineOptions").get("ArbitraryFlags")),
        swarm=_swarm(_part(options, "SwarmOptions"), driver),
        host_only=(_text(driver, "HostOnlyCIDR") or _DEFAULT_HOST_ONLY) if virtualbox else "",
        dhcp=virtualbox and not driver.get("HostOnlyNoDHCP"),
        config=place,
    )


def _read_config(path: Path, place: str) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError("there is no such file: creating this machine did not finish", place=place) from error
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})", place=place) from error
    except json.JSONDecodeError as error:
        where = f"{place}:{error.lineno}:{error.colno}"
        raise InputError(f"invalid JSON ({error.msg})", place=where) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError("not JSON text", place=place) from error
    if not isinstance(config, dict):
        raise InputError("it contains no keys and values", place=place)
    return config


@dataclass(frozen=True)
class _Files:
    """The files of one machine, wherever the store was when it was made."""

    store: Path
    folder: Path

    def find(self, recorded: str, *names: str) -> Path | None:
        """The file that was recorded, or one of these names; ``None`` if there is none.

        A path is looked for in this store first: what lies at the recorded one may belong to another computer's user.
        """
        path = recorded.replace("\\", "/")
        name = path.rpartition("/")[2]
        rebased = [
            self.store / part / path.rpartition(f"/{part}/")[2]
            for part in ("machines", "certs")
            if f"/{part}/" in path and ".." not in path
        ]
        candidates = [*rebased, *(self.folder / each for each in (*names, name) if each)]
        candidates += [self.store / "certs" / each for each in (name, *names) if each]
        candidates += [Path(path)] if path.startswith("/") else []
        return next((candidate for candidate in candidates if candidate.is_file()), None)


def _swarm(options: Mapping[str, Any], driver: Mapping[str, Any]) -> SwarmRole:
    """Files before version 1 have it only in the driver, and no ``IsSwarm``: a discovery service tells."""
    discovery = _text(options, "Discovery") or _text(driver, "SwarmDiscovery")
    manager = bool(options.get("Master") or driver.get("SwarmMaster"))
    return SwarmRole(
        member=bool(options.get("IsSwarm") or manager or discovery),
        manager=manager,
        endpoint=_text(options, "Host") or _text(driver, "SwarmHost"),
        discovery=discovery,
    )


def _flags(given: Any) -> dict[str, str]:
    """``["cluster-store=etcd://…"]``, as ``--engine-opt`` took them, by name."""
    flags = (str(flag).lstrip("-").partition("=") for flag in given or () if isinstance(flag, str))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in flags}


def _part(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = data.get(key)
    return part if isinstance(part, dict) else {}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value.strip() if isinstance(value, str) else ""


def _port(data: Mapping[str, Any], key: str, usual: int, place: str) -> int:
    value = data.get(key) or usual
    if not isinstance(value, int) or not 0 < value < 65536:
        raise InputError(f"{key} is {value!r}, which is not a port", place=place)
    return value
