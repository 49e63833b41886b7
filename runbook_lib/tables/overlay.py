"""Tables about networks, containers and what is inside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.facts.overlay.interfaces import ContainerInterface, HostInterface, Route
from runbook_lib.tables.frame import FLAG, TEXT, WHOLE, Column, Table, document_columns, frame, grouped

SHORT_ID = 12
"""The number of digits of an ID in ``docker network ls`` and ``docker ps``."""


def _full_name(row: Endpoint | Route, otherwise: str) -> str:
    return f"{row.node}/{row.container}" if row.container else otherwise


def cidr(address: str, prefix_length: int) -> str:
    """An address in CIDR notation; empty where there is none."""
    return f"{address}/{prefix_length}" if address else ""


networks = Table[NetworkFacts](
    "One row per network and node.",
    Column("node", lambda row: row.node),
    Column("network", lambda row: row.name),
    Column("ID", lambda row: row.id[:SHORT_ID], meaning="its first 12 digits"),
    Column("driver", lambda row: row.driver),
    Column("scope", lambda row: row.scope, meaning="``global`` or ``swarm`` where the whole cluster shares it"),
    Column("subnet", lambda row: row.subnet),
    Column("gateway", lambda row: row.gateway),
    Column("endpoints", lambda row: len(row.endpoints), WHOLE, meaning="how many of them the node's engine lists"),
)


def _name_driver_scope(row: NetworkFacts) -> tuple[str, str, str]:
    return row.name, row.driver, row.scope


def network_presence(rows: Iterable[NetworkFacts]) -> pd.DataFrame:
    """``docker network ls`` over all nodes: one row per network name, one column per node.

    Columns: ``network``, ``driver``, ``scope``, then each node's name with the network's ID (12 digits) there, empty
    if the node has none. A name with different drivers or scopes has a row for each.
    """
    known = list(rows)
    nodes = list(dict.fromkeys(row.node for row in known))
    ids = {key: {row.node: row.id[:SHORT_ID] for row in own} for key, own in grouped(known, _name_driver_scope).items()}
    return frame(
        ((*key, *(ids[key].get(node, "") for node in nodes)) for key in sorted(ids)),
        {"network": TEXT, "driver": TEXT, "scope": TEXT, **dict.fromkeys(nodes, TEXT)},
    )


def _nodes(same: Sequence[NetworkFacts]) -> list[str]:
    return list(dict.fromkeys(row.node for row in same))


def _common_id(same: Sequence[NetworkFacts]) -> str:
    ids = {row.id[:SHORT_ID] for row in same}
    return ids.pop() if len(ids) == 1 else "differs"


NETWORK_SUMMARY = Table[Sequence[NetworkFacts]](
    "One row per network name, driver and scope.",
    Column("network", lambda same: same[0].name),
    Column("driver", lambda same: same[0].driver),
    Column("scope", lambda same: same[0].scope),
    Column("ID", _common_id, meaning="its first 12 digits, ``differs`` unless all nodes agree"),
    Column("nodes", lambda same: len(_nodes(same)), WHOLE, meaning="how many nodes have it"),
    Column("on", lambda same: ", ".join(_nodes(same)), meaning="their names"),
)


@document_columns(NETWORK_SUMMARY)
def network_summary(rows: Iterable[NetworkFacts]) -> pd.DataFrame:
    """``docker network ls`` over any number of nodes."""
    groups = grouped(rows, _name_driver_scope)
    return NETWORK_SUMMARY(groups[key] for key in sorted(groups))


NETWORK_SETTINGS = Table[tuple[str, str]](
    "One row per setting of one network.",
    Column("setting", lambda row: row[0]),
    Column("value", lambda row: row[1]),
)


@document_columns(NETWORK_SETTINGS)
def network_settings(row: NetworkFacts) -> pd.DataFrame:
    """All settings of one network."""
    return NETWORK_SETTINGS(
        [
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
    )


endpoints = Table[Endpoint](
    "One row per endpoint of a network.",
    Column("container", lambda row: _full_name(row, row.name), meaning="``node3/alpine1`` where it is known"),
    Column("address", lambda row: cidr(row.address, row.prefix_length), meaning="in CIDR notation"),
    Column("MAC", lambda row: row.mac),
    Column("endpoint", lambda row: row.endpoint_id[:SHORT_ID], meaning="the first 12 digits of its ID"),
)

containers = Table[ContainerFacts](
    "One row per container.",
    Column("container", lambda row: row.full_name, meaning="``node3/alpine1``"),
    Column("image", lambda row: row.image),
    Column("command", lambda row: row.command),
    Column("state", lambda row: row.state, meaning="``running``, ``exited``, ``created``, …"),
    Column("status", lambda row: row.status, meaning="the state with its time or exit code"),
    Column("restart policy", lambda row: row.restart_policy),
    Column("addresses", lambda row: ", ".join(map(" ".join, sorted(row.addresses.items()))), meaning="by network"),
    Column("ID", lambda row: row.id[:SHORT_ID], meaning="its first 12 digits"),
)

interfaces = Table[ContainerInterface](
    "One row per interface inside a container.",
    Column("container", lambda row: f"{row.node}/{row.container}", meaning="``node3/alpine1``"),
    Column("interface", lambda row: row.name),
    Column("address", lambda row: cidr(row.address, row.prefix_length), meaning="in CIDR notation"),
    Column("MAC", lambda row: row.mac),
    Column("MTU", lambda row: row.mtu, WHOLE, "bytes"),
    Column("state", lambda row: row.state),
)

host_interfaces = Table[HostInterface](
    "One row per interface of a node.",
    Column("node", lambda row: row.node),
    Column("interface", lambda row: row.name),
    Column("address", lambda row: row.address, meaning="its first one, in CIDR notation"),
    Column("MAC", lambda row: row.mac),
    Column("MTU", lambda row: row.mtu, WHOLE, "bytes"),
    Column("state", lambda row: row.state),
)

routes = Table[Route](
    "One row per route of a container or of a node.",
    Column("where", lambda row: _full_name(row, row.node), meaning="``node3/alpine1``, or the node's name"),
    Column("destination", lambda row: row.destination),
    Column("gateway", lambda row: row.gateway),
    Column("interface", lambda row: row.interface),
    Column("source", lambda row: row.source),
    Column("default", lambda row: row.destination == "0.0.0.0/0", FLAG, meaning="for all other destinations"),
)
