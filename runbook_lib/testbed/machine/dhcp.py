"""The cluster network's DHCP server: leases in memory only, handed out first come first served.

A node keeps its address until the server forgets its leases. ``shuffle`` works out an order of
arrival in which none of the chosen nodes gets the address that it had.
"""

from __future__ import annotations

import ipaddress
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.machine.network import CLUSTER_BRIDGE

_LEASE_TIME = "12h"
_ACKNOWLEDGED = re.compile(r"DHCPACK\(\S+\) (\S+) ([0-9a-f:]{17})")


def start(layout: Layout, rootfs: Path, reservations: Mapping[str, str]) -> Process:
    """Start the server, which has no leases yet.

    Args:
        reservations: addresses that only one node may get, by the MAC address of that node.

    Raises:
        TestbedError: it ended at once; the message ends with its log.
    """
    first, last = layout.pool
    argv = [
        "nsenter",
        f"--net=/run/netns/{layout.switch_namespace}",
        "chroot",
        str(rootfs),
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
        "--port=0",
        f"--interface={CLUSTER_BRIDGE}",
        "--bind-interfaces",
        f"--dhcp-range={first},{last},{layout.cluster.netmask},{_LEASE_TIME}",
        "--dhcp-sequential-ip",
        "--dhcp-authoritative",
        # Sequential without a ping: the first client gets the lowest address, at once.
        "--no-ping",
        # To a client without an address a unicast needs a neighbour entry, and the kernel's table, which
        # all namespaces share, may be full: many containers on one machine fill it.
        "--dhcp-broadcast",
        "--leasefile-ro",
        # A host-only network: no router, no name server.
        "--dhcp-option=3",
        "--dhcp-option=6",
        "--log-dhcp",
        "--log-facility=-",
        *(f"--dhcp-host={mac},{address}" for mac, address in sorted(reservations.items())),
    ]
    # Only this server's own leases count.
    layout.dhcp_log.write_text("")
    process = host.spawn(argv, layout.dhcp_log)
    _wait_until_serving(process, layout)
    return process


def stop(process: Process) -> None:
    """End the server.

    Raises:
        TestbedError: it does not end.
    """
    process.send(signal.SIGTERM)
    if not process.wait(5.0):
        raise TestbedError(f"the DHCP server (process {process.pid}) does not end", remedy=f"kill -9 {process.pid}")


def _wait_until_serving(process: Process, layout: Layout) -> None:
    """Wait until the server has opened its socket."""
    if process.wait(0.0):
        raise TestbedError("the DHCP server ended at once", log_tail=host.tail_of(layout.dhcp_log))
    for _ in range(500):
        if _has_dhcp_socket(process):
            return
        if process.wait(0.01):
            raise TestbedError("the DHCP server ended at once", log_tail=host.tail_of(layout.dhcp_log))
    raise TestbedError("the DHCP server does not listen after 5 s", log_tail=host.tail_of(layout.dhcp_log))


def _has_dhcp_socket(process: Process) -> bool:
    try:
        table = Path(f"/proc/{process.pid}/net/udp").read_text()
    except OSError:
        return False
    # Before nsenter has entered the switch's namespace this is the host's table, which may have a server too.
    entered = Path(f"/proc/{process.pid}/comm").read_text().strip() == "dnsmasq"
    return entered and any(line.split()[1].endswith(":0043") for line in table.splitlines()[1:])


def parse_leases(log: str) -> dict[str, str]:
    """The address last given to each MAC address, from the server's log."""
    return {mac: address for address, mac in _ACKNOWLEDGED.findall(log)}


@dataclass(frozen=True)
class Shuffle:
    """The order of requests to a server without leases, and the server's configuration.

    ``order`` names the nodes; ``blocked`` are addresses that no node may get; ``expected`` are the resulting ones.
    """

    order: tuple[str, ...]
    blocked: tuple[str, ...]
    expected: Mapping[str, str]


def shuffle(held: Mapping[str, str], pool: tuple[str, str], reserved: Sequence[str] = ()) -> Shuffle:
    """Plan the arrival of nodes so that none gets the address that it held.

    Args:
        held: the address that each chosen node had; nodes without one have "".
        pool: first and last address of the pool.
        reserved: addresses in the pool that other nodes keep.

    Raises:
        TestbedError: the pool is too small.
    """
    names = sorted(held, key=lambda name: (held[name] == "", _number(held[name]), name))
    for blocked in _blockings([held[name] for name in names if held[name]]):
        free = _free(pool, {*reserved, *blocked}, len(names))
        for turn in range(len(names)):
            order = [*names[turn:], *names[:turn]]
            expected = dict(zip(order, free, strict=False))
            if len(free) == len(names) and all(expected[name] != held[name] for name in names):
                return Shuffle(tuple(order), tuple(blocked), expected)
    raise TestbedError(
        f"the DHCP pool {pool[0]}-{pool[1]} is too small to give {len(names)} nodes other addresses",
        remedy="use a larger --subnet or fewer nodes",
    )


def _blockings(addresses: Sequence[str]) -> Iterator[Sequence[str]]:
    """Nothing, each held address alone, then all of them: the mildest that makes every node move is used."""
    yield ()
    for address in addresses:
        yield (address,)
    yield addresses


def _free(pool: tuple[str, str], taken: set[str], count: int) -> list[str]:
    found = []
    for number in range(_number(pool[0]), _number(pool[1]) + 1):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            found.append(address)
            if len(found) == count:
                break
    return found


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address)) if address else 0


def blocking_mac(index: int) -> str:
    """A MAC address that no node has, to block an address."""
    return f"02:ff:ff:ff:ff:{index:02x}"
