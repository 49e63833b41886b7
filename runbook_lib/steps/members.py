"""The steps that start the control plane's members, now and at boot.

A swarm's managers are the engines themselves: they start and run with dockerd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.engine import EngineStart, read_engine_start, read_swarm
from runbook_lib.facts.host.host import read_boot_clock
from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import Finding, Say, Step, refused, satisfied
from runbook_lib.steps.etcd_autostart import EtcdAutostart, RemoveAutostart, StartMembers


class StartManagers(Step[str, None]):
    """Nothing to start: a member of a swarm is the engine itself."""

    name = "start managers"

    def read(self, node: Node) -> str:
        """The engine's version: it answers."""
        return str(node.engine.info()["ServerVersion"])

    def assess(self, readings: Mapping[str, str], missing: frozenset[str]) -> Mapping[str, Finding[None]]:
        """Satisfied wherever an engine answers."""
        why = "a member of a swarm is the engine itself"
        return {node: satisfied(f"dockerd {version} runs", why) for node, version in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: None, say: Say) -> None:
        """Never called: there is no work."""


@dataclass(frozen=True)
class ManagerStart:
    """What starts a node's dockerd, and whether it then waits for its swarm's unlock key."""

    engine: EngineStart
    waits_for_key: bool = False


class ManagersAutostart(Step[ManagerStart, None]):
    """Checks that each host starts dockerd at boot, which is all that a swarm needs.

    A host that does not is refused with the command for it, and so is a swarm with autolock: both belong to the
    administrator.
    """

    name = "managers autostart"

    def read(self, node: Node) -> ManagerStart:
        """What starts dockerd, and whether its swarm needs the unlock key then."""
        return ManagerStart(read_engine_start(node), read_swarm(node).autolock)

    def assess(self, readings: Mapping[str, ManagerStart], missing: frozenset[str]) -> Mapping[str, Finding[None]]:
        """Satisfied if something starts dockerd."""
        return {node: self._finding(start) for node, start in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: None, say: Say) -> None:
        """Never called: there is no work."""

    def changed_since_boot(self, node: Node) -> str:
        """The swarm, if it was created after the node's last boot."""
        return "its swarm" if read_boot_clock(node).is_text_after_boot(read_swarm(node).made_at) else ""

    def _finding(self, start: ManagerStart) -> Finding[None]:
        if not start.engine.by:
            return refused("no autostart", "nothing starts dockerd at boot", remedy=start.engine.remedy)
        if start.waits_for_key:
            return refused(
                f"dockerd starts at boot ({start.engine.by})",
                "and then waits for the unlock key of its swarm (autolock)",
                remedy="docker swarm update --autolock=false",
            )
        return satisfied(f"dockerd starts at boot ({start.engine.by})", "a member of a swarm is the engine itself")


@dataclass(frozen=True)
class MemberSteps:
    """Start the members now, make them start at boot, and take that back."""

    start: Step[Any, Any]
    autostart: Step[Any, Any]
    no_autostart: Step[Any, Any]


def member_steps(parameters: Parameters) -> MemberSteps:
    """The steps for the control plane that the parameters name.

    A swarm's managers have no autostart to remove, but an earlier etcd may have left one.
    """
    etcd = parameters.etcd
    if parameters.control_plane == "swarm-mode":
        return MemberSteps(StartManagers(), ManagersAutostart(), RemoveAutostart(etcd))
    return MemberSteps(StartMembers(etcd), EtcdAutostart(etcd), RemoveAutostart(etcd))
