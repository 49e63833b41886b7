"""What a person reads who gives a wrong file: one message with place and remedy, the right exit code, no traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from runbook_lib.errors import ExitCode
from runbook_lib.testbed import Testbed
from tests.testbed.own_files import Files

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True


@pytest.fixture
def files(testbed: Testbed, tmp_path: Path) -> Files:
    return Files.of(testbed, tmp_path, here=True)


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
    files.here = False
    assert files.run("00").returncode == ExitCode.PASS
