from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import ExternalMode, Parameters, external
from runbook_lib.steps.base import Finding, Verb
from runbook_lib.steps.external_address import ExternalAddress, ExternalJob, ExternalReading
from runbook_lib.steps.published_port import RESTART_POLICY, labels

POOL = "192.168.99.104-192.168.99.254"
ADDRESS, OWN_MAC, NODE_MAC, STRANGER = "192.168.99.96", "02:42:c0:a8:63:60", "02:00:00:00:01:01", "02:00:00:00:09:09"
SILENCE: dict[str, str | None] = {f"192.168.99.{last}": None for last in range(96, 104)}
NETWORK = NetworkFacts(
    "node1",
    "a" * 64,
    "ext-macvlan",
    "macvlan",
    "local",
    "192.168.99.0/24",
    "192.168.99.1",
    options={"parent": "eth1"},
    labels=labels("macvlan", "mine"),
    ip_range="192.168.99.96/29",
)
CONTAINER = ContainerFacts(
    "node1",
    "1" * 64,
    "web-macvlan",
    "alpine:latest",
    "sha256:1",
    "sh",
    "running",
    "running since now",
    RESTART_POLICY,
    networks=("ext-macvlan",),
    labels=labels("macvlan", "mine"),
    macs={"ext-macvlan": OWN_MAC},
    fixed_addresses={"ext-macvlan": ADDRESS},
)
EMPTY = ExternalReading(SILENCE, NODE_MAC)
DONE = replace(EMPTY, networks=(NETWORK,), container=CONTAINER)
NOBODY, SEEN = ExternalReading(SILENCE), ExternalReading(SILENCE | {ADDRESS: OWN_MAC})

Assess = Callable[..., dict[str, Finding[ExternalJob]]]


@pytest.fixture
def assess(make_inventory: Callable[..., Inventory]) -> Assess:
    """Judge the readings of the container's node and of the observer_node."""

    def judge(
        own: ExternalReading | None, observer_node: ExternalReading | None = NOBODY, mode: ExternalMode = "macvlan"
    ) -> dict[str, Finding[ExternalJob]]:
        inventory = make_inventory(4, dhcp_pool=POOL)
        step = ExternalAddress(external(inventory, Parameters(), mode), inventory, "mine")
        readings = (
            {"node1": own, "node3": observer_node} if mode == "macvlan" else {"node2": own, "node3": observer_node}
        )
        known = {name: reading for name, reading in readings.items() if reading is not None}
        return dict(step.assess(known, frozenset(readings) - frozenset(known)))

    return judge


def test_on_a_new_node_the_network_and_the_container_are_made_at_the_first_free_address(assess: Assess) -> None:
    findings = assess(EMPTY)
    assert findings["node1"].work == ExternalJob(network=True, create=True, start=True, address=ADDRESS)
    assert findings["node1"].after == f"web-macvlan at {ADDRESS} on ext-macvlan"
    assert (findings["node3"].verb, findings["node3"].work) == (Verb.PENDING, None)
    assert findings["node3"].before == f"no answer at {ADDRESS}"


def test_an_address_that_answers_to_either_node_is_left_out_and_reserved(assess: Assess) -> None:
    heard_here = replace(EMPTY, answering=SILENCE | {ADDRESS: STRANGER})
    heard_there = ExternalReading(SILENCE | {"192.168.99.97": STRANGER})
    finding = assess(heard_here, heard_there)["node1"]
    assert finding.work is not None
    assert finding.work.address == "192.168.99.98"
    assert finding.work.reserved == (ADDRESS, "192.168.99.97")
    assert f"{ADDRESS} by {STRANGER}" in finding.detail


def test_a_block_without_a_free_address_is_refused(assess: Assess) -> None:
    finding = assess(replace(EMPTY, answering=dict.fromkeys(SILENCE, STRANGER)))["node1"]
    assert finding.verb is Verb.REFUSED
    assert "container_range" in finding.detail


def test_nothing_is_chosen_while_the_witness_is_silent(assess: Assess) -> None:
    finding = assess(EMPTY, None)["node1"]
    assert finding.verb is Verb.REFUSED
    assert "node3 did not answer" in finding.detail


