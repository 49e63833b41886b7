"""Why pairs of containers are lost: what pre-flight says of their nodes' ports, and what the overlay's tables say."""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError
from runbook_lib.facts.control_plane import ControlPlane
from runbook_lib.facts.engine import read_engine
from runbook_lib.model.parameters import Overlay
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.full_size import check_full_size
from runbook_lib.verify.overlay_tables import check_entries
from runbook_lib.verify.ping_matrix import look
from runbook_lib.verify.port_checks import check_ports
from runbook_lib.verify.probe import Probe


def why_lost(
    cluster: Cluster, control_plane: ControlPlane, overlay: Overlay, probes: Sequence[Probe]
) -> tuple[Check, ...]:
    """What else is wrong between the nodes of the pairs that failed although they should answer.

    Returns the rows of the port checks and of the table audit that did not pass, each with its remedy; one that passed
    and says so where there is none. Nothing is looked at, and nothing returned, where no pair failed between two nodes.
    """
    lost = [
        probe
        for probe in probes
        if probe.verdict is Verdict.FAIL
        and probe.expected == "reachable"
        and probe.target_node
        and probe.source_node not in ("", probe.target_node)
    ]
    if not lost:
        return ()
    nodes = {node for probe in lost for node in (probe.source_node, probe.target_node)}
    part = cluster.part(nodes)
    odd = [
        check
        for check in _looked_at(part, control_plane, overlay, lost)
        if check.verdict in (Verdict.FAIL, Verdict.WARN)
    ]
    between = ", ".join(node.name for node in part)
    return tuple(odd) or (
        Check("ports and tables of lost pairs", between, Verdict.PASS, "nothing wrong", "nothing else is wrong there"),
    )


def _looked_at(part: Cluster, control_plane: ControlPlane, overlay: Overlay, lost: Sequence[Probe]) -> list[Check]:
    try:
        engines = {outcome.node: outcome.value for outcome in part.each(read_engine) if outcome.value is not None}
        ports = check_ports(part, engines, control_plane)
        sizes = check_full_size(part, overlay, control_plane.ports(engines).data_path, ports)
        before = look(part, {name for probe in lost for name in (probe.source, probe.target)}, overlay.name)
    except RunbookError as error:
        found = f"not looked at: {error.message.splitlines()[0]}"
        return [
            Check("ports and tables of lost pairs", error.place, Verdict.WARN, "nothing wrong", found, error.remedy)
        ]
    # what a pair's own row says already is not said twice
    rows = [
        entry
        for probe in lost
        for entry in before.rows(probe.source, probe.target)
        if f"{entry.table} table said before the first packet: {entry.key}" not in probe.detail
    ]
    unread = [
        Check("tables of lost pairs", node, Verdict.WARN, "they can be read", reason)
        for node, reason in before.unread.items()
    ]
    return [*ports, *sizes, *check_entries(dict.fromkeys(rows)), *unread]
