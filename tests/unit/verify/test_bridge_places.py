"""Where docker_gwbridge must be, may be, and is for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import GATEWAY_BRIDGE, Endpoint, GatewayBridge, NetworkFacts
from runbook_lib.model.results import Verdict
from runbook_lib.verify.gateway_bridge import judge_bridge

BRIDGE = NetworkFacts("node3", "b" * 64, GATEWAY_BRIDGE, "bridge", "local", "172.18.0.0/16", "")
OVR0 = NetworkFacts("node3", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "")
ALPINE1 = ContainerFacts(
    "node3", "c1", "alpine1", "alpine", "", "sh", "running", "", "no", addresses={"ovr0": "10.0.0.2"}
)
WEB = replace(ALPINE1, id="w1", name="web")
ON_IT = Endpoint("gateway_1", "e1", "", "172.18.0.2", 16, "w1")


def judged(
    bridge: NetworkFacts | None, *containers: ContainerFacts, overlay: NetworkFacts = OVR0, every_node: bool = False
):
    networks = (overlay, *((bridge,) if bridge else ()))
    return judge_bridge(GatewayBridge("node3", bridge, networks, containers), {"alpine1"}, every_node=every_node)


def test_one_too_many_is_a_note_with_how_to_remove_it() -> None:
    check = judged(BRIDGE)
    assert check.verdict is Verdict.WARN
    assert "on node3: docker network rm docker_gwbridge" in check.remedy
    # a warning's remedy is in its table alone
    assert "docker network rm docker_gwbridge" in check.found
    assert judged(BRIDGE, replace(ALPINE1, state="exited", addresses={})).verdict is Verdict.WARN


def test_one_too_few_is_a_failure() -> None:
    check = judged(None, ALPINE1, WEB)
    assert (check.verdict, check.node, check.expected, check.found) == (
        Verdict.FAIL,
        "node3",
        "one for alpine1",
        "none",
    )
    assert "node3" in check.remedy


def test_one_that_somebody_uses_is_where_it_should_be() -> None:
    assert judged(BRIDGE, ALPINE1).verdict is Verdict.PASS
    assert judged(BRIDGE, WEB).expected == "one for web"
    used = replace(BRIDGE, endpoints=(ON_IT,))
    assert judged(used, replace(WEB, state="paused")).expected == "one for web"
    assert judged(used).expected == "one for gateway_1"
    assert judged(None).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("container", "overlay"),
    [
        (replace(ALPINE1, gateways={"bridge": "172.17.0.1"}), OVR0),
        (ALPINE1, replace(OVR0, internal=True)),
        (replace(ALPINE1, addresses={"bridge": "172.17.0.2"}), OVR0),
    ],
    ids=["it has another way out", "an overlay without a way out", "on no overlay"],
)
def test_a_container_that_needs_none_has_none(container: ContainerFacts, overlay: NetworkFacts) -> None:
    assert judged(None, container, overlay=overlay).verdict is Verdict.PASS


def test_what_only_others_lack_is_no_failure_of_ours() -> None:
    assert judged(None, WEB).verdict is Verdict.WARN


def test_every_node_of_a_swarm_has_one() -> None:
    assert judged(BRIDGE, every_node=True).verdict is Verdict.PASS
    assert judged(None, every_node=True).verdict is Verdict.FAIL
