"""A run is validated as a whole: every fault in one message, each with its place and in a person's words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbook_lib.errors import ExitCode, InputError, KeyFileError, ParameterError
from runbook_lib.model.loading import load_parameters, load_run
from runbook_lib.model.locations import STATE_VARIABLE

if TYPE_CHECKING:
    from .conftest import Files


def test_a_good_file_gives_parameters_and_inventory(files: Files) -> None:
    run = load_run(files.parameters)
    assert run.parameters.name == "unit"
    assert run.inventory.names == ("node1", "node2")
    assert run.inventory.node("node2").ssh.user == "docker"


def test_an_unknown_parameter_is_refused_and_the_known_ones_are_listed(files: Files) -> None:
    files.append("contaners: []")
    message = files.refusal()
    assert "/run.yaml:3: contaners: unknown parameter (known: name, inventory, platform," in message
    files.append("overlay: {subnett: 10.0.0.0/24}")
    assert (
        "/run.yaml:4: overlay.subnett: unknown parameter (known: name, subnet, options, encrypted)" in files.refusal()
    )


def test_every_fault_is_in_one_message_in_the_order_of_the_file(files: Files) -> None:
    files.append("platform: windows\noverlay: {name: 'a;b'}\nprobes:\n  count: 0\n")
    files.inventory.write_text(files.inventory_text("192.168.99.21", "192.168.99.21", "192.168.98.1"))
    with pytest.raises(ParameterError) as caught:
        load_run(files.parameters)
    places = [fault.place.replace(str(files.folder), "") for fault in caught.value.faults]
    assert places == [
        "/run.yaml:3: platform",
        "/run.yaml:4: overlay.name",
        "/run.yaml:6: probes.count",
        "/inventory.yaml:8: nodes.1.cluster_address",
        "/inventory.yaml:11: nodes.2.cluster_address",
    ]
    assert str(caught.value).count("remedy:") == 1
    assert caught.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (("192.168.99.21", "192.168.99.21"), "node2 and node1 have the same address 192.168.99.21"),
        (("192.168.98.21",), "192.168.98.21 of node1 is outside the subnet 192.168.99.0/24"),
        (("192.168.99.0",), "192.168.99.0 of node1 is the network's own address in 192.168.99.0/24"),
        (("192.168.99.255",), "192.168.99.255 of node1 is the broadcast address of 192.168.99.0/24"),
        (("192.168.99.1",), "192.168.99.1 of node1 is the gateway's address"),
        (("192.168.99.300",), "'192.168.99.300' is not an IPv4 address"),
    ],
)
def test_an_address_that_no_node_can_have_is_refused(files: Files, addresses: tuple[str, ...], said: str) -> None:
    files.inventory.write_text(files.inventory_text(*addresses))
    message = files.refusal()
    assert said in message
    assert f"/inventory.yaml:{2 + 3 * len(addresses)}: nodes.{len(addresses) - 1}.cluster_address" in message


def test_gateway_and_pool_belong_into_the_subnet(files: Files) -> None:
    network = "subnet: 192.168.99.0/24, gateway: 192.168.98.1, dhcp_pool: 192.168.99.100-192.168.100.4"
    files.inventory.write_text(files.inventory_text(network=network))
    message = files.refusal()
    assert "/inventory.yaml:2: network.gateway: 192.168.98.1 is outside the subnet" in message
    assert "/inventory.yaml:2: network.dhcp_pool: 192.168.99.100-192.168.100.4 is outside the subnet" in message


def test_the_overlay_must_not_overlap_the_network_under_it(files: Files) -> None:
    files.append("containers: []\noverlay: {subnet: 192.168.99.128/25}")
    assert "192.168.99.128/25 overlaps 192.168.99.0/24, the network between the nodes" in files.refusal()


def test_a_container_on_an_unknown_node_is_refused_with_the_nodes_there_are(files: Files) -> None:
    files.append("containers:\n  - name: alpine1\n    node: node9")
    assert (
        "/run.yaml:5: containers.0.node: alpine1 is placed on 'node9', "
        "which is not a node of the inventory (node1, node2)" in files.refusal()
    )


def test_names_are_used_once(files: Files) -> None:
    files.append("containers: [{name: a}, {name: a}, {name: etcd1}]\netcd: {members: [etcd1, etcd1]}")
    message = files.refusal()
    assert "containers.1.name: the name 'a' is used twice" in message
    assert "containers.2.name: 'etcd1' is the name of an etcd member" in message
    assert "etcd.members: the name 'etcd1' is used twice" in message


@pytest.mark.parametrize("bad", ["a;b", "$(id)", "a b", "`id`", "-rf", "a|b"])
def test_names_with_shell_metacharacters_are_refused_wherever_they_stand(files: Files, bad: str) -> None:
    files.append(
        f"name: '{bad}'\ncontainers: [{{name: '{bad}', image: '{bad}', node: '{bad}'}}]\noverlay: {{name: '{bad}'}}\n"
        f"etcd: {{members: ['{bad}']}}"
    )
    files.parameters.write_text(files.parameters.read_text().removeprefix("name: unit\n"))
    text = files.inventory_text().replace("name: node1", f"name: '{bad}'").replace("host:", f"user: '{bad}', host:")
    files.inventory.write_text(text)
    message = files.refusal()
    for key in (
        *("name", "containers.0.name", "containers.0.image", "containers.0.node", "overlay.name", "etcd.members.0"),
        *("nodes.0.name", "nodes.0.ssh.user"),
    ):
        assert f": {key}: '{bad}' is not" in message, key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: no",
            "this must be text, and YAML reads it as false (as it does yes, no, on and off): put it in quotes",
        ),
        ("name: 123", "this must be text, and is read as the number 123: put it in quotes"),
        ("name:", "this must be text, and is empty"),
        ("name: [a]", "['a'] is not text"),
        ("probes: {count: yes}", "this must be a number, and is read as true"),
        ("probes: {count: three}", "'three' is not a whole number"),
        ("probes: {count: 2.5}", "2.5 is not a whole number"),
        ("timeouts: {connect: .inf}", "inf must be at most 3600"),
        ("timeouts: {connect: .nan}", "nan must be more than 0"),
        ("timeouts: {connect: -1}", "-1 must be more than 0"),
        ("plan: perhaps", "'perhaps' is not true or false"),
        ("overlay: ovr0", "'ovr0' is not keys and values"),
        ("containers: alpine1", "'alpine1' is not a list (lines that begin with '- ')"),
        ("etcd: {autostart: cron}", "'cron' is not one of 'auto', 'bootlocal', 'restart-policy' or 'systemd-unit'"),
        ("etcd: {members: []}", "this list must not be empty"),
        ("on: 1", "on: unknown parameter"),
    ],
)
def test_what_yaml_makes_of_a_value_is_told_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        load_parameters(path)
    assert said in str(caught.value)
    assert len(caught.value.faults) == 1


def test_values_that_can_only_mean_one_thing_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "timeouts: {connect: 1e2, command: '30'}\nprobes: {count: '5'}\nplan: yes\n"
        "overlay: {options: {com.docker.network.driver.mtu: 1400, encrypted: true}}\n"
    )
    parameters = load_parameters(path)
    assert (parameters.timeouts.connect, parameters.timeouts.command, parameters.probes.count) == (100.0, 30.0, 5)
    assert parameters.plan is True
    assert parameters.overlay.options == {"com.docker.network.driver.mtu": "1400", "encrypted": "true"}


def test_a_missing_or_empty_inventory_says_what_may_stand_there(files: Files) -> None:
    expected = "inventory: this must be testbed:NAME, the path of an inventory file, or the nodes themselves"
    for value in ("", "5", "[]"):
        files.parameters.write_text(f"inventory: {value}\n")
        assert f"/run.yaml:1: {expected}" in files.refusal()
    files.parameters.write_text("inventory: nowhere.yaml\ncontainers: []\n")
    message = files.refusal()
    assert message.startswith("/run.yaml:1: inventory: the inventory file does not exist: /nowhere.yaml")
    assert "remedy: name an inventory file, or testbed:NAME" in message


def test_a_testbed_that_is_not_up_is_said_with_the_command(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(files.folder / "state"))
    for name, command in (("runbook", "./runbook testbed up"), ("other", "./runbook testbed up --name other")):
        files.parameters.write_text(f"inventory: testbed:{name}\ncontainers: []\n")
        message = files.refusal()
        assert f"/run.yaml:1: inventory: the testbed '{name}' is not up" in message
        assert message.endswith(f"remedy: bring it up: {command}")
    files.parameters.write_text("inventory: testbed:runbook\nprobes: {count: 0}\n")
    message = files.refusal()
    assert "2 faults" in message
    assert "is not up (bring it up: ./runbook testbed up)" in message


@pytest.mark.parametrize("name", ["../../etc", "", "A", "a b"])
def test_a_testbed_is_named_by_a_name_and_never_by_a_path(files: Files, name: str) -> None:
    files.parameters.write_text(f"inventory: 'testbed:{name}'\n")
    assert f"{name!r} is not a testbed name" in files.refusal()


def test_a_testbeds_inventory_is_found_by_its_name(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(files.folder / "state"))
    (files.folder / "state/mine").mkdir(parents=True)
    shutil.copy(files.inventory, files.folder / "state/mine/inventory.yaml")
    run = load_run({"inventory": "testbed:mine", "containers": []})
    assert run.inventory.names == ("node1", "node2")
    assert run.parameters.testbed_name == "mine"


def test_paths_are_relative_to_the_file_that_names_them(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (files.folder / "clusters").mkdir()
    text = files.inventory_text().replace(f"{files.folder}/", "../")
    files.write("clusters/mine.yaml", text)
    files.parameters.write_text("inventory: clusters/mine.yaml\ncontainers: []\n")
    ssh = load_run(files.parameters).inventory.nodes[0].ssh
    assert Path(ssh.key_file).samefile(files.key)
    assert Path(ssh.known_hosts).is_absolute()


def test_a_tilde_is_the_home_of_the_user(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(files.folder))
    files.inventory.write_text(files.inventory_text().replace(f"{files.folder}/", "~/"))
    files.parameters.write_text("inventory: ~/inventory.yaml\ncontainers: []\n")
    assert load_run(files.parameters).inventory.nodes[0].ssh.key_file == str(files.key)


def test_an_inventory_may_stand_in_the_parameter_file_itself(files: Files) -> None:
    inline = "".join(f"  {line}\n" for line in files.inventory_text("192.168.98.1").splitlines())
    files.parameters.write_text(f"inventory:\n{inline}containers: []\nplatform: x\n")
    message = files.refusal()
    assert "/run.yaml:6: inventory.nodes.0.cluster_address: 192.168.98.1 of node1 is outside" in message
    assert "/run.yaml:9: platform: 'x' is not one of" in message


def test_a_missing_key_is_named_once_however_many_nodes_use_it(files: Files) -> None:
    files.key.unlink()
    with pytest.raises(KeyFileError) as caught:
        load_run(files.parameters)
    message = str(caught.value).replace(str(files.folder), "")
    assert message == (
        "/inventory.yaml:6: nodes.0.ssh.key_file: the private key /key cannot be read (No such file or directory)\n"
        "  remedy: name the right key file"
    )
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(files: Files) -> None:
    files.key.chmod(0o644)
    message = files.refusal()
    assert "/inventory.yaml:6: nodes.0.ssh.key_file: the private key /key may be read by others (mode 0644)" in message
    assert message.endswith("remedy: chmod 600 /key")


def test_several_keys_at_fault_are_told_together(files: Files) -> None:
    other = files.write("other key", "x", mode=0o640)
    text = files.inventory_text()
    first, second = text.split("  - name: node2")
    files.inventory.write_text(f"{first}  - name: node2{second.replace(f'{files.folder}/key', repr(str(other)))}")
    files.key.chmod(0o604)
    message = files.refusal()
    assert message.startswith("2 private keys cannot be used:")
    assert "nodes.1.ssh.key_file: the private key /other key may be read by others (mode 0640)" in message
    assert message.endswith("remedy: chmod 600 /key; chmod 600 '/other key'")


def test_missing_known_hosts_and_certificates_are_named(files: Files) -> None:
    (files.folder / "known_hosts").unlink()
    assert "nodes.0.ssh.known_hosts: the known_hosts file /known_hosts does not exist" in files.refusal()
    files.write("known_hosts", "")
    tls = f"docker: {{via: tls, host: 10.0.0.1, ca: {files.folder}/ca.pem, cert: c.pem, key: key}}\n    ssh:"
    files.inventory.write_text(files.inventory_text().replace("ssh:", tls))
    assert "nodes.0.docker.ca: the certificate authority /ca.pem does not exist" in files.refusal()


def test_tls_without_its_files_is_refused(files: Files) -> None:
    files.inventory.write_text(files.inventory_text().replace("    ssh:", "    docker: {via: tls, ca: x}\n    ssh:"))
    assert "/inventory.yaml:6: nodes.0.docker: via: tls also needs host, cert, key" in files.refusal()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"overlay.name": "a b"}, "-p overlay.name: 'a b' is not a name"),
        ({"overlay": {"name": "a b"}}, "-p overlay: overlay.name: 'a b' is not a name"),
        ({"containers.0.node": "node1"}, "-p containers.0.node: '0' is not an item of a list of 0"),
        ({"name.first": "x"}, "-p name.first: a single value stands there, which has no 'first' that could be set"),
        ({"nothing": 1}, "-p nothing: unknown parameter"),
    ],
)
def test_a_fault_of_an_override_is_told_by_its_option(files: Files, overrides: dict[str, Any], said: str) -> None:
    assert said in files.refusal(overrides)


def test_overrides_reach_into_mappings_lists_and_what_the_file_leaves_out(files: Files) -> None:
    files.append("containers: [{name: a}, {name: b}]")
    run = load_run(files.parameters, {"containers.1.node": "node2", "timeouts.connect": 2, "name": "mine"})
    assert [container.node for container in run.parameters.containers] == [None, "node2"]
    assert (run.parameters.timeouts.connect, run.parameters.name) == (2.0, "mine")


def test_a_mapping_is_taken_as_a_file_is(files: Files) -> None:
    run = load_run({"inventory": str(files.inventory), "containers": []})
    assert run.parameters.name == "testbed"
    with pytest.raises(InputError, match=r"parameters: probes\.count: 0 must be at least 1"):
        load_run({"inventory": str(files.inventory), "containers": [], "probes": {"count": 0}})


def test_a_fault_in_the_inventorys_own_yaml_is_told_at_its_place(files: Files) -> None:
    files.inventory.write_text("nodes: [\n")
    assert files.refusal().startswith("/inventory.yaml:2:1: not valid YAML")
    files.inventory.write_text("version: 2\nnetwork: {subnet: 10.0.0.0/24}\nnodes: []\n")
    message = files.refusal()
    assert "/inventory.yaml:1: version: version 2 of the inventory's format is unknown, only 1 is supported" in message
    assert "/inventory.yaml:3: nodes: this list must not be empty" in message
