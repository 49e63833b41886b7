"""Whether the nodes' network carries packets of full size, judged from interfaces and from what was counted."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from runbook_lib.facts.overlay.interfaces import HostInterface
from runbook_lib.model.parameters import Overlay
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.ports import PROBES, NodeCounts, PortReading, Stage
from runbook_lib.verify.preflight import Link, judge_full_size, needed_bytes, probed_address

NAMES = ("node1", "node2", "node3", "node4")


def rows(
    mtus: dict[str, int] | None = None,
    *,
    kept_in: str = "",
    lost_to: str = "",
    filtered_by: str = "",
    closed: tuple[str, ...] = (),
    some: int = 0,
    errors: tuple[str, ...] = (),
) -> dict[str, Check]:
    links = {name: Link("eth1", f"10.1.0.{place}", (mtus or {}).get(name, 1500)) for place, name in enumerate(NAMES, 1)}
    pairs = [(one, other) for one in NAMES for other in NAMES if one != other]
    packets: dict[str, dict[tuple[Stage, str, str, int], int]] = {name: {} for name in NAMES}
    for sender, receiver in pairs:
        left = sender != kept_in and links[sender].mtu >= 1500
        arrived = left and receiver != lost_to and links[receiver].mtu >= 1500
        passed = arrived and receiver != filtered_by
        packets[sender]["left", "udp", links[receiver].address, 4789] = PROBES * left
        packets[receiver]["arrived", "udp", links[sender].address, 4789] = PROBES * arrived
        packets[receiver]["passed", "udp", links[sender].address, 4789] = PROBES if passed else some * arrived
    stages = frozenset[Stage](("left", "arrived", "passed"))
    reading = PortReading(
        sent={(one, ("udp", links[other].address, 4789)): "sent" for one, other in pairs},
        counts={name: NodeCounts("security", stages, packets[name]) for name in NAMES},
    )
    silent = dict.fromkeys(errors, "no route to host")
    return {row.node: row for row in judge_full_size(NAMES, 1500, 4789, links, silent, set(closed), reading)}


def verdicts(found: dict[str, Check]) -> list[Verdict]:
    return [row.verdict for row in found.values()]


def test_packets_of_full_size_that_arrive_pass() -> None:
    assert verdicts(rows()) == [Verdict.PASS] * 4


def test_the_node_with_the_smaller_interface_is_named_and_accuses_nobody_else() -> None:
    found = rows({"node3": 1400})
    assert verdicts(found) == [Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.PASS]
    assert found["node3"].found == "its eth1 takes 1400"
    assert "ip link set eth1 mtu 1500 on node3" in found["node3"].remedy
    assert "com.docker.network.driver.mtu: 1350" in found["node3"].remedy


@pytest.mark.parametrize("where", ["kept_in", "lost_to", "filtered_by"])
def test_whoever_loses_large_packets_fails_though_its_interface_says_1500(where: str) -> None:
    found = rows(**{where: "node2"})  # type: ignore[arg-type]
    assert verdicts(found) == [Verdict.PASS, Verdict.FAIL, Verdict.PASS, Verdict.PASS]
    assert f"0 of {PROBES}" in found["node2"].found
    assert "by its length" in found["node2"].remedy


def test_where_some_large_packets_pass_nothing_drops_them_by_their_length() -> None:
    row = rows(filtered_by="node3", some=1)["node3"]
    assert row.found.startswith("from node1, node2, node4: 1 of 3 (the rest lost in its filter)")
    assert "iptables -nvL INPUT" in row.remedy
    assert "by its length" not in row.remedy


@pytest.mark.parametrize(
    "changes",
    [{"mtus": {"node2": 1400}}, {"errors": ("node2",)}, {"kept_in": "node2"}, {"filtered_by": "node2", "some": 2}],
)
def test_every_row_of_full_size_that_fails_says_what_to_do_about_it(changes: dict[str, object]) -> None:
    found = rows(**changes)  # type: ignore[arg-type]
    assert [name for name, row in found.items() if row.verdict is Verdict.FAIL] == ["node2"]
    assert found["node2"].remedy


def test_where_small_packets_do_not_pass_large_ones_are_not_judged() -> None:
    found = rows(lost_to="node2", closed=("node2",))
    assert verdicts(found) == [Verdict.PASS, Verdict.SKIP, Verdict.PASS, Verdict.PASS]
    assert found["node2"].found == "not tried: small ones do not pass (udp 4789)"


@pytest.mark.parametrize(
    ("addresses", "probed"),
    [
        (("10.1.0.1/24", "10.1.0.101/24"), "10.1.0.1"),
        (("192.0.2.7/24", "10.1.0.101/24"), "10.1.0.101"),
        (("192.0.2.7/24",), "192.0.2.7"),
    ],
)
def test_of_several_addresses_the_one_is_tried_that_packets_to_the_cluster_come_from(
    addresses: tuple[str, ...], probed: str
) -> None:
    interface = HostInterface("node1", "eth1", addresses[0], "02:00", 1500, "UP", others=addresses[1:])
    assert probed_address(interface, IPv4Network("10.1.0.0/24")) == probed


@pytest.mark.parametrize(("options", "needed"), [({}, 1500), ({"com.docker.network.driver.mtu": "1350"}, 1400)])
def test_an_overlay_with_smaller_packets_needs_less(options: dict[str, str], needed: int) -> None:
    assert needed_bytes(Overlay(options=options)) == needed
