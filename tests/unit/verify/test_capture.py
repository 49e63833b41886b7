"""The verdicts on a captured ping."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.overlay.hidden_namespace import OverlayLink
from runbook_lib.model.results import Verdict
from runbook_lib.verify.capture import judge, parse_capture
from runbook_lib.verify.prober import program

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


# In a network of its own: unknown_peers' packets, then one of ours each way, each seen twice on the loopback interface.
BUSY_WIRE = r"""
import re, socket, subprocess, sys
frames = [bytes.fromhex(frame) for frame in re.findall("^packet.*\\t([0-9a-f]+)$", sys.argv[2], re.MULTILINE)]
ours = [frame[42:] for frame in frames]
capture = ["perl", "-e", sys.argv[1], "lo", "4789", "20", "4", "10.0.0.3", "10.0.0.2", *sys.argv[3:]]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
tap = subprocess.Popen(capture, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert tap.stdout.readline() == "ready\n"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    other_containers = [load.replace(bytes([10, 0, 0, 3]), bytes([10, 0, 0, 9])) for load in ours]
    other_overlay = [load[:4] + bytes([0, 1, 1]) + load[7:] for load in ours]
    no_inner = [bytes(8), ours[0][:30], b""]
    for load in (*other_containers * 5, *other_overlay * 5, *no_inner, *ours):
        sender.sendto(load, ("127.0.0.1", 4789))
print(tap.communicate("")[0])
"""


def test_what_others_send_meanwhile_is_neither_captured_nor_counted(captured) -> None:
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", BUSY_WIRE]
    arguments = [program("capture.pl"), captured("capture_ping_node3.txt"), "256"]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True, timeout=60)
    found = parse_capture("node3", done.stdout)
    request, reply = ("echo request", "10.0.0.3"), ("echo reply", "10.0.0.2")
    assert [(packet.what, packet.header("inner IPv4").source) for packet in found] == [request, request, reply, reply]
    assert {packet.vni for packet in found} == {256}
