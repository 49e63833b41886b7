"""The verdicts on docker_gwbridge, from counters captured while five pings went each way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.sections import Section, parse_sections
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.gateway_bridge import BridgeExperiment, evaluate, parse_counters, parse_frames
from runbook_lib.verify.way_out import CHECK, judge_way_out

Captured = Callable[[str], str]


def container() -> ContainerFacts:
    return ContainerFacts(
        "node1", "id", "v-01", "alpine", "sha", "sleep", "running", "", "no", pid=1, addresses={"ovr0": "10.77.0.4"}
    )


def experiment(text: str, *ways: Check) -> BridgeExperiment:
    return evaluate(parse_frames(text), container(), "ovr0", "eth1", "10.77.0.5", "192.168.99.107", 5, ways)


def test_east_west_moves_the_overlay_and_north_south_the_bridge(captured: Captured) -> None:
    found = experiment(captured("bridge.txt"))
    moved = {(row.traffic, row.role): row.moved for row in found.traffic}
    assert moved["east-west", "overlay"] >= 10
    assert moved["east-west", "gateway bridge"] == 0
    assert moved["north-south", "gateway bridge"] >= 10
    assert moved["north-south", "overlay"] == 0
    assert [check.verdict for check in found.checks] == [Verdict.PASS] * 3
    assert found.default_route == "default via 172.18.0.1 dev eth1"


def counted_besides(
    text: str, place: str, interface: str, *, received: int, sent: int, moments: tuple[str, ...]
) -> str:
    """The text with packets of somebody else in an interface's counters from these moments on."""

    def more(frame: re.Match[str]) -> str:
        counters = re.compile(rf"^( *{interface}:)(.*)$", re.MULTILINE)
        return counters.sub(raise_counters, frame[0])

    def raise_counters(line: re.Match[str]) -> str:
        fields = line[2].split()
        fields[1], fields[9] = str(int(fields[1]) + received), str(int(fields[9]) + sent)
        return line[1] + " " + " ".join(fields)

    for moment in moments:
        text = re.sub(rf"^#>> {moment} {place}\n(?:.*\n)*?#<<$", more, text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize(
    ("moments", "place", "interface", "role", "traffic"),
    [
        (("between", "after"), "node", "docker_gwbridge", "gateway bridge", "east-west"),
        (("after",), "overlay", "vxlan0", "overlay", "north-south"),
    ],
)
def test_packets_of_others_on_the_nodes_interfaces_are_shown_and_judged_as_nothing(
    captured: Captured, moments: tuple[str, ...], place: str, interface: str, role: str, traffic: str
) -> None:
    text = counted_besides(captured("bridge.txt"), place, interface, received=500, sent=500, moments=moments)
    found = experiment(text)
    assert {(row.traffic, row.role): row.moved for row in found.traffic}[traffic, role] >= 1000
    assert [check.verdict for check in found.checks] == [Verdict.PASS] * 3


def test_broadcasts_of_others_that_reach_the_container_are_not_what_it_sent(captured: Captured) -> None:
    text = counted_besides(
        captured("bridge.txt"), "container", "eth1", received=500, sent=0, moments=("between", "after")
    )
    assert [check.verdict for check in experiment(text).checks] == [Verdict.PASS] * 3


def test_pings_that_the_container_sends_the_wrong_way_fail(captured: Captured) -> None:
    text = counted_besides(
        captured("bridge.txt"), "container", "eth1", received=5, sent=5, moments=("between", "after")
    )
    found = experiment(text)
    assert [check.verdict for check in found.checks] == [Verdict.FAIL, Verdict.PASS, Verdict.PASS]
    assert "by the gateway bridge 5;" in found.checks[0].found


def test_pings_without_an_answer_prove_nothing(captured: Captured) -> None:
    silent = captured("bridge.txt").replace("time=", "lost=")
    assert [check.verdict for check in experiment(silent).checks] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]


