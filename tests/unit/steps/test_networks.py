from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from runbook_lib.cluster import Node
from runbook_lib.facts.control_planes.base import OverlayAccess
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.model.parameters import Etcd, Overlay, Parameters
from runbook_lib.steps.base import (
    CONTAINERS_NOTEBOOK,
    EXTERNAL_LABEL,
    EXTERNAL_NOTEBOOK,
    OVERLAY_NOTEBOOK,
    OWNER_LABEL,
    Verb,
    owner_labels,
)
from runbook_lib.steps.leftovers import WITH_BRIDGE_LABEL, WITHOUT_BRIDGE_LABEL
from runbook_lib.steps.networks import (
    CreateNetwork,
    NetworkReading,
    NetworkRemoval,
    OwnedNetworks,
    RemoveNetworks,
    differences,
)

STORE = EtcdStore(Etcd())
OVERLAY = Overlay(name="ovr0", subnet="10.0.0.0/24")
OVR0 = NetworkFacts(
    "node1", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "10.0.0.1", labels={OWNER_LABEL: "mine"}
)
CREATE = CreateNetwork(OVERLAY, STORE, "mine")
NOTHING = NetworkReading(())
STORELESS = NetworkReading((), OverlayAccess("the engine has no cluster store: none"))


def test_it_is_created_once_on_the_first_node_that_can() -> None:
    findings = CREATE.assess(
        {
            "node1": NetworkReading((), OverlayAccess("the engine has no cluster store: none")),
            "node2": NOTHING,
            "node3": NOTHING,
        },
        frozenset({"node4"}),
    )
    assert (findings["node1"].verb, findings["node1"].before) == (Verb.BLOCKED, "not known")
    assert "notebook 02_autostart_etcd" in findings["node1"].detail
    assert [bool(findings[node].work) for node in ("node2", "node3")] == [True, False]
    assert {findings[node].verb for node in ("node2", "node3")} == {Verb.PENDING}


def test_it_tells_for_ever_which_nodes_had_no_docker_gwbridge() -> None:
    readings = {"node1": NOTHING, "node2": replace(NOTHING, bridged=True), "node3": NOTHING}
    work = CREATE.assess(readings, frozenset({"node4"}))["node1"].work or {}
    assert work[OWNER_LABEL] == "mine"
    # of a node that did not answer nobody knows
    assert work[WITHOUT_BRIDGE_LABEL] == "node1, node3"
    assert work[WITH_BRIDGE_LABEL] == "node2"
    in_a_swarm = SWARM_CREATE.assess(readings, frozenset())["node1"].work or {}
    assert WITHOUT_BRIDGE_LABEL not in in_a_swarm


def test_the_same_network_seen_from_every_node_satisfies() -> None:
    findings = CREATE.assess(
        {name: NetworkReading((replace(OVR0, node=name),)) for name in ("node1", "node2")}, frozenset()
    )
    assert {finding.verb for finding in findings.values()} == {Verb.SATISFIED}
    assert findings["node1"].before == f"overlay 10.0.0.0/24 {'a' * 12}"


def test_a_node_that_does_not_see_it_does_not_create_a_second_one() -> None:
    findings = CREATE.assess({"node1": NetworkReading((OVR0,)), "node2": NOTHING}, frozenset())
    assert (findings["node2"].verb, findings["node2"].work) == (Verb.PENDING, None)


