"""boot2docker: a marked block in ``bootsync.sh``, which takes effect at the next boot.

There is deliberately no "apply now". The engine advertises the address of its cluster interface, etcd's members listen
on and are configured with those addresses: changing one under a running engine cuts it off from its store and its
peers while everything still looks alive. A boot is the moment at which nothing depends on the address yet. It cannot
cost the node either: its other interface, over which docker-machine reaches it, is not touched.

The two blocks that steps put into boot2docker's boot scripts, as POSIX shell for busybox ash.

boot2docker runs both files with ``sh FILE``: ``bootsync.sh`` before dockerd (and waits for it), ``bootlocal.sh``
after dockerd (in the background). Each block is a subshell, so that it leaks no variable into the rest of the file and
cannot end it, and notes its outcome in ``LOG``, which survives a reboot.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from ipaddress import IPv4Network
from string import Template
from typing import ClassVar

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes.etcd.access import PLAIN, StoreAccess
from runbook_lib.facts.host.addresses import BOOTSYNC
from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.base import Say
from runbook_lib.steps.platforms.base import Change, Platform, Wanted
from runbook_lib.steps.platforms.blocks import (
    Restoration,
    check_markers,
    find_block,
    outside_blocks,
    put_block,
    remove_block,
    restore,
    write_boot_script,
)

STATIC_ADDRESS = "static-address"
ETCD_AUTOSTART = "etcd-autostart"
LOG = "/var/lib/boot2docker/log/overlay-runbook.log"
ENGINE_PATIENCE_SECONDS = 120
PEER_PATIENCE_SECONDS = 20

_PRELUDE = """\
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    say() {
        mkdir -p "$${log%/*}"
        echo "$$(date -u +%Y-%m-%dT%H:%M:%SZ) $block: $$*" >>"$$log"
    }
"""

_STATIC_ADDRESS = Template(
    """\
