"""Result rows as pandas tables with stable columns; units are in the column names."""

from runbook_lib.tables.cluster import addresses, engines, hosts, members, registrations
from runbook_lib.tables.frame import frame
from runbook_lib.tables.overlay import (
    containers,
    endpoints,
    host_interfaces,
    interfaces,
    network_presence,
    network_settings,
    network_summary,
    networks,
    routes,
)
from runbook_lib.tables.results import checks, checks_by_name, one_step, probe_details, probe_summary, probes, steps

__all__ = [
    "addresses",
    "checks",
    "checks_by_name",
    "containers",
    "endpoints",
    "engines",
    "frame",
    "host_interfaces",
    "hosts",
    "interfaces",
    "members",
    "network_presence",
    "network_settings",
    "network_summary",
    "networks",
    "one_step",
    "probe_details",
    "probe_summary",
    "probes",
    "registrations",
    "routes",
    "steps",
]
