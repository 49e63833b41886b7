from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.facts.host.addresses import BOOTSYNC, ClusterAddress
from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.model.results import Check, Verdict
from runbook_lib.steps.targets import AddressReading, judge_address, judge_readings, judge_targets, refusals

MakeInventory = Callable[..., Inventory]


def retarget(inventory: Inventory, node: str, address: str) -> Inventory:
    nodes = [
        item.model_copy(update={"cluster_address": address}) if item.name == node else item for item in inventory.nodes
    ]
    return inventory.model_copy(update={"nodes": tuple(nodes)})


def boot2docker(bootsync: str) -> HostNetwork:
    return HostNetwork("node1", "eth1", "boot2docker", "", BOOTSYNC, files=(HostFile(BOOTSYNC, bootsync.encode()),))


def reading(inventory: Inventory, node: str, address: str, **changes: object) -> AddressReading:
    current = ClusterAddress(
        node=node,
        interface="eth1",
        address=address,
        prefix_length=24,
        mac=f"02:00:00:00:00:0{node[-1]}",
        expected=inventory.node(node).cluster_address,
        assigned_by="dhcp",
        dhcp_client="udhcpc pid 45",
    )
    return replace(AddressReading(current, boot2docker(""), None, probed=True), **changes)


def one(checks: tuple[Check, ...], name: str, node: str = "node1") -> Check:
    (found,) = [check for check in checks if check.check == name and check.node == node]
    return found


def test_good_targets_pass_every_check(make_inventory: MakeInventory) -> None:
    checks = judge_targets(make_inventory(3, dhcp_pool="192.168.99.200-192.168.99.254"), Addresses())
    assert len(checks) == 12
    assert {check.verdict for check in checks} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("address", "check", "found"),
    [
        ("192.168.99.105", "unique", "also node2"),
        ("192.168.98.4", "in the subnet", "192.168.98.4"),
        ("192.168.99.1", "not reserved", "the gateway"),
        ("192.168.99.0", "not reserved", "the network's address"),
        ("192.168.99.255", "not reserved", "the broadcast address"),
    ],
)
def test_a_bad_target_fails_its_check(make_inventory: MakeInventory, address: str, check: str, found: str) -> None:
    checks = judge_targets(retarget(make_inventory(), "node1", address), Addresses())
    failed = one(checks, check)
    assert (failed.verdict, failed.found) == (Verdict.FAIL, found)
    assert "cluster_address" in failed.remedy
    assert refusals(checks, "node3") == []


def test_a_target_in_the_dhcp_pool_fails_unless_it_is_allowed_and_then_warns_why(make_inventory: MakeInventory) -> None:
    inventory = make_inventory(3, dhcp_pool="192.168.99.100-192.168.99.254")
    refused = one(judge_targets(inventory, Addresses()), "DHCP pool")
    assert refused.verdict is Verdict.FAIL
    assert "allow_in_dhcp_pool" in refused.remedy
    warned = one(judge_targets(inventory, Addresses(allow_in_dhcp_pool=True)), "DHCP pool")
    assert warned.verdict is Verdict.WARN
    assert "docker/machine/issues/1996" in warned.found


def test_a_stranger_at_the_target_fails(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    readings = {"node1": reading(inventory, "node1", "192.168.99.110", answering="02:ff:ff:ff:ff:ff")}
    check = one(judge_readings(inventory, readings), "no other host answers")
    assert check.verdict is Verdict.FAIL
    assert "02:ff:ff:ff:ff:ff" in check.found


def test_a_node_of_the_cluster_that_will_move_away_is_no_obstacle(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    readings = {
        "node1": reading(inventory, "node1", "192.168.99.105", answering="02:00:00:00:00:02"),
        "node2": reading(inventory, "node2", "192.168.99.104", answering="02:00:00:00:00:01"),
    }
    checks = judge_readings(inventory, readings)
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert one(checks, "no other host answers").found == "node2 has it until its next boot, then 192.168.99.105"


def test_a_silent_target_passes(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    readings = {"node1": reading(inventory, "node1", "192.168.99.104")}
    assert one(judge_readings(inventory, readings), "no other host answers").verdict is Verdict.PASS


def test_the_articles_lines_in_bootsync_are_reported(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    host = boot2docker("kill 3\nifconfig eth1 10.0.0.1 up\n")
    readings = {"node1": reading(inventory, "node1", "192.168.99.104", host=host)}
    check = one(judge_readings(inventory, readings), "bootsync.sh")
    assert (check.verdict, check.found) == (Verdict.WARN, "line 2: ifconfig eth1 10.0.0.1 up")


def test_an_address_fixed_at_boot_passes(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    fixed = reading(inventory, "node1", "192.168.99.104")
    fixed = replace(fixed, current=replace(fixed.current, assigned_by="static", dhcp_client=""))
    assert {check.verdict for check in judge_address(fixed)} == {Verdict.PASS}


def test_every_way_in_which_an_address_is_not_fixed_is_told(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    drifted = reading(inventory, "node1", "192.168.99.106", answering="02:00:00:00:00:03")
    drifted = replace(drifted, current=replace(drifted.current, others=("192.168.99.104",)))
    checks = judge_address(drifted)
    assert {check.verdict for check in checks} == {Verdict.FAIL}
    assert one(checks, "no DHCP client").found == "udhcpc pid 45"
    assert one(checks, "only address").found == "192.168.99.104"


def test_a_node_that_does_not_run_the_platform_that_is_named_fails_and_says_what_it_runs(
    make_inventory: MakeInventory,
) -> None:
    inventory = make_inventory()
    readings = {"node1": reading(inventory, "node1", "192.168.99.104")}
    check = one(judge_readings(inventory, readings, "netplan"), "platform")
    assert (check.verdict, check.expected) == (Verdict.FAIL, "netplan")
    assert "the node runs boot2docker instead" in check.found
    assert all(item.check != "platform" for item in judge_readings(inventory, readings, "boot2docker"))


def test_a_node_s_own_platform_comes_before_that_of_all(make_inventory: MakeInventory) -> None:
    inventory = make_inventory()
    spec = inventory.node("node1").model_copy(update={"platform": "boot2docker"})
    inventory = inventory.model_copy(update={"nodes": (spec, *inventory.nodes[1:])})
    readings = {name: reading(inventory, name, f"192.168.99.10{3 + int(name[-1])}") for name in ("node1", "node2")}
    failed = [check for check in judge_readings(inventory, readings, "ifupdown") if check.check == "platform"]
    assert [check.node for check in failed] == ["node2"]
