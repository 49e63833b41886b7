"""The verdicts on docker_gwbridge, from counters captured while five pings went each way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.model.results import Verdict
from runbook_lib.verify.gateway_bridge import BridgeExperiment, evaluate, parse_counters, parse_frames

Captured = Callable[[str], str]


def container() -> ContainerFacts:
    return ContainerFacts(
        "node1", "id", "v-01", "alpine", "sha", "sleep", "running", "", "no", pid=1, addresses={"ovr0": "10.77.0.4"}
    )


def experiment(text: str) -> BridgeExperiment:
    return evaluate(parse_frames(text), container(), "ovr0", "eth1", "10.77.0.5", "192.168.99.107", 5)


def test_east_west_moves_the_overlay_and_north_south_the_bridge(captured: Captured) -> None:
    found = experiment(captured("bridge.txt"))
    moved = {(row.traffic, row.role): row.moved for row in found.traffic}
    assert moved["east-west", "overlay"] >= 10
    assert moved["east-west", "gateway bridge"] == 0
    assert moved["north-south", "gateway bridge"] >= 10
    assert moved["north-south", "overlay"] == 0
    assert [check.verdict for check in found.checks] == [Verdict.PASS] * 3
    assert found.default_route == "default via 172.18.0.1 dev eth1"


def test_pings_without_an_answer_prove_nothing(captured: Captured) -> None:
    silent = captured("bridge.txt").replace("time=", "lost=")
    assert [check.verdict for check in experiment(silent).checks] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]


def test_a_container_without_a_default_route_fails_the_third_check(captured: Captured) -> None:
    internal = captured("bridge.txt").replace("default via 172.18.0.1 dev eth1 \n", "")
    assert experiment(internal).checks[2].found == "no default route"


def test_counters_are_packets_both_ways() -> None:
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n"
    assert parse_counters(head + "  eth0: 100 7 0 0 0 0 0 0 200 5 0 0 0 0 0 0\n") == {"eth0": 12}
    with pytest.raises(ValueError, match="no interface counters"):
        parse_counters("nsenter: cannot open")
