"""The cluster's picture: valid SVG, a text alternative, and what is broken drawn broken."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from runbook_lib.charts import ClusterView, before_and_after, before_and_after_text, cluster_picture, describe, palette
from runbook_lib.charts.view import SWARM_TERMS
from runbook_lib.facts.control_planes.base import Member, Registration
from tests.unit.charts.conftest import address, container, gossip_of, view_of

SVG = "{http://www.w3.org/2000/svg}"


SPLIT = gossip_of(["node1", "node2", "node3", "node4"], [["node1", "node2"], ["node3", "node4"]])
LOST = Member("etcd1", "", "unknown", "", "down", False, "")


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
    assert "overlay ovr0, 10.0.0.0/16, VNI 256." in describe(view)
    assert "node1: 192.168.99.25 (static); Docker 20.10.24; store connected; knows 3 other engines" in describe(view)
    assert "etcd1 healthy, leader; container alpine1 10.0.0.1; docker_gwbridge 172.18.0.0/16." in describe(view)


def test_a_silent_node_is_dashed_crossed_and_named(view: ClusterView) -> None:
    svg = cluster_picture(replace(view, silent={"node2": "no SSH connection"}))
    assert "does not answer" in words(svg)
    assert crosses(svg) >= 2
    assert dashed(svg) >= 2
    assert "node2: does not answer." in describe(replace(view, silent={"node2": "no SSH connection"}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"containers": [container("node3", "alpine1")]}, "not on ovr0", id="disconnected"),
        pytest.param({"containers": [container("node3", "alpine1", state="exited")]}, "exited", id="stopped"),
        pytest.param({"registrations": [Registration("node1", "a", False)]}, "store lost", id="no store"),
        pytest.param({"engineless": {"node1": "refused"}, "engines": ()}, "engine does not answer", id="no engine"),
        pytest.param({"gossip": SPLIT}, "does not know node3, node4", id="gossip islands"),
        pytest.param({"members": [LOST]}, "etcd1 is on no node that answers", id="a member nowhere"),
        pytest.param({"addresses": [address("node1", None, "192.168.99.25")]}, "eth1 no address", id="no address"),
    ],
)
def test_what_is_broken_is_crossed_and_said(view: ClusterView, change: dict[str, object], expected: str) -> None:
    svg = cluster_picture(replace(view, **change))  # type: ignore[arg-type]
    assert expected in words(svg)
    assert crosses(svg) >= 1


def test_a_drifted_address_is_marked(view: ClusterView) -> None:
    drifted = replace(view, addresses=[address("node1", "192.168.99.104", "192.168.99.25")])
    assert "▲ not .25" in words(cluster_picture(drifted))


def test_engines_that_do_not_know_each_other_are_told_on_their_network_too(view: ClusterView) -> None:
    assert "gossip is split: packets will vanish" in words(cluster_picture(replace(view, gossip=SPLIT)))


def test_an_overlay_without_a_number_says_so_and_one_that_nobody_asked_for_says_nothing(view: ClusterView) -> None:
    waiting = replace(view, vnis={"13e8806640ab": 0})
    assert any("no VNI before its first container" in text for text in words(cluster_picture(waiting)))
    assert "VNI" not in describe(replace(view, vnis={}))


def test_a_container_that_does_not_belong_on_the_overlay_is_not_broken(view: ClusterView) -> None:
    elsewhere = replace(container("node1", "registry"), addresses={"bridge": "172.17.0.2"})
    svg = cluster_picture(replace(view, containers=[elsewhere], wanted={"alpine1"}))
    assert "bridge 172.17.0.2" in words(svg)
    assert (crosses(svg), dashed(svg)) == (0, 0)


def test_before_and_after_stand_side_by_side_with_what_differs_marked_and_said(view: ClusterView) -> None:
    after = replace(view, containers=[container("node1", "alpine1"), *view.containers[1:]])
    shown = words(before_and_after(view, after))
    assert {"Before and after: 1 thing changed", "before", "→ after"} <= set(shown)
    assert "·  node1: container alpine1 10.0.0.1 → not on ovr0" in shown
    assert before_and_after(view, after).count(f' fill="{palette.MARK}"') == 1
    assert before_and_after_text(view, after).startswith("Before and after: node1: container alpine1 10.0.0.1 → not")


def test_nothing_that_changed_is_said_too_and_a_silent_node_counts_once(view: ClusterView) -> None:
    assert "Before and after: nothing changed" in words(before_and_after(view, view))
    silent = replace(view, silent={"node1": "timed out"}, containers=[c for c in view.containers if c.node != "node1"])
    assert "·  node1: does not answer" in words(before_and_after(view, silent))
    assert "·  node1: answers again" in words(before_and_after(silent, view))


def test_it_has_the_colours_of_a_dark_page_too(view: ClusterView) -> None:
    svg = cluster_picture(view)
    (rules,) = re.findall(r"<style>(.*?)</style>", svg)
    assert rules.startswith("@media screen and (prefers-color-scheme: dark){")
    used = set(re.findall(r'(?:fill|stroke)="(#\w{6})"', svg))
    assert used == set(re.findall(r'"(#\w{6})"', rules))


def test_a_missing_overlay_is_dashed_and_said(view: ClusterView) -> None:
    svg = cluster_picture(replace(view, networks=(), containers=()))
    assert "no overlay network ovr0" in words(svg)
    assert dashed(svg) == 1
    lost = describe(replace(view, networks=()))
    assert "no engine lists ovr0 now, although containers are on it" in lost


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
    started = time.thread_time()
    svg = cluster_picture(view)
    assert time.thread_time() - started < 0.5
    assert "alpine64" in words(svg)


def test_managers_of_a_swarm_are_drawn_where_the_members_of_etcd_are(view: ClusterView) -> None:
    managers = [
        Member(name, name, "running", "", "healthy", name == "node2", "") for name in ("node1", "node2", "node3")
    ]
    swarm = replace(view, members=managers, terms=SWARM_TERMS)
    svg = " | ".join(words(cluster_picture(swarm)))
    assert svg.count("★ manager") == 1
    assert "3 of 3 managers healthy" in svg
    assert "in the swarm" in svg
    assert "etcd" not in svg
    assert "node2: 192.168.99.26 (static); Docker 20.10.24; in the swarm" in describe(swarm)
    assert "manager healthy, leader" in describe(swarm)
