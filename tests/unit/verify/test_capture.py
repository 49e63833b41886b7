"""The verdicts on a captured ping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.hidden_namespace import OverlayLink
from runbook_lib.model.results import Verdict
from runbook_lib.verify.capture import judge, parse_capture

ADDRESSES = {"node3": "192.168.95.106", "node4": "192.168.95.107"}
TUNNEL = OverlayLink("vxlan0", "vxlan", "", "", 1450, "br0", 6, 0, vni=256, port=4789)


def container(node: str, name: str, address: str) -> ContainerFacts:
    return ContainerFacts(node, "id", name, "alpine", "sha", "sh", "running", "", "no", addresses={"ovr0": address})


ONE, OTHER = container("node3", "alpine1", "10.0.0.3"), container("node4", "alpine2", "10.0.0.2")


@pytest.fixture
def packets(captured):
    return [packet for node in ADDRESSES for packet in parse_capture(node, captured(f"capture_ping_{node}.txt"))]


def failed(packets, tunnel=TUNNEL, answered=True, addresses=None):
    checks = judge(packets, ONE, OTHER, "ovr0", tunnel, answered, addresses or ADDRESSES)
    return [check.check for check in checks if check.verdict is Verdict.FAIL]


def test_a_good_ping_passes_every_check(packets) -> None:
    assert failed(packets) == []


def test_a_packet_that_does_not_arrive_is_told(packets) -> None:
    lost = [packet for packet in packets if packet.node == "node3" and packet.direction == "sent"]
    assert failed(lost, answered=False) == ["the ping is answered", "the same packet arrives at the other node"]


def test_another_vni_another_node_and_a_changed_frame_are_told(packets) -> None:
    assert failed(packets, tunnel=replace(TUNNEL, vni=300)) == ["its VNI is that of the VXLAN interface"]
    drifted = ADDRESSES | {"node4": "192.168.95.28"}
    assert failed(packets, addresses=drifted) == ["outside it goes from node to node"]
    changed = [replace(packet, inner=b"") if packet.node == "node4" else packet for packet in packets]
    assert failed(changed) == ["it arrives untouched"]
