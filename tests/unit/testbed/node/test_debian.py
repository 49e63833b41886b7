from __future__ import annotations

import json
import stat
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.model.locations import STATE_VARIABLE
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import Layout, NodeLayout
from runbook_lib.testbed.machine.managers import MANAGERS
from runbook_lib.testbed.node import etcd
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.node.certificates import Authority
from runbook_lib.testbed.node.client import inventory


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("tests")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return Layout("tests", 6, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"), Kind(platform="debian"))


def own_files(layout: Layout, node: NodeLayout, authority: Authority) -> dict[str, Path]:
    nodes.prepare(layout, node, authority, "ssh-ed25519 AAAA me\n")
    root = node.folder / "root"
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_symlink() or path.is_file()}


def test_the_managers_go_round_among_the_nodes(layout: Layout) -> None:
    assert [node.platform for node in layout.nodes] == [*MANAGERS, *MANAGERS[:2]]
    assert [spec.platform for spec in inventory(layout).nodes] == [node.platform for node in layout.nodes]


@pytest.mark.parametrize(
    ("index", "configuration", "unit"),
    [
        (0, "etc/systemd/network/20-eth1.network", "systemd-networkd.service"),
        (1, "etc/netplan/50-cluster.yaml", None),
        (2, "etc/NetworkManager/system-connections/eth1.nmconnection", "NetworkManager.service"),
        (3, "etc/network/interfaces", "networking.service"),
    ],
)
def test_a_node_has_the_files_of_its_own_manager_only(
    layout: Layout, authority: Authority, index: int, configuration: str, unit: str | None
) -> None:
    files = own_files(layout, layout.nodes[index], authority)
    folders = ("etc/systemd/network/", "etc/netplan/", "etc/NetworkManager/", "etc/network/")
    assert [path for path in files if path.startswith(folders)] == [configuration]
    assert "eth0" not in files[configuration].read_text()
    enabled = [Path(path).name for path in files if path.startswith("etc/systemd/system/multi-user.target.wants/")]
    assert enabled == ([unit] if unit else [])


def test_what_is_secret_on_a_node_is_readable_by_root_alone(layout: Layout, authority: Authority) -> None:
    files = own_files(layout, layout.nodes[2], authority)
    for path in ("etc/ssh/ssh_host_ed25519_key", "etc/docker/server-key.pem"):
        assert stat.S_IMODE(files[path].stat().st_mode) == 0o600
    # NetworkManager ignores a profile that others may read.
    profile = files["etc/NetworkManager/system-connections/eth1.nmconnection"]
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600
    # A folder made too private here would hide the whole /etc of the tree below.
    assert stat.S_IMODE((layout.nodes[2].folder / "root" / "etc").stat().st_mode) == 0o755


def test_no_two_nodes_have_the_same_machine_id(layout: Layout, authority: Authority) -> None:
    texts = [own_files(layout, node, authority)["etc/machine-id"].read_text() for node in layout.nodes[:2]]
    assert texts[0] != texts[1]
    assert all(len(text.strip()) == 32 for text in texts)


def test_the_engine_has_the_options_of_a_boot2docker_node(layout: Layout, authority: Authority) -> None:
    options = json.loads(own_files(layout, layout.nodes[0], authority)["etc/docker/daemon.json"].read_text())
    assert options["cluster-store"] == "etcd://192.168.99.104:2379,192.168.99.105:2379,192.168.99.106:2379"
    assert options["cluster-advertise"] == "eth1:2376"
    assert f"--cluster-store={options['cluster-store']}\n" in nodes.profile(layout)
    assert options["tlsverify"] is True


def test_all_but_the_first_member_are_native_and_know_the_others(layout: Layout, authority: Authority) -> None:
    assert [etcd.is_native(layout, node) for node in layout.nodes] == [False, True, True, False, False, False]
    text = own_files(layout, layout.nodes[2], authority)["etc/default/etcd"].read_text()
    assert "ETCD_NAME=etcd3\n" in text
    assert "ETCD_ENABLE_V2=true\n" in text
    command = etcd.command(layout, layout.nodes[2])
    shared = next(word for word in command if word.startswith("--initial-cluster="))
    assert f"ETCD_INITIAL_CLUSTER={shared.removeprefix('--initial-cluster=')}\n" in text
    assert "etc/default/etcd" not in own_files(layout, layout.nodes[0], authority)
