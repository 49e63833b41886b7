from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace, parse_forwarding, parse_hidden_namespace
from runbook_lib.facts.sections import parse_sections
from runbook_lib.model.results import Verdict
from runbook_lib.verify.overlay_tables import audit, check_entries
from tests.unit.facts.conftest import CAPTURED

VTEPS = {"node3": "192.168.95.106", "node4": "192.168.95.107"}


def container(node: str, name: str, last: int) -> ContainerFacts:
    return ContainerFacts(
        node,
        "id",
        name,
        "alpine",
        "sha",
        "sh",
        "running",
        "",
        "no",
        addresses={"ovr0": f"10.0.0.{last}"},
        macs={"ovr0": f"02:42:0a:00:00:0{last}"},
    )


CONTAINERS = [container("node3", "alpine1", 3), container("node4", "alpine2", 2)]


@pytest.fixture
def hidden() -> HiddenNamespace:
    return parse_hidden_namespace("node3", parse_sections((CAPTURED / "hidden_namespace.txt").read_text()))


def verdicts(hidden: HiddenNamespace, containers: list[ContainerFacts], vteps: dict[str, str] | None = None):
    return {entry.table: entry.verdict for entry in audit([hidden], containers, "ovr0", vteps or VTEPS)}


def test_tables_that_say_the_truth_pass_and_a_nodes_own_containers_need_no_row(hidden: HiddenNamespace) -> None:
    assert verdicts(hidden, CONTAINERS) == {"neighbour": Verdict.PASS, "forwarding": Verdict.PASS}


def test_a_paused_container_is_still_where_its_rows_lead(hidden: HiddenNamespace) -> None:
    paused = [replace(item, state="paused") for item in CONTAINERS]
    assert set(verdicts(hidden, paused).values()) == {Verdict.PASS}


def test_a_row_that_leads_to_a_node_where_the_container_is_not_fails(hidden: HiddenNamespace) -> None:
    moved = VTEPS | {"node4": "192.168.95.28"}
    assert verdicts(hidden, CONTAINERS, moved)["forwarding"] is Verdict.FAIL


def test_two_missing_rows_warn_for_the_first_packet_makes_the_engine_ask(hidden: HiddenNamespace) -> None:
    empty = replace(hidden, forwarding=(), neighbours=())
    assert set(verdicts(empty, CONTAINERS).values()) == {Verdict.WARN}


def test_a_missing_neighbour_alone_warns_for_the_engine_is_asked_for_it(hidden: HiddenNamespace) -> None:
    assert verdicts(replace(hidden, neighbours=()), CONTAINERS) == {
        "neighbour": Verdict.WARN,
        "forwarding": Verdict.PASS,
    }


def test_a_missing_forwarding_row_fails_while_its_neighbour_stands(hidden: HiddenNamespace) -> None:
    half = replace(hidden, forwarding=())
    assert verdicts(half, CONTAINERS) == {"neighbour": Verdict.PASS, "forwarding": Verdict.FAIL}
    (row,) = [check for check in check_entries(audit([half], CONTAINERS, "ovr0", VTEPS)) if check.remedy]
    assert "no entry, although the neighbour table has this MAC" in row.found
    write = "bridge fdb replace 02:42:0a:00:00:02 dev vxlan0 dst 192.168.95.107 self permanent"
    assert f"on node3 as root: nsenter --net={hidden.path} {write}" in row.remedy


def test_a_row_that_was_only_learned_does_not_hide_that_the_engines_own_is_missing(hidden: HiddenNamespace) -> None:
    learned = parse_forwarding("02:42:0a:00:00:02 dev vxlan0 dst 192.168.95.107 link-netnsid 0 self \n")
    assert verdicts(replace(hidden, forwarding=learned), CONTAINERS)["forwarding"] is Verdict.FAIL
    # without the neighbour nothing of it was written yet: a packet came before the gossip
    cold = replace(hidden, forwarding=learned, neighbours=())
    assert verdicts(cold, CONTAINERS) == {"neighbour": Verdict.WARN, "forwarding": Verdict.PASS}


def test_a_row_that_leads_to_no_container_warns_and_says_so(hidden: HiddenNamespace) -> None:
    entries = audit([hidden], CONTAINERS[:1], "ovr0", VTEPS)
    assert {entry.verdict for entry in entries} == {Verdict.WARN}
    assert "no such entry" in check_entries(entries)[0].expected


def test_a_row_that_leads_to_a_load_balancer_of_a_swarm_is_not_counted(hidden: HiddenNamespace) -> None:
    rows = audit([hidden], CONTAINERS[:1], "ovr0", VTEPS)
    balancers = [Endpoint("ovr0-endpoint", "e", entry.key, entry.key) for entry in rows]
    assert rows
    assert audit([hidden], CONTAINERS[:1], "ovr0", VTEPS, balancers) == ()
