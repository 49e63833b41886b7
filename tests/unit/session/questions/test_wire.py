"""One captured ping as a notebook shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts, parse_container
from runbook_lib.facts.overlay.hidden_namespace import parse_hidden_namespace
from runbook_lib.facts.overlay.interfaces import HostInterface, parse_inside
from runbook_lib.facts.sections import parse_sections
from runbook_lib.model.inventory import ClusterNetwork
from runbook_lib.model.results import Verdict
from runbook_lib.session.questions.packet_capture import CaptureContext, CapturedPing
from runbook_lib.verify.capture import Capture, parse_capture
from tests.unit.facts.conftest import CAPTURED

WIRED = Path(__file__).parents[2] / "verify" / "captured"
UNDERLAY = ClusterNetwork(interface="eth1", subnet="192.168.95.0/24")


def text(name: str) -> str:
    return (CAPTURED / name).read_text()


@pytest.fixture
def capture_context() -> CaptureContext:
    alpine1 = parse_container("node3", json.loads(text("container_on_overlay.json")))
    addresses, routes = text("ip_addr_container_on_overlay.txt"), text("ip_route_container_on_overlay.txt")
    hidden = parse_hidden_namespace("node3", parse_sections(text("hidden_namespace.txt")))
    host = HostInterface("node3", "eth1", "192.168.95.106/24", "02:bb:df:e4:01:03", 1500, "UP")
    return CaptureContext(
        UNDERLAY, {"node3": hidden}, {"alpine1": parse_inside(alpine1, addresses, routes)}, {"node3": host}
    )


def wire(capture_context: CaptureContext, name: str = "ping") -> CapturedPing:
    packets = [
        p
        for node in ("node3", "node4")
        for p in parse_capture(node, (WIRED / f"capture_{name}_{node}.txt").read_text())
    ]
    one = parse_container("node3", json.loads(text("container_on_overlay.json")))
    other = ContainerFacts(
        "node4", "id", "alpine2", "alpine", "sha", "sh", "running", "", "no",
        addresses={"ovr0": "10.0.0.2"}, macs={"ovr0": "02:42:0a:00:00:02"},
    )  # fmt: skip
    tunnel = capture_context.hidden["node3"].vxlan
    return CapturedPing(Capture(one, other, "ovr0", tunnel, tuple(packets), ()), capture_context)


def test_each_sighting_is_a_row_with_the_time_since_the_first_on_that_node(capture_context: CaptureContext) -> None:
    table = wire(capture_context).table
    assert table["node"].tolist() == ["node3", "node3", "node4", "node4"]
    assert set(table["outer IP (bytes)"] - table["inner IP (bytes)"]) == {50}
    assert table["after (ms)"].tolist()[::2] == [0, 0]


def test_the_headers_add_up_to_the_overhead_and_say_whose_the_addresses_are(capture_context: CaptureContext) -> None:
    seen = wire(capture_context)
    table = seen.headers.set_index("header")
    assert table["overhead (bytes)"].sum() == seen.overhead == 50
    assert table["bytes"].sum() == 148
    assert table.loc["outer IPv4", "between"].startswith("node3 eth1 →")
    assert table.loc["inner Ethernet", "between"].startswith("alpine1 ")


def test_fragments_are_counted(capture_context: CaptureContext) -> None:
    assert wire(capture_context).request_count == 1
    assert wire(capture_context, "fragments").request_count == 2


def test_the_picture_knows_the_way_on_this_cluster(capture_context: CaptureContext) -> None:
    picture = wire(capture_context).picture()
    assert picture is not None
    words = repr(picture)
    assert "comes out of veth0 in the hidden namespace" in words
    assert "02:42:0a:00:00:02 is at 192.168.95.107" in words


def test_in_plan_mode_there_is_nothing_to_see_and_it_says_so() -> None:
    nothing = CapturedPing(None, CaptureContext(UNDERLAY))
    assert nothing.table.empty
    assert nothing.headers.empty
    assert nothing.picture() is None
    assert (nothing.overhead, nothing.request_count) == (None, 0)
    assert [check.verdict for check in nothing.checks] == [Verdict.SKIP]