# Gives $interface the fixed address $address. To undo, delete the lines between the markers and reboot.
(
    log=$log
    interface=$interface address=$address prefix_length=$length netmask=$netmask broadcast=$broadcast
"""
    + _PRELUDE
    + """\
    is_client() {
        set -f
        # Words of a command line, split on purpose.
        # shellcheck disable=SC2046
        set -- $$(tr '\\000' ' ' 2>/dev/null <"/proc/$$1/cmdline")
        set +f
        if [ "$${1##*/}" = busybox ]; then shift; fi
        if [ "$${1##*/}" != udhcpc ]; then return 1; fi
        case " $$* " in
        *" -i $$interface "* | *" -i$$interface "* | *" --interface $$interface "* | *" --interface=$$interface "*) ;;
        *) return 1 ;;
        esac
    }
    stop_client() {
        kill "$$1" || return
        tries=0
        while is_client "$$1" && [ "$$tries" -lt 30 ]; do
            tries=$$((tries + 1))
            sleep 0.1 2>/dev/null || sleep 1
        done
        if is_client "$$1"; then kill -9 "$$1"; fi
        say "stopped the DHCP client (pid $$1) of $$interface"
    }

    # The pid is read now, at boot: an earlier one may be another process's. A client without a pid file is looked for
    # as well.
    pids=$$(cat "/var/run/udhcpc.$$interface.pid" 2>/dev/null)
    # shellcheck disable=SC2013
    for file in $$(grep -ls udhcpc /proc/[0-9]*/cmdline); do
        file=$${file#/proc/}
        pids="$$pids $${file%/cmdline}"
    done
    for pid in $$pids; do
        if is_client "$$pid"; then stop_client "$$pid"; fi
    done

    # The address is replaced, not added: docker-machine takes the first that it finds.
    if command -v ip >/dev/null; then
        gateway=$$(ip route show dev "$$interface" | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')
        ip -f inet addr flush dev "$$interface"
        ip addr add "$$address/$$prefix_length" broadcast "$$broadcast" dev "$$interface"
        status=$$?
        ip link set "$$interface" up
        if [ -n "$$gateway" ]; then ip route add default via "$$gateway" dev "$$interface"; fi
    else
        ifconfig "$$interface" 0.0.0.0
        ifconfig "$$interface" "$$address" netmask "$$netmask" broadcast "$$broadcast" up
        status=$$?
    fi
    if [ "$$status" -eq 0 ]; then say "$$interface has $$address"; else say "$$interface did not take $$address"; fi

    # Tells the neighbours, whose ARP tables may still have the address's previous MAC. Several times, because a
    # neighbour that boots now may for a moment have been lent this very address by DHCP.
    if command -v busybox >/dev/null; then
        busybox arping -q -A -c 5 -I "$$interface" "$$address" </dev/null >/dev/null 2>&1 &
    fi
)
"""
)

_ETCD_AUTOSTART = Template(
    """\
# Starts this node's etcd containers once the engines answer. To undo, delete the lines between the markers.
(
    log=$log
    members='$members' peers='$peers' client='$client'
    patience=$patience peer_patience=$peer_patience
"""
    + _PRELUDE
    + """\
    uptime() {
        read -r seconds rest </proc/uptime
        echo "$${seconds%%.*}"
    }

    started=$$(uptime)
    until docker version >/dev/null 2>&1; do
        if [ "$$(($$(uptime) - started))" -ge "$$patience" ]; then
            say "the engine did not answer within $$patience s: nothing was started"
            exit 1
        fi
        sleep 0.2 2>/dev/null || sleep 1
    done

    # A member alone has no quorum: it takes requests and answers none, and an engine that starts meanwhile waits half
    # a minute for its store. So the members start once the engines of the other members are up as well.
    if ! command -v busybox >/dev/null; then peers=; fi
    started=$$(uptime)
    for peer in $$peers; do
        until busybox nc -w 1 "$${peer%:*}" "$${peer##*:}" </dev/null >/dev/null 2>&1; do
            if [ "$$(($$(uptime) - started))" -ge "$$peer_patience" ]; then
                say "no engine at $$peer within $$peer_patience s: starting without it"
                break
            fi
            sleep 0.2 2>/dev/null || sleep 1
        done
    done

    # Starting all at once is not enough: the first member listens before the others do, and an engine that asks it then
    # starts no container for half a minute. So its client port refuses, which an engine does not mind, until the
    # members have a leader. The node itself is let through, to ask for their health.
    door() {
        iptables -w "$$1" INPUT ! -i lo -p tcp --dport "$${client##*:}" -j REJECT --reject-with tcp-reset 2>/dev/null
    }
    healthy() {
        $ask 2>/dev/null </dev/null | grep -q true
    }
    shut=
    trap 'if [ -n "$$shut" ]; then door -D; fi' EXIT
    trap 'exit 1' HUP INT TERM
    if [ -n "$$peers" ] && [ -n "$$client" ]$able && door -I; then shut=yes; fi
    for member in $$members; do
        if error=$$(docker start "$$member" 2>&1 >/dev/null); then
            say "started $$member"
        else
            say "could not start $$member: $$error"
        fi
    done
    started=$$(uptime)
    while [ -n "$$shut" ] && ! healthy; do
        if [ "$$(($$(uptime) - started))" -ge "$$peer_patience" ]; then
            say "no leader within $$peer_patience s: $$client is opened without one"
            break
        fi
        sleep 0.2 2>/dev/null || sleep 1
    done
)
"""
)


def static_address(interface: str, address: str, subnet: IPv4Network) -> str:
    """The block for ``bootsync.sh``: ends the interface's DHCP client and replaces its address."""
    return _STATIC_ADDRESS.substitute(
        log=LOG,
        interface=interface,
        address=address,
        length=subnet.prefixlen,
        netmask=subnet.netmask,
        broadcast=subnet.broadcast_address,
        block=STATIC_ADDRESS,
    )


def etcd_autostart(
    members: Sequence[str],
    peers: Sequence[str] = (),
    client: str = "",
    access: StoreAccess = PLAIN,
    *,
    patience_seconds: int = ENGINE_PATIENCE_SECONDS,
    peer_patience_seconds: int = PEER_PATIENCE_SECONDS,
) -> str:
    """The block for ``bootlocal.sh``: waits, bounded, for the engines, then starts these containers.

    ``peers`` are the engines (``address:port``) of the nodes that hold the other members, ``client`` is where this
    node's member serves the engines (``address:port``): it refuses them until there is a leader. ``access`` is how
    the engine speaks to it, and so how the block asks for its health.
    """
    return _ETCD_AUTOSTART.substitute(
        log=LOG,
        members=" ".join(members),
        peers=" ".join(peers),
        client=client,
        ask=_ask(access),
        # without curl the script cannot test when to open the port again
        able=" && command -v curl >/dev/null" if access.secure else "",
        patience=patience_seconds,
        peer_patience=peer_patience_seconds,
        block=ETCD_AUTOSTART,
    )


def _ask(access: StoreAccess) -> str:
    if not access.secure:
        return 'busybox wget -q -O - "http://$client/health"'
    ca, certificate, key = (shlex.quote(path) for path in (access.authority, access.certificate, access.key))
    files = f"--cacert {ca} --cert {certificate} --key {key}"
    return f"curl -q -sf -m 3 --noproxy '*' {files} \"https://$client/health\""


def address_lines(text: str | None, interface: str) -> tuple[str, ...]:
    """Lines outside our blocks that set an interface's address or end its DHCP client, as the article's do.

    Each as ``line 5: ifconfig eth1 192.168.99.104 …``, counted without our blocks.
    """
    name = re.escape(interface)
    return _foreign(text, rf"\b(ifconfig|ip\s.*\baddr\w*\b.*)\s+(dev\s+)?{name}\b|udhcpc[.\w-]*{name}|\bkill\b.*udhcpc")


def start_lines(text: str | None, members: Sequence[str]) -> tuple[str, ...]:
    """Lines outside our blocks that start one of the members, as the article's do; as ``address_lines`` gives them."""
    names = "|".join(re.escape(member) for member in members)
    return _foreign(text, rf"\bdocker\s+(container\s+)?(re)?start\b.*\b({names})\b") if members else ()


def _foreign(text: str | None, pattern: str) -> tuple[str, ...]:
    lines = enumerate(outside_blocks(text).split("\n"), start=1)
    found = ((number, line.strip()) for number, line in lines)
    return tuple(
        f"line {number}: {line}" for number, line in found if not line.startswith("#") and re.search(pattern, line)
    )


_ADDRESS = re.compile(r"^    interface=\S+ address=(\S+) ", re.MULTILINE)


class Boot2docker(Platform):
    """Hosts that docker-machine makes."""

    name: ClassVar[PlatformName] = "boot2docker"
    live = False
    ours = "block in bootsync.sh"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our block is in ``bootsync.sh``."""
        text = host.file(BOOTSYNC).text
        check_markers(host.node, BOOTSYNC, text, STATIC_ADDRESS)
        return find_block(text, STATIC_ADDRESS) is not None

    def describe(self, host: HostNetwork, prefix: IPv4Network) -> str:
        """What ``bootsync.sh`` does at the next boot: our block, else other lines, else nothing (DHCP)."""
        text = host.file(BOOTSYNC).text
        body = find_block(text, STATIC_ADDRESS)
        if body is None:
            foreign = address_lines(text, host.interface)
            return f"bootsync.sh {foreign[-1]}" if foreign else "DHCP at boot"
        found = _ADDRESS.search(body)
        if found and body == static_address(host.interface, found[1], prefix):
            return f"static {found[1]} at boot"
        return "another static-address block"

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """``bootsync.sh`` with the block."""
        file = host.file(BOOTSYNC)
        body = static_address(wanted.interface, wanted.address, wanted.prefix)
        return (file.with_text(put_block(file.text, STATIC_ADDRESS, body), mode=0o755),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """``bootsync.sh`` without the block."""
        file = host.file(BOOTSYNC)
        return (file.with_text(remove_block(file.text, STATIC_ADDRESS)),)

    def apply(self, cluster: Cluster, node: Node, change: Change, seconds: float, say: Say) -> None:
        """Write the file, or what is left of it."""
        for file in change.files:
            text = file.after.text
            if text is not None and find_block(text, STATIC_ADDRESS) is not None:
                write_boot_script(node, file.path, text)
            else:
                restore(node, Restoration(file.path, text))
