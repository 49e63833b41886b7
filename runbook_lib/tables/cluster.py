"""Tables about nodes, engines and the cluster store."""

from __future__ import annotations

import pandas as pd

from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.host.host import HostFacts
from runbook_lib.tables.frame import DECIMAL, FLAG, WHOLE, Column, Table


def _cidr_and_others(row: ClusterAddress) -> str:
    return "" if row.address is None else ", ".join([f"{row.address}/{row.prefix_length}", *row.others])


def _started(row: HostFacts) -> pd.Timestamp:
    return pd.Timestamp(int(row.started_at), unit="s", tz="UTC")


addresses = Table[ClusterAddress](
    "One row per node.",
    Column("node", lambda row: row.node),
    Column("interface", lambda row: row.interface),
    Column("address", _cidr_and_others, meaning="in CIDR notation; several where the interface has them"),
    Column("expected", lambda row: row.expected, meaning="the address in the inventory"),
    Column("as expected", lambda row: row.as_expected, FLAG),
    Column("assigned by", lambda row: row.assigned_by, meaning="``dhcp``, ``static`` or ``none``"),
    Column("DHCP client", lambda row: row.dhcp_client, meaning="the process that serves the interface, if any"),
    Column("MAC", lambda row: row.mac),
)

engines = Table[EngineFacts](
    "One row per engine.",
    Column("node", lambda row: row.node),
    Column("version", lambda row: row.version),
    Column("API", lambda row: row.api_version, meaning="the newest version of Docker's API that it speaks"),
    Column("mode", lambda row: row.mode, meaning="its control plane: ``etcd``, ``swarm``, ``other`` or ``none``"),
    Column("advertises", lambda row: row.cluster_advertise, meaning="the address at which the others find it"),
    Column("storage", lambda row: row.storage_driver, meaning="the driver that keeps images and containers"),
    Column("running", lambda row: row.containers_running, WHOLE, meaning="how many containers run"),
    Column("engine ID", lambda row: row.engine_id),
)

hosts = Table[HostFacts](
    "One row per node: its last boot, and its clock against this machine's.",
    Column("node", lambda row: row.node),
    Column("started", _started, "datetime64[s, UTC]", "UTC"),
    Column("clock offset", lambda row: row.clock_offset_ms, DECIMAL, "ms", meaning="positive: the node is ahead"),
    Column("±", lambda row: row.clock_uncertainty_ms, DECIMAL, "ms", meaning="how exact the offset is"),
    Column("kernel", lambda row: row.kernel),
    Column("boot ID", lambda row: row.boot_id, meaning="another one after each boot"),
)

members = Table[Member](
    "One row per member of the control plane (an etcd server, or a manager of a swarm).",
    Column("member", lambda row: row.name),
    Column("node", lambda row: row.node),
    Column("container", lambda row: row.container_state, meaning="the state of its container"),
    Column("restart policy", lambda row: row.restart_policy),
    Column("health", lambda row: row.health, meaning="``healthy``, ``unhealthy`` or ``down``"),
    Column("leader", lambda row: row.leader, FLAG),
    Column("client URL", lambda row: row.client_url),
    Column("detail", lambda row: row.detail, meaning="what is wrong with it"),
)

registrations = Table[Registration](
    "One row per engine.",
    Column("node", lambda row: row.node),
    Column("advertises", lambda row: row.address, meaning="the address at which the others find it"),
    Column("connected", lambda row: row.connected, FLAG),
    Column("last heartbeat", lambda row: row.heartbeat_age_s, DECIMAL, "s ago"),
    Column("detail", lambda row: row.detail, meaning="why it is not connected"),
)