def test_a_lost_way_out_has_the_remedy_that_the_node_told_and_sends_nobody_round_in_a_circle(
    captured: Captured,
) -> None:
    way = Check(CHECK, "node1", Verdict.FAIL, remedy="ip link set docker_gwbridge up on node1")
    found = evaluate(
        parse_frames(captured("bridge.txt").replace("time=", "lost=")),
        replace(container(), node="node1"),
        "ovr0",
        "eth1",
        "10.77.0.5",
        "192.168.99.107",
        5,
        (way,),
    ).checks
    assert found[0] == way
    assert found[2].remedy == way.remedy
    assert "00_meet_the_cluster" in found[1].remedy
    assert not [check for check in found if "05" in check.remedy or "07" in check.remedy]


def test_a_bridge_that_was_deleted_is_no_unreadable_answer(captured: Captured) -> None:
    gone = captured("bridge.txt").replace("docker_gwbridge:", "docker_gwbridg0:").replace("time=", "lost=")
    found = experiment(gone)
    assert found.checks[1].verdict is Verdict.FAIL
    assert not [row for row in found.traffic if row.role == "gateway bridge"]


def way_out(captured: Captured, **changes: str) -> Check:
    """The row of node4, whose container gets an answer; each change replaces a section's text, ``None`` its success."""
    sections = parse_sections(captured("way_out.txt"))
    for name, text in changes.items():
        sections[name.replace("__", " ").replace("_", "-")] = Section(text, 1 if text.startswith("no ") else 0)
    return judge_way_out("node4", {"alpine2": "10.0.0.3"}, ["192.168.93.104"], sections)


def test_a_container_that_gets_an_answer_has_a_way_out(captured: Captured) -> None:
    assert way_out(captured).verdict is Verdict.PASS


DOWN = "25: docker_gwbridge: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN mode DEFAULT group default"
ROUTES = "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.3"


@pytest.mark.parametrize(
    ("changes", "found", "remedy"),
    [
        ({"bridge": DOWN}, "docker_gwbridge is down on node4", "ip link set docker_gwbridge up on node4"),
        ({"bridge": "no such device"}, "node4 has no interface docker_gwbridge", "restart dockerd on node4"),
        ({"forwarding": "0\n"}, "node4 does not forward", "sysctl -w net.ipv4.ip_forward=1 on node4"),
        ({"filter": "-P FORWARD DROP\n"}, "node4's chain FORWARD drops all", "on node4: restart dockerd"),
        ({"nat": "-P POSTROUTING ACCEPT\n"}, "node4 does not masquerade", "on node4: restart dockerd"),
        (
            {"nat": "-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE\n"},
            "node4 does not masquerade",
            "on node4: restart dockerd",
        ),
        ({"routes__alpine2": ROUTES}, "alpine2 has no default route", "docker restart alpine2 on node4"),
        (
            {"routes__alpine2": f"default via 172.19.0.9 dev eth1\n{ROUTES}"},
            "not via docker_gwbridge's 172.19.0.1",
            "docker restart alpine2 on node4",
        ),
        (
            {"addresses__alpine2": "33: eth0    inet 10.0.0.3/24 brd 10.0.0.255 scope global eth0"},
            "alpine2 has no interface on docker_gwbridge",
            "unless its network is internal",
        ),
        ({}, "the node forwards and masquerades", "iptables -S"),
    ],
)
def test_what_keeps_a_container_in_is_named_with_its_node_and_remedy(
    captured: Captured, changes: dict[str, str], found: str, remedy: str
) -> None:
    row = way_out(captured, knock__alpine2="", **changes)
    assert row.verdict is Verdict.FAIL
    assert row.node == "node4"
    assert row.found.startswith("alpine2: no answer; ")
    assert found in row.found
    assert remedy in row.remedy
    # one cause alone, since all else is as it should be
    assert row.found.count(";") == 1


def test_a_container_without_a_default_route_fails_the_third_check(captured: Captured) -> None:
    internal = captured("bridge.txt").replace("default via 172.18.0.1 dev eth1 \n", "")
    assert experiment(internal).checks[2].found == "no default route"


def test_counters_are_packets_both_ways() -> None:
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n"
    assert parse_counters(head + "  eth0: 100 7 0 0 0 0 0 0 200 5 0 0 0 0 0 0\n") == {"eth0": 12}
    with pytest.raises(ValueError, match="no interface counters"):
        parse_counters("nsenter: cannot open")