def test_other_settings_are_a_failure_that_lists_the_differences() -> None:
    other = replace(OVR0, subnet="10.9.0.0/24", options={"com.docker.network.driver.mtu": "1400"}, internal=True)
    finding = CREATE.assess({"node1": NetworkReading((other,))}, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "subnet: expected 10.0.0.0/24, found 10.9.0.0/24" in finding.detail
    assert "option com.docker.network.driver.mtu: expected none, found 1400" in finding.detail
    assert "internal: expected no, found yes" in finding.detail


def test_a_local_bridge_of_that_name_is_another_network() -> None:
    bridge = replace(OVR0, id="b" * 64, driver="bridge", scope="local")
    assert [item.setting for item in differences(OVERLAY, bridge, STORE)] == ["driver", "scope"]
    findings = CREATE.assess({"node1": NetworkReading((OVR0,)), "node2": NetworkReading((bridge,))}, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.REFUSED}


def test_two_networks_of_one_name_are_a_failure_that_names_both() -> None:
    twin = replace(OVR0, id="b" * 64)
    finding = CREATE.assess({"node1": NetworkReading((OVR0, twin)), "node2": NOTHING}, frozenset())["node2"]
    assert finding.verb is Verb.REFUSED
    assert "aaaaaaaaaaaa, bbbbbbbbbbbb" in finding.detail


def test_an_unset_subnet_takes_any_and_dockers_own_options_do_not_count() -> None:
    swarm = replace(OVR0, options={"com.docker.network.driver.overlay.vxlanid_list": "4097"})
    assert differences(Overlay(subnet=None), replace(swarm, subnet="10.1.2.0/24"), STORE) == []


def test_a_network_of_somebody_else_is_used_but_said_to_be_left_alone() -> None:
    finding = CREATE.assess({"node1": NetworkReading((replace(OVR0, labels={}),))}, frozenset())["node1"]
    assert finding.verb is Verb.SATISFIED
    assert "clean-up will leave it" in finding.detail


def container(name: str, *, owner: str = "mine", endpoint: str = "e1") -> ContainerFacts:
    return ContainerFacts(
        "node1",
        name * 8,
        name,
        "alpine",
        "sha256:1",
        "sh",
        "running",
        "running",
        "no",
        networks=("ovr0",),
        labels={OWNER_LABEL: owner},
        endpoint_ids={"ovr0": endpoint},
    )


def test_a_global_network_is_removed_by_one_node_and_gone_from_all() -> None:
    readings = {name: OwnedNetworks((replace(OVR0, node=name),), ()) for name in ("node1", "node2")}
    findings = RemoveNetworks("mine", STORE).assess(readings, frozenset())
    assert findings["node1"].work is not None
    assert findings["node1"].work.networks == ((OVR0.id, ()),)
    assert (findings["node2"].verb, findings["node2"].work) == (Verb.PENDING, None)


def test_containers_of_others_keep_a_network() -> None:
    readings = {"node1": OwnedNetworks((OVR0,), (container("web", owner="other"),))}
    finding = RemoveNetworks("mine", STORE).assess(readings, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "node1/web" in finding.detail


def test_a_container_that_crashes_and_starts_again_is_stopped_before_it_is_taken_off() -> None:
    web = replace(container("web", owner="other"), state="restarting")
    found = RemoveNetworks("mine", STORE).assess({"node1": OwnedNetworks((OVR0,), (web,))}, frozenset())["node1"]
    assert "'docker stop web; docker network disconnect ovr0 web' on node1" in found.detail


def test_a_network_of_the_cluster_that_others_are_on_is_refused_once_with_the_command_that_frees_it() -> None:
    web = replace(container("web", owner="other"), node="node2")
    local = replace(OVR0, id="f" * 64, name="ext-macvlan", scope="local", node="node4")
    guest = replace(container("guest", owner="other"), node="node4", networks=("ext-macvlan",))
    readings = {
        "node1": OwnedNetworks((OVR0,), ()),
        "node2": OwnedNetworks((replace(OVR0, node="node2"),), (web,)),
        "node3": OwnedNetworks((replace(OVR0, node="node3"),), ()),
        "node4": OwnedNetworks((local,), (guest,)),
    }
    found = RemoveNetworks("mine", STORE).assess(readings, frozenset())
    assert [each.verb for each in found.values()] == [Verb.REFUSED, Verb.SKIPPED, Verb.SKIPPED, Verb.REFUSED]
    assert "'docker network disconnect ovr0 web' on node2" in found["node1"].detail
    assert found["node2"].detail == "stays: see node1"
    assert "'docker network disconnect ext-macvlan guest' on node4" in found["node4"].detail


def test_undone_alone_a_network_says_which_notebook_s_containers_are_on_it() -> None:
    alpine = replace(container("alpine1"), labels=owner_labels("mine", CONTAINERS_NOTEBOOK))
    web = replace(container("web", endpoint="e2"), labels=owner_labels("mine", EXTERNAL_NOTEBOOK))
    readings = {"node1": OwnedNetworks((OVR0,), (alpine, web, container("theirs", owner="other", endpoint="e3")))}
    finding = RemoveNetworks("mine", STORE, OVERLAY_NOTEBOOK).assess(readings, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "other owners' containers are on it: node1/theirs" in finding.detail
    assert "containers of notebook 04_run_containers are on it: node1/alpine1" in finding.detail
    assert "containers of notebook 08_fixed_external_address are on it: node1/web" in finding.detail
    assert finding.detail.endswith(
        "the runbook changes only its own objects, undo notebook 04_run_containers first,"
        " undo notebook 08_fixed_external_address first"
    )


def test_cleaning_up_removes_the_containers_of_ours_before_and_they_keep_no_network() -> None:
    readings = {"node1": OwnedNetworks((OVR0,), (container("alpine1"),))}
    assert RemoveNetworks("mine", STORE).assess(readings, frozenset())["node1"].verb is Verb.PENDING


def test_undoing_the_overlay_leaves_the_networks_of_other_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = (
        OVR0,  # of an earlier version, which had no label for it
        replace(OVR0, id="b" * 64, name="ovr1", labels=owner_labels("mine", OVERLAY_NOTEBOOK)),
        replace(OVR0, id="c" * 64, name="ext-new", labels=owner_labels("mine", EXTERNAL_NOTEBOOK)),
        replace(OVR0, id="d" * 64, name="ext-old", labels={OWNER_LABEL: "mine", EXTERNAL_LABEL: "macvlan"}),
        replace(OVR0, id="e" * 64, name="theirs", labels={OWNER_LABEL: "other"}),
    )
    monkeypatch.setattr("runbook_lib.steps.networks.read_networks", lambda node: everything)
    monkeypatch.setattr(
        "runbook_lib.steps.networks.read_network", lambda node, key: next(x for x in everything if x.id == key)
    )
    monkeypatch.setattr("runbook_lib.steps.networks.read_containers", lambda node: ())
    node = cast(Node, None)
    undone = RemoveNetworks("mine", STORE, OVERLAY_NOTEBOOK).read(node).networks
    assert [network.name for network in undone] == ["ovr0", "ovr1"]
    cleaned = RemoveNetworks("mine", STORE).read(node).networks
    assert [network.name for network in cleaned] == ["ovr0", "ovr1", "ext-new", "ext-old"]


@pytest.mark.parametrize(("missing", "verb"), [(frozenset(), Verb.PENDING), (frozenset({"node4"}), Verb.REFUSED)])
def test_stale_endpoints_are_taken_off_only_if_every_node_answered(missing: frozenset[str], verb: Verb) -> None:
    network = replace(OVR0, endpoints=(Endpoint("lost", "e9", "", "10.0.0.9"), Endpoint("own", "e1", "", "10.0.0.2")))
    readings = {"node1": OwnedNetworks((network,), (container("own"),))}
    finding = RemoveNetworks("mine", STORE).assess(readings, missing)["node1"]
    assert finding.verb is verb
    assert "lost" in finding.detail
    assert "own" not in finding.detail


SWARM = SwarmMode(Parameters(control_plane="swarm-mode"))
SWARM_CREATE = CreateNetwork(Overlay(subnet="10.0.0.0/24"), SWARM, "mine")
WORKER = NetworkReading((), OverlayAccess(manages=False))
SWARM_OVR0 = replace(OVR0, scope="swarm", attachable=True)


def test_a_worker_is_told_of_the_network_later_and_does_not_make_it() -> None:
    findings = SWARM_CREATE.assess({"node4": WORKER, "node1": NOTHING}, frozenset())
    assert (bool(findings["node1"].work), findings["node4"].verb) == (True, Verb.SATISFIED)
    made = SWARM_CREATE.assess({"node4": WORKER, "node1": NetworkReading((SWARM_OVR0,))}, frozenset())
    assert {finding.verb for finding in made.values()} == {Verb.SATISFIED}


def test_workers_alone_are_told_that_a_manager_is_needed() -> None:
    finding = SWARM_CREATE.assess({"node4": WORKER}, frozenset())["node4"]
    assert finding.verb is Verb.BLOCKED
    assert "only a manager can create networks, this node is a worker" in finding.detail


def test_a_swarm_without_a_leader_blocks_with_its_own_sentence() -> None:
    lost = NetworkReading((), OverlayAccess("The swarm does not have a leader."))
    findings = SWARM_CREATE.assess({"node1": lost, "node4": WORKER}, frozenset())
    assert findings["node1"].verb is Verb.BLOCKED
    assert "The swarm does not have a leader." in findings["node1"].detail


def test_a_network_that_is_not_attachable_is_a_listed_difference() -> None:
    closed = NetworkReading((replace(SWARM_OVR0, attachable=False),))
    finding = SWARM_CREATE.assess({"node1": closed}, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "attachable: expected yes, found no (network ovr0 not manually attachable)" in finding.detail


def test_a_network_that_a_manager_still_makes_is_waited_for() -> None:
    unmade = NetworkReading((replace(SWARM_OVR0, driver="", subnet=""),))
    assert SWARM_CREATE.assess({"node1": unmade}, frozenset())["node1"].verb is Verb.PENDING


def test_an_overlay_is_encrypted_by_all_nodes_or_not_made() -> None:
    step = CreateNetwork(Overlay(subnet="10.0.0.0/24", encrypted=True), SWARM, "mine")
    plain = replace(NOTHING, cannot_encrypt="the kernel has no ESP with AES-GCM (not found)")
    findings = step.assess({"node1": NOTHING, "node2": plain}, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.REFUSED}
    assert "no ESP with AES-GCM" in findings["node2"].detail
    assert "not supported by node2" in findings["node1"].detail
    encrypted = replace(SWARM_OVR0, options={"encrypted": ""})
    assert step.assess({"node1": NetworkReading((encrypted,))}, frozenset())["node1"].verb is Verb.SATISFIED
    assert differences(Overlay(), encrypted, SWARM)[0].setting == "option encrypted"


def test_a_manager_removes_a_swarms_network_and_a_worker_waits_for_it() -> None:
    worker, manager = OwnedNetworks((SWARM_OVR0,), (), manages=False), OwnedNetworks((SWARM_OVR0,), ())
    findings = RemoveNetworks("mine", SWARM).assess({"node4": worker, "node1": manager}, frozenset())
    assert findings["node4"].work is None
    assert findings["node1"].work == NetworkRemoval(((SWARM_OVR0.id, ()),))


def test_a_network_that_a_container_is_on_is_not_created_a_second_time() -> None:
    alpine1 = replace(container("alpine1"), node="node2", network_ids={"ovr0": "a" * 64})
    readings = {"node1": NOTHING, "node2": replace(NOTHING, containers=(alpine1,))}
    assert set(CREATE.contradicted(readings)) == {"node1", "node2"}
    findings = CREATE.assess(readings, frozenset())
    assert [finding.work for finding in findings.values()] == [None, None]
    assert "node2's engine does not find ovr0" in findings["node2"].detail


def test_a_network_that_is_listed_and_not_found_is_not_called_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_lib.steps.networks.read_networks", lambda node: (OVR0,))
    monkeypatch.setattr("runbook_lib.steps.networks.read_network", lambda node, key: None)
    monkeypatch.setattr("runbook_lib.steps.networks.read_containers", lambda node: ())
    step = RemoveNetworks("mine", STORE)
    readings = {"node1": step.read(cast(Node, SimpleNamespace(name="node1")))}
    assert list(step.contradicted(readings)) == ["node1"]
    finding = step.assess(readings, frozenset())["node1"]
    assert finding.verb is Verb.PENDING
    assert "node1's engine does not find ovr0" in finding.detail
