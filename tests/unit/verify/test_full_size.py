"""Whether the nodes' network carries packets of full size, judged from interfaces and from what was counted."""

from __future__ import annotations

import pytest

from runbook_lib.model.parameters import Overlay
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.full_size import Link, judge_full_size, needed_bytes
from runbook_lib.verify.ports import PROBES, NodeCounts, PortReading

NAMES = ("node1", "node2", "node3")


def rows(
    mtus: dict[str, int],
    lost: tuple[str, ...] = (),
    closed: tuple[str, ...] = (),
    filtered: tuple[str, ...] = (),
) -> dict[str, Check]:
    links = {name: Link("eth1", f"10.1.0.{place}", mtus.get(name, 1500)) for place, name in enumerate(NAMES)}
    counts = {
        name: NodeCounts(
            "security",
            frozenset(("arrived", "passed")),
            {
                (stage, "udp", links[other].address, 4789): 0 if name in where else PROBES
                for other in NAMES
                if other != name
                for stage, where in (("arrived", lost), ("passed", (*lost, *filtered)))
            },
        )
        for name in NAMES
    }
    reading = PortReading(counts=counts)
    return {row.node: row for row in judge_full_size(NAMES, 1500, 4789, links, {}, set(closed), reading)}


def test_packets_of_full_size_that_arrive_pass() -> None:
    found = rows({})
    assert {row.verdict for row in found.values()} == {Verdict.PASS}
    assert found["node1"].found == f"{PROBES} each from node2, node3"


def test_the_node_with_the_smaller_interface_is_named_and_its_packets_accuse_nobody_else() -> None:
    found = rows({"node3": 1400}, lost=("node3",))
    assert [row.verdict for row in found.values()] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert found["node3"].found == "its eth1 takes 1400"
    assert "ip link set eth1 mtu 1500 on node3" in found["node3"].remedy
    assert "com.docker.network.driver.mtu: 1350" in found["node3"].remedy


def test_large_packets_that_are_lost_on_the_way_fail_though_the_interfaces_say_1500() -> None:
    row = rows({}, lost=("node2",))["node2"]
    assert (row.verdict, row.found) == (Verdict.FAIL, f"0 of {PROBES} from node1, 0 of {PROBES} from node3")
    assert "on the way to node2" in row.remedy


def test_large_packets_that_arrive_and_are_dropped_are_the_nodes_own_firewall() -> None:
    row = rows({}, filtered=("node2",))["node2"]
    assert row.verdict is Verdict.FAIL
    assert row.found.endswith("though they arrive: its own firewall drops them")
    assert "by its length on node2" in row.remedy


def test_where_small_packets_do_not_pass_large_ones_are_not_judged() -> None:
    row = rows({}, lost=("node2",), closed=("node2",))["node2"]
    assert (row.verdict, row.found) == (Verdict.SKIP, "not tried: small ones do not pass (udp 4789)")


@pytest.mark.parametrize(("options", "needed"), [({}, 1500), ({"com.docker.network.driver.mtu": "1350"}, 1400)])
def test_an_overlay_with_smaller_packets_needs_less(options: dict[str, str], needed: int) -> None:
    assert needed_bytes(Overlay(options=options)) == needed
