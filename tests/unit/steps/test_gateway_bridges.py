"""What clean-up makes of docker_gwbridge: it goes only where it came with our containers and nobody else is on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import GATEWAY_BRIDGE, Endpoint, GatewayBridge, NetworkFacts
from runbook_lib.model.parameters import Etcd, Parameters
from runbook_lib.steps.base import OWNER_LABEL, Finding, Verb
from runbook_lib.steps.leftovers import WITH_BRIDGE_LABEL, WITHOUT_BRIDGE_LABEL, BridgeReading, RemoveGatewayBridges

REMOVE = RemoveGatewayBridges("mine", EtcdStore(Etcd()))
BRIDGE = NetworkFacts("node3", "b" * 64, GATEWAY_BRIDGE, "bridge", "local", "172.18.0.0/16", "")
OVR0 = NetworkFacts(
    "node3",
    "a" * 64,
    "ovr0",
    "overlay",
    "global",
    "10.0.0.0/24",
    "",
    labels={OWNER_LABEL: "mine", WITHOUT_BRIDGE_LABEL: "node2, node3", WITH_BRIDGE_LABEL: "node1"},
)
ALPINE1 = ContainerFacts(
    "node3", "c1", "alpine1", "alpine", "", "sh", "running", "", "no", networks=("ovr0",), labels={OWNER_LABEL: "mine"}
)
WEB = replace(ALPINE1, id="w1", name="web", labels={})


def finding(
    *on_it: str, node: str = "node3", overlay: NetworkFacts | None = OVR0, step: RemoveGatewayBridges = REMOVE
) -> Finding[str]:
    bridge = replace(BRIDGE, endpoints=tuple(Endpoint(f"gateway_{key}", key, "", "", 16, key) for key in on_it))
    networks = (bridge, *((overlay,) if overlay else ()))
    reading = BridgeReading(GatewayBridge(node, bridge, networks, (ALPINE1, WEB)), "mine")
    return step.assess({node: reading}, frozenset())[node]


def test_one_that_came_with_our_containers_goes_once_nobody_is_on_it() -> None:
    assert (finding().verb, finding().work) == (Verb.PENDING, BRIDGE.id)


def test_our_own_containers_on_it_must_go_first_which_a_plan_shows() -> None:
    assert finding("c1").verb is Verb.BLOCKED
    assert "alpine1 is on it" in finding("c1").detail


@pytest.mark.parametrize("on_it", [("w1",), ("c1", "w1"), ("unknown",)])
def test_one_that_others_use_stays(on_it: tuple[str, ...]) -> None:
    assert finding(*on_it).verb is Verb.SATISFIED
    assert "not ours, but on it" in finding(*on_it).detail


def test_one_that_was_there_before_stays() -> None:
    assert finding(node="node1").verb is Verb.SATISFIED
    assert "is older than our overlay" in finding(node="node1").detail


@pytest.mark.parametrize(
    "overlay",
    [
        None,
        replace(OVR0, labels={OWNER_LABEL: "mine"}),
        replace(OVR0, labels={OWNER_LABEL: "yours", WITHOUT_BRIDGE_LABEL: "node3"}),
    ],
    ids=["no overlay", "made by an earlier version", "of another cluster's runs"],
)
def test_where_nobody_can_know_it_stays_and_the_row_says_how_to_remove_it(overlay: NetworkFacts | None) -> None:
    left = finding(overlay=overlay)
    assert left.verb is Verb.SKIPPED
    assert "on node3: docker network rm docker_gwbridge" in left.detail


@pytest.mark.parametrize("labels", [OVR0.labels, OVR0.labels | {WITHOUT_BRIDGE_LABEL: "", WITH_BRIDGE_LABEL: ""}])
def test_of_a_node_that_was_down_then_or_came_later_nobody_knows(labels: dict[str, str]) -> None:
    left = finding(node="node4", overlay=replace(OVR0, labels=labels))
    assert left.verb is Verb.SKIPPED
    assert "unknown whether it is older than our overlay; to remove it, on node4: docker network rm" in left.detail


def test_in_a_swarm_it_always_stays() -> None:
    assert (
        finding(step=RemoveGatewayBridges("mine", SwarmMode(Parameters(control_plane="swarm-mode")))).verb
        is Verb.SATISFIED
    )
