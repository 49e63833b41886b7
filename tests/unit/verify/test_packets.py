"""Packets that were really captured, on both nodes of one ping."""

from __future__ import annotations

import pytest

from runbook_lib.verify.capture import OVERHEAD, between, decode, parse_capture


@pytest.fixture
def ping(captured):
    return [
        packet for node in ("node3", "node4") for packet in parse_capture(node, captured(f"capture_ping_{node}.txt"))
    ]


def test_request_and_reply_are_seen_where_they_leave_and_where_they_arrive(ping) -> None:
    assert [(packet.node, packet.direction, packet.what) for packet in ping] == [
        ("node3", "sent", "echo request"),
        ("node3", "received", "echo reply"),
        ("node4", "received", "echo request"),
        ("node4", "sent", "echo reply"),
    ]


def test_every_header_is_told_with_its_length_and_ends(ping) -> None:
    request = ping[0]
    assert [(header.layer, header.length) for header in request.headers] == [
        ("outer Ethernet", 14),
        ("outer IPv4", 20),
        ("UDP", 8),
        ("VXLAN", 8),
        ("inner Ethernet", 14),
        ("inner IPv4", 20),
        ("ICMP", 8),
        ("ping's own data", 56),
    ]
    assert request.vni == 256
    assert (request.header("outer IPv4").source, request.header("outer IPv4").destination) == (
        "192.168.95.106",
        "192.168.95.107",
    )
    assert (request.header("inner IPv4").source, request.header("inner IPv4").destination) == ("10.0.0.3", "10.0.0.2")
    assert request.header("UDP").destination == "4789"


def test_the_overlay_costs_50_bytes_of_ip_packet(ping) -> None:
    assert {packet.overhead for packet in ping} == {50}
    assert (ping[0].length_from("outer IPv4"), ping[0].length_from("inner IPv4")) == (134, 84)
    assert sum(header.length for header in ping[0].headers if header.layer in OVERHEAD) == 50


def test_the_inner_frame_arrives_as_it_left(ping) -> None:
    assert ping[0].inner == ping[2].inner
    assert len(ping[0].inner) == 98


def test_a_packet_larger_than_the_mtu_travels_as_two_fragments(captured) -> None:
    sent = [p for p in parse_capture("node3", captured("capture_fragments_node3.txt")) if p.direction == "sent"]
    assert [packet.what for packet in sent] == ["echo request", "fragment"]
    assert [packet.length_from("outer IPv4") for packet in sent] == [1494, 77]
    assert "more fragments follow" in sent[0].header("inner IPv4").says
    assert "fragment at byte 1424" in sent[1].header("inner IPv4").says


def test_other_conversations_are_left_out(ping) -> None:
    assert len(between(ping, "10.0.0.2", "10.0.0.3", 256)) == 4
    assert between(ping, "10.0.0.2", "10.0.0.3", 257) == ()
    assert between(ping, "10.0.0.2", "10.0.0.4", 256) == ()


def test_what_is_no_vxlan_packet_is_none(ping) -> None:
    assert decode("node3", "sent", 0.0, ping[0].inner) is None


def test_a_capture_that_was_cut_off_is_refused(captured) -> None:
    with pytest.raises(ValueError, match="cut off"):
        parse_capture("node3", captured("capture_ping_node3.txt").rpartition("end")[0])
