"""Tables about networks, containers and what is inside them. Every column is documented at its function."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.facts.overlay.interfaces import ContainerInterface, HostInterface, Route
from runbook_lib.tables.frame import FLAG, TEXT, WHOLE, frame

SHORT_ID = 12

NETWORK_COLUMNS = {
    "node": TEXT,
    "network": TEXT,
    "ID": TEXT,
    "driver": TEXT,
    "scope": TEXT,
    "subnet": TEXT,
    "gateway": TEXT,
    "endpoints": WHOLE,
}


def networks(rows: Iterable[NetworkFacts]) -> pd.DataFrame:
    """One row a network and node; ``ID`` is shortened to 12 digits as ``docker network ls`` does."""
    return frame(
        (
            (
                row.node,
                row.name,
                row.id[:SHORT_ID],
                row.driver,
                row.scope,
                row.subnet,
                row.gateway,
                len(row.endpoints),
            )
            for row in rows
        ),
        NETWORK_COLUMNS,
    )


def network_presence(rows: Iterable[NetworkFacts]) -> pd.DataFrame:
    """``docker network ls`` over all nodes on one page: one row a network name, one column a node.

    Columns: ``network``, ``driver``, ``scope``, then each node's name with the network's ID (12 digits) there, empty
    where the node has none. A name whose driver or scope differ from node to node has a row for each.
    """
    known = list(rows)
    nodes = list(dict.fromkeys(row.node for row in known))
    table: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in known:
        table.setdefault((row.name, row.driver, row.scope), {})[row.node] = row.id[:SHORT_ID]
    return frame(
        ((*key, *(table[key].get(node, "") for node in nodes)) for key in sorted(table)),
        {"network": TEXT, "driver": TEXT, "scope": TEXT, **dict.fromkeys(nodes, TEXT)},
    )


NETWORK_SUMMARY_COLUMNS = {
    "network": TEXT,
    "driver": TEXT,
    "scope": TEXT,
    "ID": TEXT,
    "nodes": WHOLE,
    "on": TEXT,
}


def network_summary(rows: Iterable[NetworkFacts]) -> pd.DataFrame:
    """``docker network ls`` over any number of nodes: one row a network name, driver and scope.

    ``nodes`` counts the nodes that have it, ``on`` names them; ``ID`` is ``differs`` unless all agree.
    """
    groups: dict[tuple[str, str, str], list[NetworkFacts]] = {}
    for row in rows:
        groups.setdefault((row.name, row.driver, row.scope), []).append(row)
    table = []
    for key, own in sorted(groups.items()):
        ids = {row.id[:SHORT_ID] for row in own}
        nodes = list(dict.fromkeys(row.node for row in own))
        table.append((*key, ids.pop() if len(ids) == 1 else "differs", len(nodes), ", ".join(nodes)))
    return frame(table, NETWORK_SUMMARY_COLUMNS)


def network_settings(row: NetworkFacts) -> pd.DataFrame:
    """One network in full, a row a setting: columns ``setting`` and ``value``."""
    settings = [
        ("name", row.name),
        ("ID", row.id),
        ("driver", row.driver),
        ("scope", row.scope),
        ("subnet", row.subnet),
        ("gateway", row.gateway),
        ("VNI", "" if row.vni is None else str(row.vni)),
        ("internal", str(row.internal).lower()),
        ("attachable", str(row.attachable).lower()),
        *((f"option {key}", value) for key, value in sorted(row.options.items())),
        *((f"label {key}", value) for key, value in sorted(row.labels.items())),
    ]
    return frame(settings, {"setting": TEXT, "value": TEXT})


ENDPOINT_COLUMNS = {"container": TEXT, "address": TEXT, "MAC": TEXT, "endpoint": TEXT}


def endpoints(rows: Iterable[Endpoint]) -> pd.DataFrame:
    """One row an endpoint of a network: ``container`` as ``node3/alpine1``, ``address`` in CIDR."""
    return frame(
        (
            (
                f"{row.node}/{row.container}" if row.container else row.name,
                f"{row.address}/{row.prefix_length}" if row.address else "",
                row.mac,
                row.endpoint_id[:SHORT_ID],
            )
            for row in rows
        ),
        ENDPOINT_COLUMNS,
    )


CONTAINER_COLUMNS = {
    "container": TEXT,
    "image": TEXT,
    "command": TEXT,
    "state": TEXT,
    "status": TEXT,
    "restart policy": TEXT,
    "addresses": TEXT,
    "ID": TEXT,
}


def containers(rows: Iterable[ContainerFacts]) -> pd.DataFrame:
    """``docker ps`` over the cluster: ``container`` as ``node3/alpine1``, ``addresses`` as ``network address, …``."""
    return frame(
        (
            (
                row.full_name,
                row.image,
                row.command,
                row.state,
                row.status,
                row.restart_policy,
                ", ".join(f"{network} {address}" for network, address in sorted(row.addresses.items())),
                row.id[:SHORT_ID],
            )
            for row in rows
        ),
        CONTAINER_COLUMNS,
    )


INTERFACE_COLUMNS = {
    "container": TEXT,
    "interface": TEXT,
    "address": TEXT,
    "MAC": TEXT,
    "MTU (bytes)": WHOLE,
    "state": TEXT,
}


def interfaces(rows: Iterable[ContainerInterface]) -> pd.DataFrame:
    """One row an interface inside a container (``node3/alpine1``), its address in CIDR."""
    return frame(
        (
            (
                f"{row.node}/{row.container}",
                row.name,
                f"{row.address}/{row.prefix_length}" if row.address else "",
                row.mac,
                row.mtu,
                row.state,
            )
            for row in rows
        ),
        INTERFACE_COLUMNS,
    )


HOST_INTERFACE_COLUMNS = {
    "node": TEXT,
    **{key: value for key, value in INTERFACE_COLUMNS.items() if key != "container"},
}


def host_interfaces(rows: Iterable[HostInterface]) -> pd.DataFrame:
    """One row an interface of a node, with its first address in CIDR."""
    return frame(
        ((row.node, row.name, row.address, row.mac, row.mtu, row.state) for row in rows), HOST_INTERFACE_COLUMNS
    )


ROUTE_COLUMNS = {
    "where": TEXT,
    "destination": TEXT,
    "gateway": TEXT,
    "interface": TEXT,
    "source": TEXT,
    "default": FLAG,
}


def routes(rows: Iterable[Route]) -> pd.DataFrame:
    """One row a route of a container (``where`` is ``node3/alpine1``) or of a node (``node3``)."""
    return frame(
        (
            (
                f"{row.node}/{row.container}" if row.container else row.node,
                row.destination,
                row.gateway,
                row.interface,
                row.source,
                row.destination == "0.0.0.0/0",
            )
            for row in rows
        ),
        ROUTE_COLUMNS,
    )
