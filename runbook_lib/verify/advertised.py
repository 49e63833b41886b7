"""Whether the other engines find each engine on the cluster's network, or where it does not belong."""

from __future__ import annotations

from collections.abc import Iterator

from runbook_lib.cluster import Cluster
from runbook_lib.facts.advertised import Advertised, read_advertised
from runbook_lib.facts.control_plane import ControlPlane
from runbook_lib.model.results import Check, Verdict

CHECK = "advertised address"


def check_advertised(cluster: Cluster, control_plane: ControlPlane) -> Iterator[Check]:
    """A row a node; one that does not answer fails."""
    network = cluster.inventory.network
    for outcome in cluster.each(lambda node: read_advertised(node, network)):
        if outcome.error is not None:
            expected = f"an address of {network.interface}"
            message = outcome.error.message.splitlines()[0]
            yield Check(CHECK, outcome.node, Verdict.FAIL, expected, message, outcome.error.remedy)
        else:
            yield judge_advertised(outcome.result, control_plane)


def judge_advertised(facts: Advertised, control_plane: ControlPlane) -> Check:
    """The row of one node: only a warning where the overlay's packets may have another way, untold by the engine."""
    expected = f"an address of {facts.network}: {' or '.join(facts.own) or 'it has none'}"
    if not facts.own:
        # nothing to compare with, which the rows on the address itself say
        return Check(CHECK, facts.node, Verdict.SKIP, expected, facts.address or "nothing")
    if facts.right:
        return Check(CHECK, facts.node, Verdict.PASS, expected, facts.address)
    holder = f"the address of {facts.interface}" if facts.interface else "which no interface of the node has"
    found = f"{facts.address}, {holder}" if facts.address else "it advertises no address"
    remedy = control_plane.advertise_remedy(facts)
    if facts.address and not control_plane.tells_data_path:
        shown = "the forwarding table in notebook 07_look_inside_the_overlay shows where packets go"
        good = f"nothing to do if its engine joined with --data-path-addr {facts.network} or {facts.own[0]} ({shown})"
        return Check(CHECK, facts.node, Verdict.WARN, expected, found, f"{good}; else {remedy}")
    return Check(CHECK, facts.node, Verdict.FAIL, expected, found, remedy)
