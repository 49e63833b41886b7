"""The cluster as a picture, gathered from facts at the moment it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.charts import ClusterView, cluster_picture, describe
from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import RunbookError
from runbook_lib.facts.addresses import ClusterAddress, read_cluster_address
from runbook_lib.facts.containers import ContainerFacts, read_containers
from runbook_lib.facts.engine import EngineFacts, read_engine
from runbook_lib.facts.etcd import EtcdMember, read_members
from runbook_lib.facts.networks import NetworkFacts, read_networks
from runbook_lib.facts.registrations import read_registrations
from runbook_lib.model.parameters import Parameters
from runbook_lib.session.display import Picture


@dataclass(frozen=True)
class _NodeFacts:
    address: ClusterAddress
    engine: EngineFacts
    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]


def view(cluster: Cluster, parameters: Parameters) -> ClusterView:
    """Gather what the picture shows. A node that does not answer is part of it, not an error."""
    network = cluster.inventory.network

    def ask(node: Node) -> _NodeFacts:
        address = read_cluster_address(node, network)
        return _NodeFacts(address, read_engine(node), read_networks(node), read_containers(node))

    outcomes = cluster.each(ask)
    found = [outcome.value for outcome in outcomes if outcome.value is not None]
    return ClusterView(
        nodes=cluster.inventory.names,
        network=network,
        overlay=parameters.overlay.name,
        addresses=[item.address for item in found],
        engines=[item.engine for item in found],
        members=_members(cluster, parameters),
        registrations=read_registrations(cluster, parameters.etcd),
        networks=[network for item in found for network in item.networks],
        containers=[container for item in found for container in item.containers],
        silent={outcome.node: outcome.error.message for outcome in outcomes if outcome.error is not None},
    )


def picture(cluster: Cluster, parameters: Parameters) -> Picture:
    """Gather what the picture shows and draw it; the text alternative says the same in words."""
    seen = view(cluster, parameters)
    return Picture(cluster_picture(seen), describe(seen))


def _members(cluster: Cluster, parameters: Parameters) -> tuple[EtcdMember, ...]:
    try:
        return read_members(cluster, parameters.etcd)
    except RunbookError:  # no node answers, and each of them is drawn as silent
        return ()
