"""What a person reads who gives a wrong file, or whose cluster is not as it should be, and that a second run finishes.

Each through the command line: one message with place and remedy, the right exit code, no traceback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from runbook_lib.cluster import Cluster
from runbook_lib.errors import EngineNotFound, ExitCode
from runbook_lib.testbed import Testbed

pytestmark = pytest.mark.testbed

PROJECT = Path(__file__).resolve().parents[2]
NETWORK = "bad0"
MANY = [f"bad{index}" for index in range(1, 9)]


@dataclass
class Files:
    """A person's own parameter file and inventory, copied from the testbed's."""

    folder: Path

    @property
    def parameters(self) -> Path:
        return self.folder / "run.yaml"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yaml"

    def write(self, **parameters: object) -> None:
        data = {"name": "bad", "inventory": "inventory.yaml", "addresses": {"allow_in_dhcp_pool": True}}
        data |= {"overlay": {"name": NETWORK, "subnet": "10.66.0.0/24"}, "containers": [], "timeouts": {"connect": 5}}
        self.parameters.write_text(yaml.safe_dump(data | parameters, sort_keys=False))

    def run(self, *notebooks: str) -> subprocess.CompletedProcess[str]:
        """``runbook run`` with these files; the output of both streams is in ``stdout``."""
        records = str(self.folder / "records")
        command = ["run", *notebooks, "-f", str(self.parameters), "--records", records]
        return subprocess.run(
            [sys.executable, "-m", "runbook_lib", *command],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            env=os.environ | {"COLUMNS": "200"},
        )

    def refused(self, code: ExitCode, *notebooks: str) -> str:
        """What a run that must end with this code says."""
        done = self.run(*notebooks)
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        assert "remedy: " in done.stdout
        return done.stdout.replace(f"{self.folder}/", "")


@pytest.fixture
def files(testbed: Testbed, tmp_path: Path) -> Files:
    made = Files(tmp_path)
    text = testbed.inventory_file.read_text()
    (tmp_path / "inventory.yaml").write_text(text)
    made.write()
    return made


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[None]:
    """What a test makes on the nodes is removed."""
    yield
    for node in cluster:
        for name in [item["Names"][0].strip("/") for item in node.engine.containers()]:
            if name.startswith("bad"):
                node.engine.remove_container(name, force=True)
    for network in cluster.nodes[0].engine.networks(names=[NETWORK]):
        cluster.nodes[0].engine.remove_network(network["Id"])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def first_address(files: Files) -> str:
    return str(yaml.safe_load(files.inventory.read_text())["nodes"][0]["cluster_address"])


SPOILED: dict[str, tuple[Callable[[Files], None], str]] = {
    "an unknown parameter": (
        lambda files: files.write(overley={"name": "x"}),
        "run.yaml:11: overley: unknown parameter (known: name,",
    ),
    "malformed YAML": (
        lambda files: files.parameters.write_text("name: [bad\n"),
        "run.yaml:2:1: not valid YAML: expected ',' or ']'",
    ),
    "two nodes with one address": (
        lambda files: edit(files.inventory, ".105", ".104"),
        "node2 and node1 have the same address",
    ),
    "an address outside the subnet": (
        lambda files: edit(files.inventory, f"cluster_address: {first_address(files)}", "cluster_address: 10.1.2.3"),
        "nodes.0.cluster_address: 10.1.2.3 of node1 is outside the subnet",
    ),
    "an unknown node in placement": (
        lambda files: files.write(containers=[{"name": "a", "node": "node9"}]),
        "containers.0.node: a is placed on 'node9', which is not a node of the inventory (node1, node2, node3, node4)",
    ),
    "shell metacharacters in names": (
        lambda files: files.write(overlay={"name": "a;reboot"}, containers=[{"name": "$(reboot)"}]),
        "containers.0.name: '$(reboot)' is not a name that Docker takes",
    ),
    "a missing key": (
        lambda files: edit(files.inventory, "id_", "no_such_id_"),
        "nodes.0.ssh.key_file: the private key",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_wrong_file_is_refused_before_anything_begins(files: Files, kind: str) -> None:
    spoil, said = SPOILED[kind]
    spoil(files)
    assert said in files.refused(ExitCode.BAD_INPUT, "03")
    assert not (files.folder / "records").exists()


def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(files: Files) -> None:
    key = Path(yaml.safe_load(files.inventory.read_text())["nodes"][0]["ssh"]["key_file"])
    copy = files.folder / "key"
    shutil.copy(key, copy)
    copy.chmod(0o644)
    files.inventory.write_text(files.inventory.read_text().replace(str(key), str(copy)))
    said = files.refused(ExitCode.BAD_INPUT, "00")
    assert "nodes.0.ssh.key_file: the private key key may be read by others (mode 0644)" in said
    assert "remedy: chmod 600 key" in said


def test_a_wrong_host_key_is_refused_with_both_fingerprints_and_the_file_to_mend(files: Files) -> None:
    node1, node2 = yaml.safe_load(files.inventory.read_text())["nodes"][:2]
    right = Path(node1["ssh"]["known_hosts"])
    wrong = files.folder / "known_hosts"
    lines = [line.split(" ", 1) for line in right.read_text().splitlines()]
    keys = {names.split(",")[0]: key for names, key in lines}
    wrong.write_text("".join(f"{host} {keys[node2['ssh']['host']]}\n" for host in keys))
    files.inventory.write_text(files.inventory.read_text().replace(str(right), str(wrong)))
    said = files.refused(ExitCode.BAD_INPUT, "00")
    assert f"node1: host key of {node1['ssh']['host']}:22 refused: the host offers ssh-ed25519 SHA256:" in said
    assert "known_hosts expects ssh-ed25519 SHA256:" in said
    assert "put it into known_hosts" in said
    shutil.copy(right, wrong)
    assert files.run("00").returncode == ExitCode.PASS


def test_a_node_that_is_down_is_named_and_a_second_run_with_it_passes(files: Files, testbed: Testbed) -> None:
    testbed.poweroff(["node4"], hard=True)
    try:
        said = files.refused(ExitCode.ERROR, "00")
    finally:
        testbed.start(["node4"])
    assert "node4: no SSH connection to docker@" in said
    assert "check that the node is on and its address is right" in said
    assert files.run("00").returncode == ExitCode.PASS


def test_engines_without_a_store_are_told_with_the_notebook_that_helps(
    files: Files, cluster: Cluster, start_store: Callable[[], None], clean: None
) -> None:
    for node, member in zip(cluster.nodes, ("etcd1", "etcd2", "etcd3"), strict=False):
        node.engine.stop(member)
    said = files.refused(ExitCode.CHECK_FAILED, "03")
    assert "02_autostart_etcd" in said
    start_store()
    assert files.run("03").returncode == ExitCode.PASS


def test_a_container_of_that_name_with_another_image_is_left_alone(
    files: Files, cluster: Cluster, store: None, clean: None
) -> None:
    engine = cluster.node("node2").engine
    strange = engine.create_container("bad1", "etcd:3.4", command=["/bin/sh"])
    files.write(containers=[{"name": "bad1", "node": "node2"}])
    said = files.refused(ExitCode.CHECK_FAILED, "03", "04")
    assert "image: expected alpine:latest, found etcd:3.4" in said
    assert "docker rm -f bad1" in said
    assert engine.container("bad1")["Id"] == strange
    engine.remove_container("bad1", force=True)
    done = files.run("04")
    assert done.returncode == ExitCode.PASS, done.stdout
    assert engine.container("bad1")["Config"]["Image"] == "alpine:latest"


@pytest.mark.timeout(1800)
def test_a_node_that_dies_in_the_middle_of_a_step_is_named_and_a_second_run_finishes_it(
    files: Files, cluster: Cluster, testbed: Testbed, start_store: Callable[[], None], clean: None
) -> None:
    start_store()
    others = [{"name": f"bad-on-{node}", "node": node} for node in ("node1", "node2", "node3")]
    files.write(containers=[{"name": name, "node": "node4"} for name in MANY] + others)
    assert files.run("03").returncode == ExitCode.PASS

    def pull_the_cables() -> None:
        """As soon as the step has made its first container there, however long that takes."""
        engine = cluster.node("node4").engine
        while not over.wait(0.01):
            try:
                engine.container(MANY[0])
            except EngineNotFound:
                continue
            testbed.cut("node4", management=True)
            return

    over = threading.Event()
    death = threading.Thread(target=pull_the_cables)
    death.start()
    try:
        said = files.refused(ExitCode.CHECK_FAILED, "04")
    finally:
        over.set()
        death.join()
        testbed.restore("node4")
    assert "step 'run containers' did not succeed:" in said
    assert "node4: unreachable: " in said
    assert cluster.node("node1").engine.container("bad-on-node1")["State"]["Running"]
    start_store()
    done = files.run("04")
    assert done.returncode == ExitCode.PASS, done.stdout
    running = {item["Names"][0].strip("/") for item in cluster.node("node4").engine.containers(every=False)}
    assert set(MANY) <= running
