from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.facts.overlay.hidden_namespace import (
    FIND_NAMESPACE,
    ForwardingEntry,
    Neighbour,
    parse_forwarding,
    parse_hidden_namespace,
    parse_neighbours,
)
from runbook_lib.facts.sections import Section


@pytest.fixture
def hidden(captured_sections):
    return parse_hidden_namespace("node3", captured_sections("hidden_namespace.txt"))


OVR0 = "f318e1f023a50611b6496b19fba6a8a1081116f22003eb4d2b5b53f410823f7c"
Search = Callable[..., str]


@pytest.fixture(params=["sh", "bash"])
def search(request: pytest.FixtureRequest, tmp_path: Path) -> Search:
    """What the node's shell finds for a network's ID, with files of these names, of which some are namespaces."""

    def find(network: str, files: list[str], mounted: list[str]) -> str:
        for name in files:
            (tmp_path / name).touch()
        table = [f"40 24 0:4 net:[4026532{number}] {tmp_path}/{name} rw\n" for number, name in enumerate(mounted)]
        (tmp_path / "mountinfo").write_text("".join(table))
        script = FIND_NAMESPACE.replace("/var/run/docker/netns", str(tmp_path))
        script = script.replace("/docker/netns/", f"{tmp_path}/").replace("/proc/self", str(tmp_path))
        argv = [request.param, "-c", f'{script}hidden_namespace "$1"', "sh", network]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip().rpartition("/")[2]

    return find


@pytest.mark.parametrize("name", ["1-f318e1f023", "12-f318e1f02", "100-f318e1f0", "1000-f318e1f"])
def test_it_is_found_however_often_the_engine_has_made_it(search: Search, name: str) -> None:
    others = ["a2b10f2302b2", "default", "1-0318e1f023", "lb_f318e1f02", "ingress_sbox"]
    assert search(OVR0, [*others, name], [*others, name]) == name


def test_a_file_that_outlived_its_namespace_is_none(search: Search) -> None:
    files = ["9-f318e1f023", "10-f318e1f02"]
    assert search(OVR0, files, ["10-f318e1f02"]) == "10-f318e1f02"
    assert search(OVR0, files, ["9-f318e1f023"]) == "9-f318e1f023"
    assert search(OVR0, files, []) == ""
    assert search("0" + OVR0, files, files) == ""
    assert search(OVR0, [], []) == ""


def test_it_holds_a_bridge_a_tunnel_and_a_cable_to_each_container(hidden) -> None:
    assert (hidden.node, hidden.name) == ("node3", hidden.path.rpartition("/")[2])
    assert [(link.name, link.kind, link.bridge, link.mtu) for link in hidden.links] == [
        ("br0", "bridge", "", 1450),
        ("vxlan0", "vxlan", "br0", 1450),
        ("veth0", "veth", "br0", 1450),
    ]
    assert hidden.bridge is not None
    assert hidden.bridge.address == "10.0.0.1/24"


def test_what_the_kernel_puts_into_every_namespace_is_not_of_the_overlay(captured, captured_sections, hidden) -> None:
    sections = captured_sections("hidden_namespace.txt")
    text = sections["links"].text + captured("ip_addr_fallback_devices.txt")
    assert parse_hidden_namespace("node3", sections | {"links": Section(text, 0)}) == hidden


def test_the_tunnel_tells_its_number_and_port(hidden) -> None:
    assert hidden.vxlan is not None
    assert (hidden.vxlan.vni, hidden.vxlan.port, hidden.vxlan.peer_index) == (256, 4789, 0)
    assert hidden.links[2].peer_index > 0


def test_its_tables_tell_what_docker_wrote_of_the_other_nodes(hidden) -> None:
    assert [row for row in hidden.forwarding if row.vtep] == [
        ForwardingEntry("02:42:0a:00:00:02", "vxlan0", "192.168.95.107", permanent=True)
    ]
    assert Neighbour("10.0.0.2", "vxlan0", "02:42:0a:00:00:02", "PERMANENT") in hidden.neighbours


def test_groups_are_left_out_and_what_was_learned_is_told_from_what_was_written() -> None:
    text = (
        "33:33:00:00:00:01 dev br0 self permanent\n"
        "01:00:5e:00:00:01 dev br0 self permanent\n"
        "02:42:0a:00:00:03 dev veth0 master br0\n"
    )
    assert parse_forwarding(text) == (ForwardingEntry("02:42:0a:00:00:03", "veth0", "", permanent=False),)


def test_a_neighbour_that_nobody_could_tell_has_no_mac() -> None:
    text = "10.0.0.9 dev vxlan0  FAILED\nfe80::1 dev vxlan0 lladdr 02:42:0a:00:00:01 STALE\n"
    assert parse_neighbours(text) == (Neighbour("10.0.0.9", "vxlan0", "", "FAILED"),)


@pytest.mark.parametrize("parse", [parse_forwarding, parse_neighbours])
def test_other_text_is_refused(parse) -> None:
    with pytest.raises(ValueError, match=r"not an? .*entry"):
        parse("Cannot talk to the kernel\n")
