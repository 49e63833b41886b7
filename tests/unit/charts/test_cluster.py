"""The cluster's picture: valid SVG, a text alternative, and what is broken drawn broken."""

from __future__ import annotations

import time
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from runbook_lib.charts import ClusterView, cluster_picture, describe
from runbook_lib.facts.registrations import StoreRegistration
from tests.unit.charts.conftest import address, container, view_of

SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> list[str]:
    return ["".join(item.itertext()) for item in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def crosses(svg: str) -> int:
    return sum(1 for _ in ElementTree.fromstring(svg).iter(f"{SVG}path"))


def dashed(svg: str) -> int:
    return sum("stroke-dasharray" in item.attrib for item in ElementTree.fromstring(svg).iter())


def test_a_healthy_cluster_shows_everything_and_nothing_broken(view: ClusterView) -> None:
    svg = cluster_picture(view)
    shown = words(svg)
    for expected in ("node4", "eth1 192.168.99.28", "Docker 20.10.24", "★ etcd1", "alpine2", "10.0.1.1", "ovr0"):
        assert expected in shown
    assert shown.count("docker_gwbridge") == 4
    assert (crosses(svg), dashed(svg)) == (0, 0)


def test_it_has_a_title_and_says_the_same_in_words(view: ClusterView) -> None:
    root = ElementTree.fromstring(cluster_picture(view))
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "Cluster of 4 nodes"
    assert root.findtext(f"{SVG}desc") == describe(view)
    assert "node1: 192.168.99.25 (static); Docker 20.10.24; etcd1 healthy, leader" in describe(view)


def test_a_silent_node_is_dashed_crossed_and_named(view: ClusterView) -> None:
    svg = cluster_picture(replace(view, silent={"node2": "no SSH connection"}))
    assert "does not answer" in words(svg)
    assert crosses(svg) >= 2
    assert dashed(svg) >= 2
    assert "node2 does not answer." in describe(replace(view, silent={"node2": "no SSH connection"}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"containers": [container("node3", "alpine1")]}, "not on ovr0", id="disconnected"),
        pytest.param({"containers": [container("node3", "alpine1", state="exited")]}, "exited", id="stopped"),
        pytest.param({"registrations": [StoreRegistration("node1", "a", False)]}, "store lost", id="no store"),
        pytest.param({"addresses": [address("node1", None, "192.168.99.25")]}, "eth1 no address", id="no address"),
    ],
)
def test_what_is_broken_is_crossed_and_said(view: ClusterView, change: dict[str, object], expected: str) -> None:
    svg = cluster_picture(replace(view, **change))  # type: ignore[arg-type]
    assert expected in words(svg)
    assert crosses(svg) >= 1


def test_a_drifted_address_is_marked(view: ClusterView) -> None:
    drifted = replace(view, addresses=[address("node1", "192.168.99.104", "192.168.99.25")])
    assert "! not .25" in words(cluster_picture(drifted))


def test_a_missing_overlay_is_dashed_and_said(view: ClusterView) -> None:
    svg = cluster_picture(replace(view, networks=(), containers=()))
    assert "there is no overlay network ovr0" in words(svg)
    assert dashed(svg) == 1


def test_two_members_on_one_node_are_both_drawn(view: ClusterView) -> None:
    svg = cluster_picture(replace(view, members=[replace(member, node="node1") for member in view.members]))
    assert {"★ etcd1", "etcd2", "etcd3"} <= set(words(svg))


def test_names_are_escaped_and_long_ones_cut_with_the_whole_as_tooltip(view: ClusterView) -> None:
    name = "a-name-that-is-much-longer-than-the-box-it-stands-in"
    svg = cluster_picture(replace(view, overlay="<ovr&0>", containers=[container("node1", name)]))
    assert any(item.findtext(f"{SVG}title") == name for item in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_many_containers_are_counted_rather_than_drawn() -> None:
    assert "and 28 more" in words(cluster_picture(view_of(1, 40)))


def test_sixteen_nodes_with_sixty_four_containers_are_drawn_at_once() -> None:
    view = view_of(16, 4)
    started = time.perf_counter()
    svg = cluster_picture(view)
    assert time.perf_counter() - started < 0.5
    assert "alpine64" in words(svg)
