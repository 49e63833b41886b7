"""A testbed's requirements of the machine, checked before any change; all faults are reported together."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from runbook_lib.errors import InputError, RequirementError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.model.locations import cache_root, state_root
from runbook_lib.testbed import state
from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine import host, network
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind
from runbook_lib.testbed.machine.layout import DEFAULT_NODES, MOST_NODES, Layout
from runbook_lib.testbed.machine.network import Claim
from runbook_lib.testbed.system_packages import missing_packages

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
_MEGABYTE = 1024 * 1024
_NODE_MEMORY = 140 * _MEGABYTE
_SPARE_MEMORY = 200 * _MEGABYTE
_NODE_DISK = 300 * _MEGABYTE
_CACHE_DISK = 1500 * _MEGABYTE

_KERNEL_PROBE = """
probe() { name=$1; shift; "$@" >/dev/null 2>&1 || echo "$name"; }
mkdir "$1/lower" "$1/upper" "$1/work" "$1/merged"
probe bridge ip link add name probe-bridge type bridge
probe veth ip link add name probe-veth type veth peer name probe-peer
probe vxlan ip link add name probe-vxlan type vxlan id 256 dstport 4789
probe overlayfs mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged"
"""
_MODULES = {"overlayfs": "overlay"}


def check_name(name: str) -> None:
    """Check that a name is valid for namespaces, machines and folders.

    Raises:
        InputError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a valid testbed name: a lower-case letter, then letters, digits and '-', at most 32",
            place="--name",
            remedy="give a name such as 'runbook'",
        )


def new_layout(name: str, node_count: int | None, subnet: str | None, kind: Kind = ARTICLES_KIND) -> Layout:
    """The layout of a new testbed, on subnets that are not in use on this machine.

    Raises:
        InputError: a bad name, number or subnet; a colliding subnet names what it collides with.
    """
    check_name(name)
    count = DEFAULT_NODES if node_count is None else node_count
    if not 1 <= count <= MOST_NODES:
        raise InputError(
            f"a testbed has 1 to {MOST_NODES} nodes, not {count}", place="--nodes", remedy="give another number"
        )
    claims = [*network.host_claims(), *_claims_of_testbeds()]
    cluster = network.choose_cluster(subnet, claims)
    management = network.choose_management([*claims, Claim(cluster, "this testbed's cluster network")])
    layout = Layout(name, count, cluster, management, kind)
    if layout.pool_size <= count:
        raise InputError(
            f"{cluster} leaves {layout.pool_size} addresses for DHCP, too few for {count} nodes",
            place="--subnet",
            remedy="give a larger subnet or fewer nodes",
        )
    return layout


def _claims_of_testbeds() -> Iterable[Claim]:
    """The subnets of other testbeds, also of those that are off."""
    for name in state.names():
        other = state.read(name)
        if other is not None:
            yield Claim(other.layout.cluster, f"testbed '{name}'")
            yield Claim(other.layout.management, f"testbed '{name}'")


def check_same(layout: Layout, node_count: int | None, subnet: str | None, kind: Kind | None = None) -> None:
    """Check that the requested testbed is the existing one.

    Raises:
        InputError: the name belongs to a testbed of another size, subnet or kind.
    """
    differences = []
    if node_count is not None and node_count != layout.node_count:
        differences.append(f"it has {layout.node_count} nodes, not {node_count}")
    if subnet is not None and subnet != network.AUTO and network.parse_subnet(subnet) != layout.cluster:
        differences.append(f"its subnet is {layout.cluster}, not {subnet}")
    if kind is not None and kind != layout.kind:
        differences.append(f"it has {layout.kind}, not {kind}")
    if differences:
        raise InputError(
            f"the name is in use by a testbed that exists: {' and '.join(differences)}",
            place=layout.name,
            remedy=f"take it down first ({command_on_testbed('down', layout.name)}), or give another --name",
        )


def check_machine(layout: Layout, *, new: bool) -> None:
    """Check that this machine meets the testbed's requirements.

    Raises:
        RequirementError: with all faults.
    """
    if platform.system() != "Linux":
        raise RequirementError(
            f"the testbed needs Linux, this is {platform.system()}", remedy="run it on a Linux machine or in a Linux VM"
        )
    if os.geteuid() != 0:
        raise RequirementError("the testbed needs root", remedy="run it as root or with sudo")
    faults = [*_missing_programs(layout.kind), *_kernel_lacks()]
    if new:
        faults += [*_name_in_use(layout), *_too_little(layout)]
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise RequirementError(
            f"this machine cannot carry the testbed, nothing was touched:{lines}",
            place=layout.name,
            remedy="mend each point above and try again",
        )


def _missing_programs(kind: Kind) -> list[str]:
    packages = missing_packages(kind)
    if not packages:
        return []
    names = " ".join(packages)
    return [f"missing: {', '.join(packages)}; install with: apt-get install -y --no-install-recommends {names}"]


def _kernel_lacks() -> list[str]:
    """The missing features of the kernel, tested in temporary namespaces."""
    if any(shutil.which(program) is None for program in ("unshare", "ip")):
        return []  # reported already as a missing package
    root = state_root()
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    # On the file system of the nodes' disks: overlayfs does not work on top of every file system.
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=root) as folder:
        argv = ["unshare", "--net", "--mount", "sh", "-c", _KERNEL_PROBE, "sh", folder]
        done = host.run(argv, check=False)
    if done.returncode != 0 and not done.stdout:
        return [f"the kernel refuses new network and mount namespaces: {host.tail(done.stderr, 2)}"]
    lacks = []
    for name in done.stdout.split():
        where = f" on {root}" if name == "overlayfs" else ""
        lacks.append(f"the kernel offers no {name}{where}; try: modprobe {_MODULES.get(name, name)}")
    return lacks


def _name_in_use(layout: Layout) -> list[str]:
    return [f"the name '{layout.name}' is in use: {thing} exists" for thing in network.leftovers(layout)]


def _too_little(layout: Layout) -> Iterable[str]:
    needed = layout.node_count * _NODE_MEMORY + _SPARE_MEMORY
    available = _available_memory()
    if available < needed:
        count = layout.node_count
        yield f"too little memory: {_megabytes(available)} available, {count} nodes need {_megabytes(needed)}"
    disk = {state_root(): layout.node_count * _NODE_DISK}
    if not rootfs.is_cached(rootfs.tree_of(layout.kind)):
        disk[cache_root()] = _CACHE_DISK
    for path, size in disk.items():
        free = shutil.disk_usage(_existing(path)).free
        if free < size:
            yield f"too little disk: {_megabytes(free)} free for {path}, {_megabytes(size)} needed"


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RequirementError("/proc/meminfo does not have the available memory", remedy="use a kernel of 3.14 or later")


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _megabytes(size: int) -> str:
    return f"{size // _MEGABYTE} MB"
