from collections.abc import Callable
from dataclasses import replace

from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.steps.base import Finding, Verb
from runbook_lib.steps.platforms import Change
from runbook_lib.steps.static_addresses import RemoveStaticAddresses, StaticAddresses
from runbook_lib.steps.targets import AddressReading

MakeInventory = Callable[..., Inventory]
MakeHost = Callable[..., HostNetwork]
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


def written(finding: Finding[Change]) -> str | None:
    """What the one file of a finding is to hold."""
    assert finding.work is not None
    (file,) = finding.work.files
    return file.after.text


def test_the_block_is_wanted_once_and_then_satisfied(make_inventory: MakeInventory, boot2docker: MakeHost) -> None:
    step = StaticAddresses(make_inventory(), Addresses())
    finding = step.assess(
        {"node1": AddressReading(CURRENT, boot2docker("echo theirs\n"), None, probed=True)}, frozenset()
    )["node1"]
    assert (finding.verb, finding.before, finding.after) == (
        Verb.PENDING,
        "DHCP at boot",
        "static 192.168.99.104 at boot",
    )
    text = written(finding)
    assert text is not None
    assert text.startswith("echo theirs\n# >>> overlay-runbook static-address >>>\n")
    after = step.assess({"node1": AddressReading(CURRENT, boot2docker(text))}, frozenset())["node1"]
    assert (after.verb, after.before) == (Verb.SATISFIED, "static 192.168.99.104 at boot")
    assert after.detail == "now 192.168.99.106 (dhcp, udhcpc pid 45)"


def test_a_block_with_another_address_is_replaced(make_inventory: MakeInventory, boot2docker: MakeHost) -> None:
    inventory = make_inventory()
    other = StaticAddresses(inventory, Addresses()).assess(
        {"node2": AddressReading(replace(CURRENT, node="node2"), boot2docker(None, "node2"))}, frozenset()
    )["node2"]
    finding = StaticAddresses(inventory, Addresses()).assess(
        {"node1": AddressReading(CURRENT, boot2docker(written(other)))}, frozenset()
    )["node1"]
    assert (finding.verb, finding.before) == (Verb.PENDING, "static 192.168.99.105 at boot")
    assert "192.168.99.105" not in (written(finding) or "192.168.99.105")


def test_a_bad_target_is_refused_and_the_other_nodes_are_not(
    make_inventory: MakeInventory, boot2docker: MakeHost
) -> None:
    step = StaticAddresses(make_inventory(), Addresses())
    findings = step.assess(
        {
            "node1": AddressReading(CURRENT, boot2docker(None), "02:ff:ff:ff:ff:ff", probed=True),
            "node2": AddressReading(
                replace(CURRENT, node="node2", mac="02:00:00:00:00:02"), boot2docker(None, "node2"), None, probed=True
            ),
        },
        frozenset(),
    )
    assert (findings["node1"].verb, findings["node1"].work) == (Verb.REFUSED, None)
    assert "02:ff:ff:ff:ff:ff answers" in findings["node1"].detail
    assert findings["node2"].verb is Verb.PENDING


def test_the_articles_lines_are_named(make_inventory: MakeInventory, boot2docker: MakeHost) -> None:
    reading = AddressReading(CURRENT, boot2docker("ifconfig eth1 192.168.99.104 up\n"), None, probed=True)
    finding = StaticAddresses(make_inventory(), Addresses()).assess({"node1": reading}, frozenset())["node1"]
    assert finding.before == "bootsync.sh line 1: ifconfig eth1 192.168.99.104 up"
    assert "bootsync.sh also has line 1" in finding.detail


def test_removal_restores_the_text_of_before(make_inventory: MakeInventory, boot2docker: MakeHost) -> None:
    inventory = make_inventory()
    step, remove = StaticAddresses(inventory, Addresses()), RemoveStaticAddresses(inventory)
    for text in ("#!/bin/sh\necho theirs\n", None):
        put = step.assess({"node1": AddressReading(CURRENT, boot2docker(text))}, frozenset())
        finding = remove.assess({"node1": boot2docker(written(put["node1"]))}, frozenset())["node1"]
        assert finding.verb is Verb.PENDING
        assert written(finding) == text
        assert remove.assess({"node1": boot2docker(text)}, frozenset())["node1"].verb is Verb.SATISFIED


NETWORKD = HostNetwork("node1", "eth1", "systemd-networkd", "networkctl", "/etc/systemd/network/20.network", "dhcp")


def test_a_live_change_is_done_only_once_the_address_is_in_effect(make_inventory: MakeInventory) -> None:
    step = StaticAddresses(make_inventory(), Addresses())
    (finding,) = step.assess({"node1": AddressReading(CURRENT, NETWORKD)}, frozenset()).values()
    assert (finding.before, finding.after) == ("DHCP by systemd-networkd", "static 192.168.99.104 by systemd-networkd")
    assert finding.work is not None
    host = replace(NETWORKD, files=tuple(file.after for file in finding.work.files))
    (not_taken_up,) = step.assess({"node1": AddressReading(CURRENT, host)}, frozenset()).values()
    assert not_taken_up.verb is Verb.PENDING
    fixed = replace(CURRENT, address="192.168.99.104", assigned_by="static", dhcp_client="")
    (done,) = step.assess({"node1": AddressReading(fixed, host)}, frozenset()).values()
    assert done.verb is Verb.SATISFIED


def test_an_address_that_the_host_s_own_files_fix_already_is_left_alone(make_inventory: MakeInventory) -> None:
    fixed = replace(CURRENT, address="192.168.99.104", assigned_by="static", dhcp_client="")
    host = replace(NETWORKD, method="static", addresses=("192.168.99.104/24",))
    step = StaticAddresses(make_inventory(), Addresses())
    (finding,) = step.assess({"node1": AddressReading(fixed, host)}, frozenset()).values()
    assert (finding.verb, finding.before) == (Verb.SATISFIED, "static 192.168.99.104 by systemd-networkd")


def test_a_node_that_is_reached_by_the_address_that_would_go_is_refused(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    spec = inventory.node("node1")
    spec = spec.model_copy(update={"ssh": spec.ssh.model_copy(update={"host": CURRENT.address})})
    inventory = inventory.model_copy(update={"nodes": (spec, *inventory.nodes[1:])})
    step = StaticAddresses(inventory, Addresses())
    (finding,) = step.assess({"node1": AddressReading(CURRENT, NETWORKD)}, frozenset()).values()
    assert finding.verb is Verb.REFUSED
    assert "cluster_address: 192.168.99.106" in finding.detail


def test_a_platform_that_the_host_does_not_run_is_refused_and_the_one_it_runs_is_named(
    make_inventory: MakeInventory, boot2docker: MakeHost
) -> None:
    step = StaticAddresses(make_inventory(), Addresses(), "NetworkManager")
    readings = {"node1": AddressReading(CURRENT, NETWORKD), "node2": AddressReading(CURRENT, boot2docker(None))}
    findings = step.assess(readings, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.REFUSED}
    assert "NetworkManager is named, the node runs systemd-networkd instead" in findings["node1"].detail
    assert "the node runs boot2docker instead" in findings["node2"].detail
