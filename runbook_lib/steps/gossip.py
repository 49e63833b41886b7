"""The engines' gossip: waiting until an engine takes part in it, and bringing islands of it together."""

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

# What an engine says of a network, by name or ID, that its store does not show it at this moment.
_NO_NETWORK = re.compile(r"network \S+ not found")
_PAUSE = 0.25
# Engines of a swarm try lost peers again every 60 s (moby, libnetwork/networkdb: rejoinClusterInterval).
REUNION_SECONDS = 75.0


def wait_for_gossip(node: Node, control_plane: ControlPlane, say: Say, patience: float = STORE_RECHECK_SECONDS) -> None:
    """Wait, bounded, until the node's engine gossips.

    An overlay namespace made earlier would never learn where its peers are (see ``facts.gossip``).

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


def once_store_answers(
    node: Node, control_plane: ControlPlane, network: str, act: Callable[[], None], say: Say
) -> None:
    """Do what needs a network that was seen before; again, bounded, while the engine cannot read or write its store.

    An engine keeps no list of the cluster's networks: it asks its store anew for every call, over connections of its
    own, and what it cannot read it calls *not found*. After its node was cut off, these connections are the last to
    work again, later than the heartbeat by which the engine counts as connected.

    Raises:
        EngineError: it still cannot after ``STORE_RECHECK_SECONDS``.
        RunbookError: what ``act`` raises else.
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
                    f" somebody has removed {network}: {error.explanation}",
                    status=error.status,
                    remedy=f"{control_plane.remedy}; notebook 03_create_overlay makes the network",
                ) from error
        if not told:
            say(f"waiting until {control_plane.members_title} answers the engine")
            told = True
        time.sleep(_PAUSE)


@dataclass(frozen=True)
class Introduction:
    """What one engine needs: where it gossips, and node and address of each engine that it does not know."""

    address: str
    unknown_peers: tuple[tuple[str, str], ...]


class JoinGossip(Step[Gossip, Introduction]):
    """Makes sure that every engine knows every other one, so that each is told where all containers are.

    Engines that start at the same moment may end up in islands (see ``facts.gossip``), which nothing in Docker brings
    together again. Here one engine is told what another says of itself and of those it knows: the same message that
    members of the gossip send each other twice a minute. No engine is restarted for it.
    """

    name = "join gossip"
    settle_seconds = 10.0

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        if control_plane.rejoins_peers:
            self.settle_seconds = REUNION_SECONDS

    def read(self, node: Node) -> Gossip:
        """Whom the node's engine knows."""
        return self._control_plane.read_gossip(node)

    def assess(self, readings: Mapping[str, Gossip], missing: frozenset[str]) -> Mapping[str, Finding[Introduction]]:
        """Pending where an engine does not know another one that gossips too."""
        unknown = unknown_peers(readings.values())
        common = common_unknown_peer(unknown)
        return {node: self._finding(row, unknown.get(node, ()), readings, common) for node, row in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: Introduction, say: Say) -> None:
        """Tell it what each stranger says."""
        for name, address in work.unknown_peers:
            say(f"meeting {name}")
            exchange(node, work.address, exchange(cluster.node(name), address, REQUEST))

    def _finding(
        self, row: Gossip, unknown: tuple[str, ...], readings: Mapping[str, Gossip], common: str
    ) -> Finding[Introduction]:
        others = sum(bool(other.address) for other in readings.values()) - 1
        wanted = f"knows {others} other engines"
        if not row.address:
            why, remedy = f"{self._control_plane.members_title} does not answer it", self._control_plane.remedy
            return blocked("does not gossip", "knows the other engines", why, remedy=remedy)
        if row.trouble:
            remedy = f"open tcp {GOSSIP_PORT} on this node: notebook 00_meet_the_cluster tries every port"
            return blocked("is not heard", wanted, row.trouble, remedy=remedy)
        if not unknown:
            return satisfied(wanted)
        blame = f"look at {common} first: it is in every pair that does not know each other" if common else ""
        if self._control_plane.rejoins_peers:
            detail = "; ".join(filter(None, ("engines of a swarm meet again by themselves", blame)))
            return pending(f"does not know {', '.join(unknown)}", wanted, None, detail)
        introduction = Introduction(row.address, tuple((name, readings[name].address) for name in unknown))
        return pending(f"does not know {', '.join(unknown)}", wanted, introduction, blame)
