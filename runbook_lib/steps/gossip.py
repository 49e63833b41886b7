"""The engines' gossip: waits until an engine takes part, and joins partitions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import DeadlineError, EngineError, EngineNotFound, StoreUnavailable
from runbook_lib.facts.control_planes.base import ControlPlane
from runbook_lib.facts.docker.networks import STORE_RECHECK_SECONDS
from runbook_lib.facts.overlay.gossip import GOSSIP_PORT, REQUEST, Gossip, common_unknown_peer, exchange, unknown_peers
from runbook_lib.steps.base import Finding, Say, Step, blocked, pending, satisfied
from runbook_lib.waiting import Deadline, wait_until

# An engine's error for a network (name or ID) that it cannot read from its store at this moment.
_NO_NETWORK = re.compile(r"network \S+ not found")
_PAUSE = 0.25
# Engines of a swarm try lost peers again every 60 s (moby, libnetwork/networkdb: rejoinClusterInterval).
REJOIN_SECONDS = 75.0


def wait_for_gossip(node: Node, control_plane: ControlPlane, say: Say, patience: float = STORE_RECHECK_SECONDS) -> None:
    """Wait, bounded, until the node's engine gossips.

    An overlay namespace created earlier would never find its peers (see ``facts.overlay.gossip``).

    Raises:
        DeadlineError: it did not within ``patience`` seconds.
        RunbookError: the node cannot be asked.
    """
    if control_plane.read_gossip_address(node):
        return
    say("waiting until the engine gossips")
    if not wait_until(lambda: control_plane.read_gossip_address(node), patience, pause=_PAUSE):
        raise DeadlineError(
            f"the engine has not joined the other engines' gossip (TCP {GOSSIP_PORT}) within {patience:.0f} s, "
            "and a container started now would never find its peers",
            place=node.name,
            remedy=f"it joins once {control_plane.members_title} answers: see notebook 02_autostart_etcd",
        )


def retry_while_store_fails(
    node: Node, control_plane: ControlPlane, network: str, act: Callable[[], None], say: Say
) -> None:
    """Call ``act``, which needs an existing network; retry, with a deadline, while the engine cannot use its store.

    An engine reads the cluster's networks from its store for every call and reports what it cannot read as *not found*.
    After its node was cut off, these connections recover last, later than the heartbeat that counts as connected.

    Raises:
        EngineError: it still cannot after ``STORE_RECHECK_SECONDS``.
        RunbookError: another error of ``act``.
    """
    deadline = Deadline(STORE_RECHECK_SECONDS)
    told = False
    while True:
        try:
            return act()
        except (EngineNotFound, StoreUnavailable) as error:
            if isinstance(error, EngineNotFound) and not _NO_NETWORK.search(error.explanation):
                raise
            if deadline.passed:
                raise EngineError(
                    node.name,
                    error.call,
                    f"for {STORE_RECHECK_SECONDS:.0f} s {control_plane.members_title} has not answered this engine, or"
                    f" {network} was removed: {error.explanation}",
                    status=error.status,
                    remedy=f"{control_plane.remedy}; notebook 03_create_overlay creates the network",
                ) from error
        if not told:
            say(f"waiting until {control_plane.members_title} answers the engine")
            told = True
        time.sleep(_PAUSE)


@dataclass(frozen=True)
class JoinPlan:
    """An engine's gossip address, and node and address of each engine that it does not know."""

    address: str
    unknown_peers: tuple[tuple[str, str], ...]


class JoinGossip(Step[Gossip, JoinPlan]):
    """Makes every engine know every other one, so that each learns where all containers are.

    Engines that start at the same moment may end up in partitions (see ``facts.overlay.gossip``), which Docker never
    joins. Here one engine gets another's member list: the message that members send each other twice a minute. No
    engine is restarted.
    """

    name = "join gossip"
    settle_seconds = 10.0

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        if control_plane.rejoins_peers:
            self.settle_seconds = REJOIN_SECONDS

    def read(self, node: Node) -> Gossip:
        """The peers that the node's engine knows."""
        return self._control_plane.read_gossip(node)

    def assess(self, readings: Mapping[str, Gossip], missing: frozenset[str]) -> Mapping[str, Finding[JoinPlan]]:
        """Pending if an engine does not know another gossiping engine."""
        unknown = unknown_peers(readings.values())
        common = common_unknown_peer(unknown)
        return {node: self._finding(row, unknown.get(node, ()), readings, common) for node, row in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: JoinPlan, say: Say) -> None:
        """Send it the member list of each unknown peer."""
        for name, address in work.unknown_peers:
            say(f"joining {name}")
            exchange(node, work.address, exchange(cluster.node(name), address, REQUEST))

    def _finding(
        self, row: Gossip, unknown: tuple[str, ...], readings: Mapping[str, Gossip], common: str
    ) -> Finding[JoinPlan]:
        others = sum(bool(other.address) for other in readings.values()) - 1
        wanted = f"knows {others} other engines"
        if not row.address:
            why, remedy = f"{self._control_plane.members_title} does not answer it", self._control_plane.remedy
            return blocked("does not gossip", "knows the other engines", why, remedy=remedy)
        if row.trouble:
            remedy = f"open tcp {GOSSIP_PORT} on this node: notebook 00_meet_the_cluster checks every port"
            return blocked("gives no answer", wanted, row.trouble, remedy=remedy)
        if not unknown:
            return satisfied(wanted)
        blame = f"check {common} first: it is in every pair of engines that do not know each other" if common else ""
        if self._control_plane.rejoins_peers:
            detail = "; ".join(filter(None, ("engines of a swarm rejoin by themselves", blame)))
            return pending(f"does not know {', '.join(unknown)}", wanted, None, detail)
        plan = JoinPlan(row.address, tuple((name, readings[name].address) for name in unknown))
        return pending(f"does not know {', '.join(unknown)}", wanted, plan, blame)
