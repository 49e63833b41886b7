"""Commands in texts say which cluster they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.model import commands
from runbook_lib.model.inventory import Inventory, SshHop
from runbook_lib.transport.ssh.endpoint import Machine

NETWORK = {"interface": "eth1", "subnet": "192.0.2.0/24"}
NODE = {
    "name": "node1",
    "cluster_address": "192.0.2.1",
    "ssh": {"host": "192.0.2.1", "key_file": "/lab/key", "known_hosts": "/lab/known_hosts"},
}
LEARN = Path("params/learn it.yaml")


def test_where_nothing_is_known_commands_are_those_of_the_default_cluster() -> None:
    assert commands.run_command("02_autostart_etcd") == "./runbook run 02_autostart_etcd"
    assert commands.notebook_command() == "./runbook notebook"
    assert commands.inventory_command("trust") == "./runbook inventory trust -f FILE"
    assert commands.command_on_testbed("ssh node1") == "./runbook testbed ssh node1"
    assert commands.environment() == {}


def test_the_parameter_file_and_the_testbed_are_named_as_they_were_given() -> None:
    commands.at_hand(LEARN, testbed="learn")
    assert commands.run_command("02") == "./runbook run 02 -f 'params/learn it.yaml'"
    assert commands.notebook_command() == "./runbook notebook -f 'params/learn it.yaml'"
    assert commands.inventory_command("trust") == "./runbook inventory trust -f 'params/learn it.yaml'"
    assert commands.command_on_testbed("down") == "./runbook testbed down --name learn"
    assert commands.command_on_testbed("down", "other") == "./runbook testbed down --name other"
    assert commands.command_on_testbed("ssh node1", "runbook") == "./runbook testbed ssh node1"


@pytest.mark.parametrize(
    ("value", "typed"),
    [("ovr1", "ovr1"), ("10", "'\"10\"'"), (10, "10"), (True, "true"), (["a", "b"], '\'["a", "b"]\''), (None, "null")],
)
def test_replaced_values_are_named_so_that_they_are_read_as_they_were(value: object, typed: str) -> None:
    commands.at_hand(None, {"some.key": value, "plan": True})
    assert commands.run_command("05") == f"./runbook run 05 -p some.key {typed}"


def test_a_kernel_names_the_cluster_as_its_runner_does(monkeypatch: pytest.MonkeyPatch) -> None:
    commands.at_hand(LEARN, {"overlay.name": "ovr1"}, "learn")
    told = commands.run_command("05"), commands.command_on_testbed("status")
    left = commands.environment()
    monkeypatch.setattr(commands, "_said", None)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    assert (commands.run_command("05"), commands.command_on_testbed("status")) == told
    # A notebook says which inventory its parameters name; what the runner said is better.
    commands.at_hand_by_inventory("testbed:learn")
    assert commands.run_command("05") == told[0]
    # Unless its cell names another one.
    commands.at_hand_by_inventory("testbed:other")
    assert commands.run_command("05") == "./runbook run 05 -p inventory testbed:other"
    assert commands.command_on_testbed("down") == "./runbook testbed down --name other"


def test_another_inventory_in_a_cell_is_another_cluster_testbed_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    mine, other = str(tmp_path / "mine.yaml"), str(tmp_path / "other.yaml")
    commands.at_hand(LEARN, inventory=mine)
    for name, value in commands.environment().items():
        monkeypatch.setenv(name, value)
    for cell, command in (
        (mine, "./runbook run 02 -f 'params/learn it.yaml'"),
        ("../mine.yaml", "./runbook run 02 -f 'params/learn it.yaml'"),
        (other, f"./runbook run 02 -p inventory {other}"),
        ({"network": NETWORK, "nodes": [NODE]}, ""),
    ):
        monkeypatch.setattr(commands, "_said", None)
        commands.at_hand_by_inventory(cell)
        assert commands.run_command("02") == command


def test_nodes_that_stand_in_the_parameter_file_are_told_from_those_of_a_cell() -> None:
    commands.at_hand(LEARN, inventory=Inventory.model_validate({"network": NETWORK, "nodes": [NODE]}))
    commands.at_hand_by_inventory({"network": NETWORK, "nodes": [NODE]})
    assert commands.run_command("02") == "./runbook run 02 -f 'params/learn it.yaml'"
    commands.at_hand_by_inventory({"network": NETWORK, "nodes": [NODE | {"name": "node2"}]})
    assert commands.run_command("02") == ""


def test_what_another_version_left_in_the_environment_is_as_good_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(commands.VARIABLE, '["?"]')
    assert commands.run_command("05") == "./runbook run 05"


def test_a_notebook_that_no_command_started_names_its_inventory() -> None:
    commands.at_hand_by_inventory("/lab/inventory.yaml")
    assert commands.run_command("05") == "./runbook run 05 -p inventory /lab/inventory.yaml"
    commands.at_hand_by_record({"nodes": []})
    assert commands.run_command("05") == ""
    commands.at_hand_by_record("testbed:runbook")
    assert commands.run_command("05") == "./runbook run 05"


def test_a_node_that_is_off_is_asked_for_where_it_is() -> None:
    machine = Machine("node1", SshHop(host="192.0.2.1", key_file="key", known_hosts="known_hosts"))
    assert "'./runbook testbed status' shows" in machine.unreachable("no answer").remedy
    commands.at_hand(LEARN, testbed="learn")
    assert "'./runbook testbed status --name learn' shows" in machine.unreachable("no answer").remedy
    commands.at_hand(LEARN)
    assert machine.unreachable("no answer").remedy == "check that the node is on and its address is right"
