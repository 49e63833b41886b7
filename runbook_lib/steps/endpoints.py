"""Endpoints that a crash left in the store: a network still lists them, but no container has them.

They keep their name, so that a container of that name cannot join the network again: ``endpoint with name X already
exists in network Y`` (https://github.com/moby/moby/issues/20398). The repair is ``docker network disconnect -f``.
"""

from __future__ import annotations

from collections.abc import Iterable

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.containers import ContainerFacts, read_container
from runbook_lib.facts.control_plane import ControlPlane
from runbook_lib.facts.networks import NetworkFacts, read_network


def stale_endpoints(network: NetworkFacts, containers: Iterable[ContainerFacts]) -> tuple[str, ...]:
    """The names of endpoints of a network that belong to none of the containers, running or not.

    What a crash left to a container that still exists is not stale: its engine puts it right when the container starts.

    True only if ``containers`` are all containers of all nodes: the caller makes sure that every node answered.
    """
    owned = {endpoint_id for item in containers for endpoint_id in item.endpoint_ids.values()}
    return tuple(item.name for item in network.endpoints if item.endpoint_id not in owned)


def force_disconnect(cluster: Cluster, node: Node, control_plane: ControlPlane, network: str, endpoint: str) -> None:
    """Take a stale endpoint off a network (its name or ID).

    The node's own engine does it unless it has a container of that name: such an engine would only forget the network
    of its stopped container and leave the endpoint in the store. Then another node does it.

    Raises:
        NodeError: it is not stale, for a living engine that the inventory does not name has it; or every node has a
            container of that name.
        RunbookError: a node does not answer, or its engine refuses.
    """
    known = read_network(node, network)
    if known is not None and (elsewhere := control_plane.read_engine_elsewhere(cluster, known.id, endpoint)):
        raise NodeError(
            node.name,
            f"{endpoint} of {known.name} is on the engine at {elsewhere}, which the inventory does not name",
            remedy=f"disconnect {endpoint} there, or add that node to the inventory",
        )
    others = [item for item in cluster.nodes if item.name != node.name]
    for candidate in (node, *others):
        if read_container(candidate, endpoint) is None:
            candidate.engine.disconnect(endpoint, network, force=True)
            return
    raise NodeError(
        node.name,
        f"the stale endpoint {endpoint} of network {network} can only be taken off by a node without such a container",
        remedy=f"remove the stopped container {endpoint} of one node: docker rm {endpoint}",
    )
