"""What the platforms of systemd hosts share: a change takes effect at once, under the protection of a guard.

Why at once, where boot2docker waits for the next boot: here the file may concern the only interface by which the node
is reached, and a mistake that shows at some later, unattended boot costs the node. Taken up now, it is proved, or
undone by the node itself, while somebody looks. An engine whose address changes by it has to be restarted afterwards;
notebook 01 restarts the nodes right after, which also proves that the file persists.

Changes a node's network so that the node cannot be lost: a guard on the node itself undoes what is not confirmed.

Before anything changes, the old files, a script and a systemd unit are put under ``/var/lib/overlay-runbook/guard`` on
the node, and a timer is started there. The change itself runs on the node as a unit of its own, because the connection
that asked for it may end with it. Only a *new* SSH connection that finds what is wanted confirms. When nobody does (a
wrong address, a wrong gateway, a runbook that was killed), the timer puts back exactly the old files and has the
network manager take them up; after a power cut in between, the unit does so before the network is up.

A guard that has done its work, either way, leaves nothing behind.
"""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from ipaddress import IPv4Network
from time import sleep
from uuid import uuid4

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, DeadlineError, NodeError, RunbookError
from runbook_lib.facts.host.addresses import arp_owner, read_cluster_address
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.parameters import Timeouts
from runbook_lib.steps.base import Say, in_one_line
from runbook_lib.steps.platforms.base import Change, Platform
from runbook_lib.waiting import Deadline

HOME = "/var/lib/overlay-runbook/guard"
LOG_REMEDY = "its log: journalctl -u overlay-runbook-alarm -u overlay-runbook-change -u overlay-runbook-guard"
_SCRIPT = f"{HOME}/guard.sh"
_BUSY = 75
_TOO_LATE = 76
_CONNECT_SECONDS = 3.0
_COMMAND_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_HEALING_SECONDS = 60.0

_ARM = """\
umask 077
mkdir -p "$1" && base64 -d | tar -xf - -C "$1" && cd "$1" && sh ./guard.sh arm && exit
status=$?
rm -rf "$1"
exit "$status"
"""
_BEGIN = (
    f"systemd-run --quiet --collect --no-block --unit=overlay-runbook-change /bin/sh {_SCRIPT} change"
    f" || exit; echo begun"
)
_OUTCOME = f"""\
if [ -e {HOME}/outcome ]; then
    cat {HOME}/outcome {HOME}/change.log
elif [ ! -e {HOME} ]; then
    echo gone
fi
"""

Trouble = Callable[[Node], str]
"""What a node still lacks over a new connection, in a few words; empty if it is as wanted."""


def change_under_guard(
    node: Node,
    work: Change,
    settings: Mapping[str, str],
    timeouts: Timeouts,
    *,
    seconds: float,
    trouble: Trouble,
    say: Say,
) -> None:
    """Change a node's files, have its network manager take them up, and confirm; else the node undoes it.

    Args:
        node: the node; its connections are closed by it.
        work: the files.
        settings: those of the guard's script: manager, connection, connection_before.
        timeouts: those of the run; attempts to reach the node again are shorter.
        seconds: how long the guard waits for the confirmation.
        trouble: what the fresh reading must show.
        say: hears how far it is.

    Raises:
        NodeError: the change was not confirmed and the node has restored its old configuration, or it cannot be
            guarded, and then nothing was changed.
        DeadlineError: the change was not confirmed, and the node cannot be reached to see whether it healed.
    """
    say("arming the guard")
    deadline = Deadline(seconds)
    _arm(node, unpackable(work, settings, seconds))
    say("changing the network")
    try:
        node.ssh.script(_BEGIN, sudo=True)
    except RunbookError as error:
        # The connection may end with the change that it asked for: whether this began, the node will tell.
        why = in_one_line(error)
    else:
        why = "the node was not reached again"
    finally:
        node.close()
    probe = _probe(node, timeouts)
    try:
        while not deadline.passed:
            say("connecting to the node with its new configuration")
            found = _still_wrong(probe, trouble)
            # What is read when the time is over may be of a node that restores its configuration at this moment.
            if found == _HEALED or (found and deadline.passed):
                break
            why = found
            if not why:
                say("confirming")
                why = _confirm(probe)
                if not why:
                    return
                break
            if why.startswith(_FATAL):
                break
            sleep(_PAUSE_SECONDS)
        say("waiting for the node to restore its old configuration")
        _wait_until_healed(probe, why)
    finally:
        probe.close()
        node.close()
    raise NodeError(
        node.name,
        f"the change did not prove itself, and the node has restored its old configuration: {why}",
        remedy=f"mend the inventory or the host's network; {LOG_REMEDY}",
    )


_FATAL = "its network manager refused the change"
_HEALED = "the guard was quicker"


