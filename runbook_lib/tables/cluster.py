"""Tables about nodes, engines and the cluster store. Every column is documented at its function."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.host.host import HostFacts
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE, frame

ADDRESS_COLUMNS = {
    "node": TEXT,
    "interface": TEXT,
    "address": TEXT,
    "expected": TEXT,
    "as expected": FLAG,
    "assigned by": TEXT,
    "DHCP client": TEXT,
    "MAC": TEXT,
}


def addresses(rows: Iterable[ClusterAddress]) -> pd.DataFrame:
    """One row a node: ``address`` (CIDR; several where the interface has them) beside the ``expected`` one."""
    return frame(
        (
            (
                row.node,
                row.interface,
                _addresses(row),
                row.expected,
                row.as_expected,
                row.assigned_by,
                row.dhcp_client,
                row.mac,
            )
            for row in rows
        ),
        ADDRESS_COLUMNS,
    )


def _addresses(row: ClusterAddress) -> str:
    if row.address is None:
        return ""
    return ", ".join([f"{row.address}/{row.prefix_length}", *row.others])


ENGINE_COLUMNS = {
    "node": TEXT,
    "version": TEXT,
    "API": TEXT,
    "mode": TEXT,
    "advertises": TEXT,
    "storage": TEXT,
    "running": WHOLE,
    "engine ID": TEXT,
}


def engines(rows: Iterable[EngineFacts]) -> pd.DataFrame:
    """One row an engine; ``running`` counts containers, ``mode`` is etcd, swarm, other or none."""
    return frame(
        (
            (
                row.node,
                row.version,
                row.api_version,
                row.mode,
                row.cluster_advertise,
                row.storage_driver,
                row.containers_running,
                row.engine_id,
            )
            for row in rows
        ),
        ENGINE_COLUMNS,
    )


HOST_COLUMNS = {
    "node": TEXT,
    "started (UTC)": "datetime64[s, UTC]",
    "clock offset (ms)": DECIMAL,
    "± (ms)": DECIMAL,
    "kernel": TEXT,
    "boot ID": TEXT,
}


def hosts(rows: Iterable[HostFacts]) -> pd.DataFrame:
    """One row a node: when it started, and its clock against this machine's (positive: the node is ahead)."""
    return frame(
        (
            (
                row.node,
                pd.Timestamp(int(row.started_at), unit="s", tz="UTC"),
                row.clock_offset_ms,
                row.clock_uncertainty_ms,
                row.kernel,
                row.boot_id,
            )
            for row in rows
        ),
        HOST_COLUMNS,
    )


MEMBER_COLUMNS = {
    "member": TEXT,
    "node": TEXT,
    "container": TEXT,
    "restart policy": TEXT,
    "health": TEXT,
    "leader": FLAG,
    "client URL": TEXT,
    "detail": TEXT,
}


def members(rows: Iterable[Member]) -> pd.DataFrame:
    """One row a member of the store; ``container`` is its container's state."""
    return frame(
        (
            (
                row.name,
                row.node,
                row.container_state,
                row.restart_policy,
                row.health,
                row.leader,
                row.client_url,
                row.detail,
            )
            for row in rows
        ),
        MEMBER_COLUMNS,
    )


REGISTRATION_COLUMNS = {
    "node": TEXT,
    "advertises": TEXT,
    "connected": FLAG,
    "last heartbeat (s ago)": DECIMAL,
    "detail": TEXT,
}


def registrations(rows: Iterable[Registration]) -> pd.DataFrame:
    """One row an engine: is it connected to its store now, and if not, why."""
    return frame(
        ((row.node, row.address, row.connected, row.heartbeat_age_s, row.detail) for row in rows),
        REGISTRATION_COLUMNS,
    )
