from dataclasses import replace

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import NetworkFacts, lost_networks

OVR0 = NetworkFacts("node1", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "10.0.0.1")
ALPINE1 = ContainerFacts(
    *("node3", "1" * 64, "alpine1", "alpine", "sha256:1", "sh", "running", "running", "no"),
    networks=("ovr0",),
    network_ids={"ovr0": "a" * 64},
)
ALL = ("node1", "node3")


def test_an_engine_that_should_find_a_network_which_another_has_has_lost_it() -> None:
    lost = lost_networks("ovr0", {"node1": OVR0, "node3": None}, [], ALL)
    assert list(lost) == ["node3"]
    assert lost["node3"].why == "node3's engine does not find ovr0 (aaaaaaaaaaaa), which node1 has"
    assert lost["node3"].remedy == "restart dockerd on node3, whose connection to the store fails"


def test_a_running_container_on_it_speaks_for_a_network_that_no_engine_finds() -> None:
    lost = lost_networks("ovr0", {"node1": None, "node3": None}, [ALPINE1], ALL)
    assert set(lost) == {"node1", "node3"}
    assert lost["node3"].why == "node3's engine does not find ovr0 (aaaaaaaaaaaa), which node3/alpine1 is on"
    assert "restart dockerd on node3" in lost["node3"].remedy
    stopped = replace(ALPINE1, state="exited")
    assert lost_networks("ovr0", {"node1": None, "node3": None}, [stopped], ALL) == {}


def test_a_worker_has_lost_a_network_only_if_a_container_of_its_own_is_on_it() -> None:
    seen = {"node1": OVR0, "node2": None, "node3": None}
    assert list(lost_networks("ovr0", seen, [ALPINE1], ["node1"])) == ["node3"]


def test_a_network_that_nobody_knows_is_not_lost() -> None:
    assert lost_networks("ovr0", {"node1": None, "node3": None}, [], ALL) == {}


def test_a_bridge_of_one_node_that_has_the_name_is_another_network() -> None:
    bridge = replace(OVR0, driver="bridge", scope="local")
    on_it = replace(ALPINE1, node="node1", network_ids={"ovr0": "b" * 64})
    assert lost_networks("ovr0", {"node1": bridge, "node3": None}, [on_it], ALL) == {}