def unpackable(work: Change, settings: Mapping[str, str], seconds: float) -> bytes:
    """The guard's folder as a tar archive: script, unit, settings, manifest and the wanted files."""
    here = files(__package__).joinpath("files")
    told = {**settings, "interface": work.host.interface, "seconds": f"{seconds:.1f}"}
    manifest, wanted = list[str](), dict[str, bytes]()
    for number, file in enumerate(work.files, start=1):
        content = file.after.content
        manifest.append(f"{'-' if content is None else format(file.after.mode, '04o')} {file.path}\n")
        if content is not None:
            wanted[f"wanted/{number}"] = content
    members = {
        "guard.sh": here.joinpath("guard.sh").read_bytes(),
        "overlay-runbook-guard.service": here.joinpath("overlay-runbook-guard.service").read_bytes(),
        "settings": "".join(f"{key}={shlex.quote(value)}\n" for key, value in told.items()).encode(),
        "manifest": "".join(manifest).encode(),
        **wanted,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo("wanted")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def _arm(node: Node, archive: bytes) -> None:
    incoming = f"/var/lib/overlay-runbook/incoming-{uuid4().hex}"
    try:
        node.ssh.run(["sh", "-c", _ARM, "sh", incoming], sudo=True, stdin=base64.encodebytes(archive))
    except CommandError as error:
        if error.exit_status == _BUSY:
            raise NodeError(
                node.name,
                "another change of its network waits for its confirmation",
                remedy="wait until that guard has ended, at most the seconds of addresses.guard_seconds",
            ) from error
        raise


def _probe(node: Node, timeouts: Timeouts) -> Node:
    """The same node with connections of its own and little patience: an attempt must not outlast the guard."""
    return Node(node.spec, timeouts.model_copy(update={"connect": _CONNECT_SECONDS, "command": _COMMAND_SECONDS}))


def _still_wrong(probe: Node, trouble: Trouble) -> str:
    """What keeps the change from being confirmed, by a connection opened for this; empty when nothing does."""
    probe.close()
    try:
        outcome = probe.ssh.script(_OUTCOME, sudo=True).stdout
        if outcome == "gone\n":
            return _HEALED
        if not outcome:
            return "its network manager has not taken the change up yet"
        status, _, log = outcome.partition("\n")
        if status != "0":
            return f"{_FATAL}: {' '.join(log.split())[-300:]}"
        return trouble(probe)
    except (NodeError, DeadlineError) as error:
        return in_one_line(error)


def _confirm(probe: Node) -> str:
    result = probe.ssh.run(["sh", _SCRIPT, "confirm"], sudo=True, check=False)
    if result.exit_status == 0:
        return ""
    if result.exit_status == _TOO_LATE or "guard.sh" in result.stderr:
        return "the confirmation came too late"
    raise CommandError(probe.name, result.argv, exit_status=result.exit_status, stderr=result.stderr)


def _wait_until_healed(probe: Node, why: str) -> None:
    """Have a node that can be reached restore now, wait for one that cannot until its alarm has."""
    deadline, asked, error = Deadline(_HEALING_SECONDS + _COMMAND_SECONDS), False, ""
    while not deadline.passed:
        probe.close()
        try:
            if not asked:
                probe.ssh.run(
                    ["systemctl", "start", "--no-block", "overlay-runbook-alarm.service"], sudo=True, check=False
                )
                asked = True
            if probe.ssh.run(["test", "-e", HOME], sudo=True, check=False).exit_status == 1:
                return
            error = f"{HOME} is still there"
        except (NodeError, DeadlineError) as failure:
            error = in_one_line(failure)
        sleep(_PAUSE_SECONDS)
    raise DeadlineError(
        f"the change did not prove itself ({why}), and the node was not seen to heal: {error}",
        place=probe.name,
        remedy=f"check the node's console; {LOG_REMEDY}",
    )


class SystemdPlatform(Platform):
    """A platform whose network manager takes a change up at once."""

    live = True

    def describe(self, host: HostNetwork, prefix: IPv4Network) -> str:
        """The method, and who says so."""
        addresses = ", ".join(address.partition("/")[0] for address in host.addresses)
        what = {"dhcp": "DHCP", "static": f"static {addresses}"}.get(host.method, "neither DHCP nor an address")
        return f"{what} by {self.name}"

    def settings(self, change: Change) -> Mapping[str, str]:
        """The settings of the guard's script: ``manager``, and NetworkManager's profile afterwards and before."""
        return {"manager": self.name, "connection": "", "connection_before": ""}

    def apply(self, cluster: Cluster, node: Node, change: Change, seconds: float, say: Say) -> None:
        """Change the files under a guard, and confirm once a new connection finds the wanted state."""
        network = cluster.inventory.network
        gateway = (change.wanted.gateway or network.gateway) if change.wanted else ""

        def trouble(fresh: Node) -> str:
            current = read_cluster_address(fresh, network)
            if change.wanted is None:
                return "" if current.address else f"{current.interface} has no address yet"
            if (current.address, current.assigned_by) != (change.wanted.address, "static") or current.others:
                found = ", ".join([current.address or "no address", *current.others])
                return f"{current.interface} has {found} ({current.assigned_by}), not {change.wanted.address} by static"
            if gateway and arp_owner(fresh, network.interface, gateway) is None:
                return f"no answer from the gateway {gateway}"
            return ""

        settings = self.settings(change)
        change_under_guard(node, change, settings, cluster.timeouts, seconds=seconds, trouble=trouble, say=say)
