from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.facts.docker.containers import parse_container


def test_a_running_container_on_the_overlay(captured_json) -> None:
    facts = parse_container("node1", captured_json("container_running.json"))
    assert facts.full_name == "node1/f-1"
    assert facts.running
    assert facts.pid > 1
    assert facts.status.startswith("running since 20")
    assert facts.command == "sleep 100000"
    assert (facts.image, facts.restart_policy) == ("alpine:latest", "no")
    assert facts.networks == ("f-ovr",)
    assert facts.addresses == {"f-ovr": "10.88.0.2"}
    assert facts.macs == {"f-ovr": "02:42:0a:58:00:02"}
    assert facts.labels == {"role": "probe"}
    assert facts.sandbox_key.startswith("/var/run/docker/netns/")


def test_a_stopped_container_keeps_its_network_and_has_no_address(captured_json) -> None:
    facts = parse_container("node1", captured_json("container_stopped.json"))
    assert (facts.state, facts.running, facts.pid) == ("exited", False, 0)
    assert facts.status.startswith("exited with 3 at 20")
    assert facts.networks == ("f-ovr",)
    assert facts.addresses == {}
    assert facts.command == "sh -c 'exit 3'"


def test_a_container_that_never_ran(captured_json) -> None:
    facts = parse_container("node1", captured_json("container_created.json"))
    assert (facts.state, facts.status, facts.running) == ("created", "created", False)


def test_a_container_with_host_networking_has_no_address_of_its_own(captured_json) -> None:
    facts = parse_container("node1", captured_json("container_etcd1.json"))
    assert (facts.name, facts.network_mode, facts.addresses) == ("etcd1", "host", {})


def test_a_classic_swarm_s_name_loses_its_node(captured_json) -> None:
    data = captured_json("container_running.json")
    data["Name"] = "/node3/alpine1"
    assert parse_container("node3", data).full_name == "node3/alpine1"


def test_a_container_without_networks_is_read(captured_json) -> None:
    data = captured_json("container_running.json")
    data["NetworkSettings"]["Networks"] = None
    assert parse_container("node1", data).networks == ()


def test_a_start_that_failed_says_why(captured_json) -> None:
    data = captured_json("container_created.json")
    data["State"]["Error"] = "network f-ovr not found"
    assert parse_container("node1", data).status == "created: network f-ovr not found"


def test_an_answer_that_is_no_container_s_is_refused() -> None:
    with pytest.raises(ValueError, match="no Id, Name, State, Config, NetworkSettings"):
        parse_container("node1", {"message": "page not found"})


def test_an_address_that_was_asked_for_and_a_published_port_are_told(captured_json) -> None:
    fixed = parse_container("node1", captured_json("container_on_macvlan.json"))
    assert fixed.fixed_addresses == {"ext-macvlan": "192.168.96.96"}
    assert (fixed.macs["ext-macvlan"], fixed.published) == ("02:42:c0:a8:60:60", {})
    published = parse_container("node1", captured_json("container_published.json"))
    assert (published.fixed_addresses, published.published) == ({}, {"8080/tcp": "8080"})


@pytest.mark.parametrize(
    ("policy", "restarts"), [("always", True), ("unless-stopped", True), ("on-failure", False), ("no", False)]
)
def test_an_engine_that_starts_takes_along_what_it_is_to_restart(
    captured_json: Callable[[str], Any], policy: str, restarts: bool
) -> None:
    container = parse_container("node1", captured_json("container_running.json"))
    assert replace(container, restart_policy=policy).restarts is restarts
