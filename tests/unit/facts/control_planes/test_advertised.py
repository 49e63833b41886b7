"""Where an engine is told to the others, from what a node said whose engine advertised the wrong interface."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.control_planes.base import Advertised, choose_vtep, parse_advertised
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.facts.host.ip import parse_ip_addr
from runbook_lib.facts.sections import Section
from runbook_lib.model.parameters import Etcd, Parameters
from runbook_lib.model.results import Verdict
from runbook_lib.verify.members import judge_advertised

STORE = EtcdStore(Etcd())
RIGHT, WRONG = "192.168.93.105", "10.213.26.12"


def advertised(captured_sections, told: str, **changes: Section) -> Advertised:
    sections = captured_sections("advertised.txt") | changes
    return parse_advertised("node2", told, "eth1", parse_ip_addr(sections["interfaces"].text), sections)


def test_an_engine_that_advertises_another_interface_is_named_with_its_file(captured_sections) -> None:
    found = advertised(captured_sections, f"{WRONG}:2376")
    assert found == Advertised("node2", WRONG, "eth0", "eth1", (RIGHT,), "eth0:2376", "/var/lib/boot2docker/profile")
    row = judge_advertised(found, STORE)
    assert (row.verdict, row.node, row.found) == (Verdict.FAIL, "node2", f"{WRONG}, the address of eth0")
    assert row.remedy == (
        "on node2: set --cluster-advertise=eth1:2376 in place of eth0:2376 in /var/lib/boot2docker/profile,"
        " and restart dockerd"
    )


@pytest.mark.parametrize("told", [f"{RIGHT}:2376", RIGHT])
def test_an_address_on_the_clusters_network_is_right(captured_sections, told: str) -> None:
    assert judge_advertised(advertised(captured_sections, told), STORE).verdict is Verdict.PASS


def test_an_address_that_moved_since_the_engine_started_needs_a_restart_of_it_alone(captured_sections) -> None:
    options = Section("dockerd\n--cluster-advertise\neth1:2376\n", 0)
    row = judge_advertised(advertised(captured_sections, "192.168.93.200:2376", command=options), STORE)
    assert row.found == "192.168.93.200, which no interface of the node has"
    assert row.remedy == "restart dockerd on node2: it still uses the address from its start"


def test_daemon_json_counts_where_the_command_line_says_nothing(captured_sections) -> None:
    settings = Section('{"cluster-advertise": "eth0:2375"}', 0)
    found = advertised(captured_sections, f"{WRONG}:2375", command=Section("dockerd\n", 0), settings=settings)
    assert found.setting == "eth0:2375"


SWARM = SwarmMode(Parameters.model_validate({"control_plane": "swarm-mode"}))


def test_a_swarm_keeps_the_address_that_an_engine_joined_with_and_may_have_another_for_packets(
    captured_sections,
) -> None:
    row = judge_advertised(advertised(captured_sections, WRONG), SWARM)
    assert (row.verdict, row.found) == (Verdict.WARN, f"{WRONG}, the address of eth0")
    assert row.remedy.startswith(f"nothing to do if its engine joined with --data-path-addr eth1 or {RIGHT} ")
    assert f"--advertise-addr {RIGHT}" in row.remedy


def test_an_engine_of_a_swarm_that_has_no_address_at_all_fails(captured_sections) -> None:
    assert judge_advertised(advertised(captured_sections, ""), SWARM).verdict is Verdict.FAIL


def test_a_node_without_an_address_there_has_nothing_to_compare_with(captured_sections) -> None:
    found = replace(advertised(captured_sections, f"{WRONG}:2376"), own=())
    assert judge_advertised(found, STORE).verdict is Verdict.SKIP


@pytest.mark.parametrize(
    ("advertised", "own", "vtep"),
    [
        ("10.1.0.1", ("10.1.0.101", "10.1.0.1"), "10.1.0.1"),
        ("10.1.0.101", ("10.1.0.101", "10.1.0.1"), "10.1.0.101"),
        ("10.0.2.15", ("10.1.0.101", "10.1.0.1"), "10.1.0.1"),
        ("", ("10.1.0.101", "10.1.0.1"), "10.1.0.1"),
        ("10.0.2.15", ("10.1.0.101",), "10.1.0.101"),
        ("10.0.2.15", (), "10.1.0.1"),
    ],
)
def test_the_tables_must_lead_to_what_the_engine_advertises_on_the_clusters_network(
    advertised: str, own: tuple[str, ...], vtep: str
) -> None:
    assert choose_vtep(Advertised("node1", advertised, "", "eth1", own), planned="10.1.0.1") == vtep
