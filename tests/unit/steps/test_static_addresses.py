from collections.abc import Callable
from dataclasses import replace

from runbook_lib.facts.addresses import ClusterAddress
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.steps.base import Verb
from runbook_lib.steps.static_addresses import BootScript, RemoveStaticAddresses, StaticAddresses
from runbook_lib.steps.targets import AddressReading

MakeInventory = Callable[..., Inventory]
CURRENT = ClusterAddress(
    node="node1",
    interface="eth1",
    address="192.168.99.106",
    prefix_length=24,
    mac="02:00:00:00:00:01",
    expected="192.168.99.104",
    assigned_by="dhcp",
    dhcp_client="udhcpc pid 45",
)


def test_the_block_is_wanted_once_and_then_satisfied(make_inventory: MakeInventory) -> None:
    step = StaticAddresses(make_inventory(), Addresses())
    finding = step.assess({"node1": AddressReading(CURRENT, "echo theirs\n", None, probed=True)}, frozenset())["node1"]
    assert (finding.verb, finding.before, finding.after) == (
        Verb.PENDING,
        "DHCP at boot",
        "static 192.168.99.104 at boot",
    )
    assert finding.work is not None
    assert finding.work.startswith("echo theirs\n# >>> overlay-runbook static-address >>>\n")
    after = step.assess({"node1": AddressReading(CURRENT, finding.work)}, frozenset())["node1"]
    assert (after.verb, after.before) == (Verb.SATISFIED, "static 192.168.99.104 at boot")
    assert after.detail == "now 192.168.99.106 (dhcp, udhcpc pid 45)"


def test_a_block_with_another_address_is_replaced(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    other = StaticAddresses(inventory, Addresses()).assess(
        {"node2": AddressReading(replace(CURRENT, node="node2"), None)}, frozenset()
    )["node2"]
    finding = StaticAddresses(inventory, Addresses()).assess(
        {"node1": AddressReading(CURRENT, other.work)}, frozenset()
    )["node1"]
    assert (finding.verb, finding.before) == (Verb.PENDING, "static 192.168.99.105 at boot")
    assert finding.work is not None
    assert "192.168.99.105" not in finding.work


def test_a_bad_target_is_refused_and_the_other_nodes_are_not(make_inventory: MakeInventory) -> None:
    step = StaticAddresses(make_inventory(), Addresses())
    findings = step.assess(
        {
            "node1": AddressReading(CURRENT, None, "02:ff:ff:ff:ff:ff", probed=True),
            "node2": AddressReading(replace(CURRENT, node="node2", mac="02:00:00:00:00:02"), None, None, probed=True),
        },
        frozenset(),
    )
    assert (findings["node1"].verb, findings["node1"].work) == (Verb.REFUSED, None)
    assert "02:ff:ff:ff:ff:ff answers" in findings["node1"].detail
    assert findings["node2"].verb is Verb.PENDING


def test_the_articles_lines_are_named(make_inventory: MakeInventory) -> None:
    reading = AddressReading(CURRENT, "ifconfig eth1 192.168.99.104 up\n", None, probed=True)
    finding = StaticAddresses(make_inventory(), Addresses()).assess({"node1": reading}, frozenset())["node1"]
    assert finding.before == "bootsync.sh line 1: ifconfig eth1 192.168.99.104 up"
    assert "bootsync.sh also has line 1" in finding.detail


def test_removal_restores_the_text_of_before(make_inventory: MakeInventory) -> None:
    step, remove = StaticAddresses(make_inventory(), Addresses()), RemoveStaticAddresses()
    for text in ("#!/bin/sh\necho theirs\n", None):
        put = step.assess({"node1": AddressReading(CURRENT, text)}, frozenset())
        finding = remove.assess({"node1": BootScript(put["node1"].work)}, frozenset())["node1"]
        assert finding.verb is Verb.PENDING
        assert finding.work is not None
        assert finding.work.text == text
        assert remove.assess({"node1": BootScript(text)}, frozenset())["node1"].verb is Verb.SATISFIED
