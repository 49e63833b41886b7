"""Verdicts on engines, clocks, subnets and pools."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.cluster import Outcome
from runbook_lib.errors import UnreachableError
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.docker.engine import EngineFacts, Mode, parse_version
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.facts.host.host import HostFacts
from runbook_lib.facts.overlay.interfaces import Route
from runbook_lib.model.parameters import Etcd
from runbook_lib.model.results import Verdict
from runbook_lib.verify.preflight import (
    judge_clocks,
    judge_engine_ids,
    judge_engines,
    judge_forwarding,
    judge_pool,
    judge_subnets,
)

ENGINE = EngineFacts(
    "node1", "20.10.24+dfsg1", "1.41", "AAAA", "etcd", "etcd://10.1.0.1:2379", "", "overlay2", "6.1", "Debian", 1
)

STORE = EtcdStore(Etcd())


def engine(version: str = "20.10.24+dfsg1", mode: Mode = "etcd") -> Outcome[EngineFacts]:
    return Outcome("node1", replace(ENGINE, version=version, mode=mode), None, 0.0)


def clock(node: str, offset: float, uncertainty: float = 5.0) -> Outcome[HostFacts]:
    return Outcome(node, HostFacts(node, "boot", 0.0, offset, uncertainty, "6.1"), None, 0.0)


def test_a_node_that_does_not_forward_is_a_warning_with_the_command_and_others_have_no_row() -> None:
    idle = Outcome("node2", HostFacts("node2", "boot", 0.0, 0.0, 5.0, "6.1", forwards=False), None, 0.0)
    (row,) = judge_forwarding([clock("node1", 0.0), idle])
    assert (row.node, row.verdict) == ("node2", Verdict.WARN)
    assert row.remedy.startswith("sysctl -w net.ipv4.ip_forward=1 on node2")


@pytest.mark.parametrize(
    ("outcome", "verdict", "remedy"),
    [
        pytest.param(engine(), Verdict.PASS, "", id="20.10 with a store"),
        pytest.param(engine("26.1.5"), Verdict.FAIL, "last series with --cluster-store", id="too new"),
        pytest.param(engine("1.8.3"), Verdict.FAIL, "came with Docker 1.9", id="too old"),
        pytest.param(engine(mode="none"), Verdict.FAIL, "--cluster-store=etcd://", id="no store"),
        pytest.param(engine(mode="swarm"), Verdict.FAIL, "choose control_plane: swarm-mode", id="in a swarm"),
    ],
)
def test_an_engine_must_be_able_to_use_a_store(outcome: Outcome[EngineFacts], verdict: Verdict, remedy: str) -> None:
    (row,) = judge_engines([outcome], STORE)
    assert row.verdict is verdict
    assert remedy in row.remedy


def test_a_silent_node_fails_and_the_others_still_answer() -> None:
    silent = Outcome[EngineFacts]("node2", None, UnreachableError("node2", "no answer"), 0.0)
    found = {row.node: row for row in judge_engines([engine(), silent], STORE)}
    assert found["node1"].verdict is Verdict.PASS
    assert found["node2"].found == "no answer"


def test_cloned_engines_are_named() -> None:
    engines = {name: replace(ENGINE, node=name) for name in ("node1", "node2")}
    first, second = judge_engine_ids(engines)
    assert (first.verdict, first.node, first.found) == (Verdict.FAIL, "node1", "AAAA, also the ID of node2")
    assert "all but one of node1, node2" in first.remedy
    assert second.node == "node2"
    fine = judge_engine_ids({**engines, "node2": replace(ENGINE, node="node2", engine_id="BBBB")})
    assert [row.verdict for row in fine] == [Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize(
    ("offset", "uncertainty", "verdict"),
    [
        (40.0, 5.0, Verdict.PASS),
        (700.0, 5.0, Verdict.WARN),
        (700.0, 400.0, Verdict.PASS),
        (-2500.0, 20.0, Verdict.FAIL),
    ],
)
def test_a_clock_is_judged_beyond_its_uncertainty(offset: float, uncertainty: float, verdict: Verdict) -> None:
    rows = list(judge_clocks([clock("node1", 0), clock("node2", 1), clock("node3", offset, uncertainty)]))
    assert [row.verdict for row in rows] == [Verdict.PASS, Verdict.PASS, verdict]


def test_routes_and_networks_that_overlap_are_named_and_the_overlay_itself_is_not() -> None:
    routes = [Route("", "node1", "default", "10.0.0.254", "eth0"), Route("", "node1", "10.0.0.0/16", "", "tun0")]
    networks = [
        NetworkFacts("node1", "a", "ovr0", "overlay", "global", "10.0.0.0/24", ""),
        NetworkFacts("node1", "b", "other", "overlay", "global", "10.0.0.128/25", ""),
        NetworkFacts("node1", "c", "host", "host", "local", "", ""),
    ]
    row = judge_subnets("node1", "ovr0", "10.0.0.0/24", routes, networks)
    assert row.verdict is Verdict.FAIL
    assert row.found == "route 10.0.0.0/16 dev tun0, network other 10.0.0.128/25"
    assert judge_subnets("node1", "ovr0", "10.0.0.0/24", routes[:1], networks[:1]).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("subnet", "used", "needed", "verdict"),
    [
        ("10.0.0.0/24", 2, 2, Verdict.PASS),
        ("10.0.0.0/30", 0, 2, Verdict.FAIL),
        ("10.0.0.0/29", 5, 1, Verdict.FAIL),
        ("10.0.0.0/29", 4, 1, Verdict.PASS),
    ],
)
def test_a_pool_must_have_addresses_left(subnet: str, used: int, needed: int, verdict: Verdict) -> None:
    assert judge_pool("ovr0", subnet, used, needed, exists=used > 0).verdict is verdict


@pytest.mark.parametrize(("version", "parts"), [("20.10.24+dfsg1", (20, 10, 24)), ("26.1", (26, 1)), ("dev", ())])
def test_a_version_is_compared_by_its_numbers(version: str, parts: tuple[int, ...]) -> None:
    assert parse_version(version) == parts
