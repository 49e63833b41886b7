"""Takes back the containers and networks that gave external addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.containers import ContainerFacts, read_containers
from runbook_lib.facts.networks import NetworkFacts, read_networks
from runbook_lib.steps.base import EXTERNAL_LABEL, OWNER_LABEL, Finding, Say, Step, pending, refused, satisfied


@dataclass(frozen=True)
class OwnedExternals:
    """Our networks and containers for external addresses on one node, and whoever else is on these networks."""

    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]
    guests: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExternalRemoval:
    """The IDs of what is to be removed: containers first, then networks."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]


class RemoveExternals(Step[OwnedExternals, ExternalRemoval]):
    """Removes what carries both our owner label and that of an external address, containers before networks.

    A network with a container of others on it is refused, naming it.
    """

    name = "remove external addresses"
    settle_seconds = 5.0

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def read(self, node: Node) -> OwnedExternals:
        """Ours on that node."""
        networks = tuple(item for item in read_networks(node) if self._ours(item.labels))
        everything = read_containers(node)
        names = {network.name for network in networks}
        guests = (item.name for item in everything if not self._ours(item.labels) and names & set(item.networks))
        return OwnedExternals(networks, tuple(item for item in everything if self._ours(item.labels)), tuple(guests))

    def assess(
        self, readings: Mapping[str, OwnedExternals], missing: frozenset[str]
    ) -> Mapping[str, Finding[ExternalRemoval]]:
        """Pending where there is something of ours."""
        return {name: self._finding(reading) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: ExternalRemoval, say: Say) -> None:
        """Remove them by their IDs."""
        for container in work.containers:
            node.engine.remove_container(container, force=True)
        for network in work.networks:
            node.engine.remove_network(network)

    def _finding(self, reading: OwnedExternals) -> Finding[ExternalRemoval]:
        names = ", ".join([item.name for item in reading.containers] + [item.name for item in reading.networks])
        if not names:
            return satisfied("none of ours")
        if reading.guests:
            guests = ", ".join(reading.guests)
            return refused(names, f"other containers are on it: {guests}", remedy=f"disconnect {guests} first")
        work = ExternalRemoval(
            tuple(item.id for item in reading.containers), tuple(item.id for item in reading.networks)
        )
        return pending(names, "none of ours", work)

    def _ours(self, labels: Mapping[str, str]) -> bool:
        return labels.get(OWNER_LABEL) == self._owner and EXTERNAL_LABEL in labels