def test_a_container_that_the_witness_sees_under_its_own_mac_satisfies(assess: Assess) -> None:
    findings = assess(DONE, SEEN)
    assert {finding.verb for finding in findings.values()} == {Verb.SATISFIED}
    assert findings["node3"].before == f"{OWN_MAC} answers at {ADDRESS}"


def test_a_container_that_nobody_sees_from_outside_is_not_done(assess: Assess) -> None:
    findings = assess(DONE, NOBODY)
    assert (findings["node1"].verb, findings["node3"].verb) == (Verb.SATISFIED, Verb.PENDING)


def test_another_machine_at_the_address_is_a_failure_that_names_both(assess: Assess) -> None:
    finding = assess(DONE, ExternalReading(SILENCE | {ADDRESS: STRANGER}))["node3"]
    assert finding.verb is Verb.REFUSED
    assert f"two hosts have {ADDRESS}" in finding.detail


def test_an_ipvlan_container_is_seen_under_its_nodes_mac(assess: Assess) -> None:
    block = {f"192.168.99.{last}": None for last in range(88, 96)}
    network = replace(
        NETWORK, name="ext-ipvlan", driver="ipvlan", ip_range="192.168.99.88/29", labels=labels("ipvlan", "mine")
    )
    container = replace(
        CONTAINER,
        name="web-ipvlan",
        networks=("ext-ipvlan",),
        labels=labels("ipvlan", "mine"),
        macs={},
        fixed_addresses={"ext-ipvlan": "192.168.99.88"},
    )
    own = ExternalReading(block, NODE_MAC, (network,), container)
    seen = ExternalReading(block | {"192.168.99.88": NODE_MAC})
    assert {finding.verb for finding in assess(own, seen, "ipvlan").values()} == {Verb.SATISFIED}


def test_a_kernel_without_the_device_is_skipped_on_both_nodes_in_its_own_words(assess: Assess) -> None:
    findings = assess(replace(EMPTY, trouble="Unknown device type."))
    assert {finding.verb for finding in findings.values()} == {Verb.SKIPPED}
    assert findings["node1"].detail == "this kernel has no macvlan: Unknown device type."


def test_a_stopped_container_is_started_unless_somebody_took_its_address(assess: Assess) -> None:
    stopped = replace(DONE, container=replace(CONTAINER, state="exited"))
    assert assess(stopped)["node1"].work == ExternalJob(start=True, address=ADDRESS)
    taken = replace(stopped, answering=SILENCE | {ADDRESS: STRANGER})
    assert assess(taken)["node1"].verb is Verb.REFUSED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "busybox:1.36"}, "image: expected alpine:latest, found busybox:1.36"),
        ({"restart_policy": "no"}, "restart policy: expected unless-stopped, found no"),
        ({"labels": {}}, "owner: expected mine, found none"),
        ({"fixed_addresses": {}}, "fixed address: expected one of 192.168.99.96/29, found none"),
    ],
)
def test_a_container_that_is_not_as_wanted_is_never_touched(
    assess: Assess, changes: dict[str, object], said: str
) -> None:
    finding = assess(replace(DONE, container=replace(CONTAINER, **changes)))["node1"]  # type: ignore[arg-type]
    assert finding.verb is Verb.REFUSED
    assert said in finding.detail
    assert "docker rm -f web-macvlan" in finding.detail


def test_a_network_with_other_settings_or_another_one_on_the_interface_is_refused(assess: Assess) -> None:
    other = replace(DONE, networks=(replace(NETWORK, ip_range="", options={"parent": "eth0"}),))
    detail = assess(other)["node1"].detail
    assert "parent: expected eth1, found eth0" in detail
    assert "range: expected 192.168.99.96/29, found none" in detail
    theirs = replace(EMPTY, networks=(replace(NETWORK, name="theirs", driver="ipvlan"),))
    assert "the network theirs (ipvlan) already uses eth1" in assess(theirs)["node1"].detail


def test_a_missing_image_is_planned_with_what_has_to_come_first(assess: Assess) -> None:
    finding = assess(replace(EMPTY, has_image=False))["node1"]
    assert finding.verb is Verb.BLOCKED
    assert "docker pull alpine:latest" in finding.detail
