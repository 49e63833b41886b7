"""Whether docker_gwbridge is on every node that needs it, and on which it is for nothing."""

from __future__ import annotations

from collections.abc import Collection

from runbook_lib.facts.gateway_bridge import GATEWAY_BRIDGE, GatewayBridge
from runbook_lib.model.results import Check, Verdict

CLAIM = f"{GATEWAY_BRIDGE} is where it is needed"


def judge_bridge(row: GatewayBridge, wanted: Collection[str], *, every_node: bool) -> Check:
    """One node's check.

    A bridge too few fails where one of the ``wanted`` containers needs it, or where ``every_node`` has one (in a
    swarm), and warns where only containers of others do. A bridge too many warns, with how to remove it: Docker leaves
    it where a container once was, and it does no harm.
    """
    needed = [item.name for item in row.needed_by]
    ours = [name for name in needed if name in wanted]
    if row.bridge is None:
        return _without(row.node, needed, ours, every_node)
    if every_node:
        return Check(CLAIM, row.node, Verdict.PASS, "one on every node of a swarm", "there")
    if needed:
        return Check(CLAIM, row.node, Verdict.PASS, f"one for {', '.join(needed)}", "there")
    if row.endpoints:
        users = row.users(row.containers) or tuple(item.name for item in row.endpoints)
        return Check(CLAIM, row.node, Verdict.PASS, f"one for {', '.join(users)}", "there")
    by_hand = f"docker network rm {GATEWAY_BRIDGE}"
    found = f"one that nothing uses, for Docker never removes it ({by_hand} on that node does)"
    remedy = f"it does no harm, and the next container on an overlay uses it; on {row.node}: {by_hand}"
    return Check(CLAIM, row.node, Verdict.WARN, "none", found, remedy)


def _without(node: str, needed: list[str], ours: list[str], every_node: bool) -> Check:
    if every_node:
        remedy = f"restart the engine of {node}: it makes the bridge for the swarm's own network"
        return Check(CLAIM, node, Verdict.FAIL, "one on every node of a swarm", "none", remedy)
    if not needed:
        return Check(CLAIM, node, Verdict.PASS, "none", "none")
    expected = f"one for {', '.join(ours or needed)}"
    remedy = (
        f"Docker makes it when a container joins: on {node}, disconnect the container from the overlay and connect it"
    )
    return Check(CLAIM, node, Verdict.FAIL if ours else Verdict.WARN, expected, "none", remedy)
