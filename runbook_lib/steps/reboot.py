"""Reboots nodes and waits until each is back."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from time import sleep

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, DeadlineError, InputError, NodeError, UnreachableError
from runbook_lib.facts.host.host import Boot, read_boot
from runbook_lib.model.parameters import Timeouts
from runbook_lib.steps.base import Finding, Say, Step, pending, refused, satisfied
from runbook_lib.waiting import Deadline

_CONNECT_SECONDS = 3.0
_COMMAND_SECONDS = 10.0
_LISTEN_SECONDS = 0.5
_PAUSE_SECONDS = 0.1


class Reboot(Step[Boot, Boot]):
    """Reboots nodes over SSH, all at once or in an order, and waits, with a deadline, until each is back.

    A node is back when SSH shows another boot than before and its Docker API answers; a node that is still shutting
    down or a dropped SSH connection is not. This is an action, not a state: every run reboots.
    """

    name = "reboot"

    def __init__(self, order: Sequence[str] = (), *, stagger_seconds: float = 0.0, graceful: bool = True) -> None:
        """Reboot the nodes named in ``order`` (all, in the inventory's order, when empty).

        The first reboots at once, each next one ``stagger_seconds`` later. Without ``graceful`` the kernel reboots
        immediately (``reboot -f``), like a power cycle: dockerd cannot leave its networks. On a
        systemd host ``reboot`` is ``systemctl reboot``.
        """
        self._order = tuple(order)
        self._stagger = stagger_seconds
        self._graceful = graceful

    def nodes(self, cluster: Cluster) -> tuple[Node, ...]:
        """The nodes to reboot, in their order. Raises ``InputError`` for an unknown or repeated name."""
        if len(set(self._order)) != len(self._order):
            raise InputError("the reboot order names a node twice", remedy="name each node once")
        return tuple(cluster.node(name) for name in self._order) or cluster.nodes

    def read(self, node: Node) -> Boot:
        """The node's current boot."""
        return read_boot(node)

    def assess(self, readings: Mapping[str, Boot], missing: frozenset[str]) -> Mapping[str, Finding[Boot]]:
        """Pending for every node that answers."""
        return {name: pending(_describe(boot), "rebooted", boot) for name, boot in readings.items()}

    def confirm(
        self, before: Mapping[str, Boot], fresh: Mapping[str, Boot], missing: frozenset[str]
    ) -> Mapping[str, Finding[Boot]]:
        """Satisfied if the boot differs."""
        return {
            name: refused(_describe(boot), "the node has not rebooted")
            if boot.same_as(before[name])
            else satisfied(_describe(boot))
            for name, boot in fresh.items()
        }

    def apply(self, cluster: Cluster, node: Node, work: Boot, say: Say) -> None:
        """Reboot one node and wait for it."""
        turn = [item.name for item in self.nodes(cluster)].index(node.name)
        sleep(turn * self._stagger)
        say("going down")
        _order_reboot(node, graceful=self._graceful)
        wait_until_back(node, work, cluster.timeouts, say)


def _order_reboot(node: Node, *, graceful: bool) -> None:
    """Send the reboot command to a node.

    The connection may drop or the command be killed: only the next boot is proof. A command that ends with an error (of
    ``sudo``, say) is a failure, and so is a node that was unreachable before.
    """
    node.ssh.transport()
    try:
        node.ssh.run(["reboot"] if graceful else ["reboot", "-f"], sudo=True)
    except CommandError as error:
        if error.exit_status is not None:
            raise
    except UnreachableError:
        pass
    finally:
        node.close()


def wait_until_back(node: Node, before: Boot, timeouts: Timeouts, say: Say) -> None:
    """Wait until a node is in another boot than ``before`` and its engine answers, at most ``timeouts.reboot``.

    Raises:
        DeadlineError: too late; the message names what is still missing.
        RunbookError: the node is back but not trusted (a changed host key, for example).
    """
    # Short timeouts: an attempt that began while the node was down must not outlast its boot.
    brief = {"connect": _CONNECT_SECONDS, "command": _COMMAND_SECONDS, "reboot": _COMMAND_SECONDS}
    short = timeouts.model_copy(update=brief)
    probe = Node(node.spec, short, node.manager)
    deadline, said = Deadline(timeouts.reboot), ""
    try:
        while missing := _still_missing(probe, before):
            what, why = missing
            if what != said:
                said = what
                say(f"waiting for {what}")
            if deadline.passed:
                raise DeadlineError(
                    f"not back {timeouts.reboot:.0f} s after the reboot: still missing: {what}{why}",
                    place=node.name,
                    remedy="check its console and its log (/var/lib/boot2docker/log, or journalctl -b), or raise"
                    " timeouts.reboot",
                )
            sleep(_PAUSE_SECONDS)
    finally:
        probe.close()
        node.close()


def _still_missing(probe: Node, before: Boot) -> tuple[str, str] | None:
    """What is still missing until the node is back, and why; ``None`` if it is back."""
    access = probe.spec.ssh
    if not _listens(access.host, access.port):
        probe.close()
        return f"SSH at {access.host}:{access.port}", ""
    try:
        boot = read_boot(probe)
    except (NodeError, DeadlineError) as error:
        # a node that is shutting down may give wrong answers
        probe.close()
        return f"an answer over SSH at {access.host}:{access.port}", f" ({error.message})"
    if boot.same_as(before):
        return "a new boot", f" (still the old one, up for {boot.up_seconds:.0f} s)"
    try:
        probe.engine.ping()
    except (NodeError, DeadlineError) as error:
        probe.engine.close()
        return "the Docker API", f" ({error.message})"
    return None


def _listens(host: str, port: int) -> bool:
    """Whether a connection is accepted; with a short timeout, as a host that is down drops packets."""
    try:
        with socket.create_connection((host, port), timeout=_LISTEN_SECONDS):
            return True
    except OSError:
        return False


def _describe(boot: Boot) -> str:
    return f"up for {boot.up_seconds:.0f} s"
