"""``runbook inventory``: YAML on stdout and nothing else, everything else on stderr, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from runbook_lib import cli
from runbook_lib.errors import ExitCode
from runbook_lib.model.loading import load_run
from runbook_lib.testbed.node.certificates import ssh_key_pair
from tests.unit.model.imports.conftest import Store
from tests.unit.model.imports.test_docker_context import add as add_context


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.add_nodes(2)
    return store


@pytest.fixture
def runbook(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A function that runs a command of ``inventory``, with a home of its own: its exit code, stdout and stderr."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("MACHINE_STORAGE_PATH", "DOCKER_CONFIG"):
        monkeypatch.delenv(variable, raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.main(["inventory", *words])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_store_becomes_a_file_on_stdout_and_what_it_lacks_on_stderr(runbook, store: Store, tmp_path: Path) -> None:
    code, out, err = runbook("import-docker-machine", "--store", str(store.folder), "--name", "lab")
    assert code == ExitCode.PASS
    assert load_run(yaml.safe_load(out)).parameters.name == "lab"
    known_hosts = tmp_path / "home" / ".ssh" / "known_hosts"
    assert f"runbook: {known_hosts}: created, empty" in err
    assert (known_hosts.read_text(), known_hosts.stat().st_mode & 0o777) == ("", 0o600)
    assert "runbook: etcd.members: The store names 192.168.99.104 (node1)" in err
    assert "./runbook inventory trust -f FILE" in err


def test_known_hosts_that_are_there_are_left_as_they_are(runbook, store: Store, tmp_path: Path) -> None:
    known_hosts = tmp_path / "hosts"
    known_hosts.write_text("# mine\n")
    code, out, err = runbook(
        "import-docker-machine", "node2", "--store", str(store.folder), "--known-hosts", str(known_hosts)
    )
    assert code == ExitCode.PASS
    (node,) = yaml.safe_load(out)["inventory"]["nodes"]
    assert (node["name"], node["ssh"]["known_hosts"]) == ("node2", str(known_hosts))
    assert "created, empty" not in err
    assert known_hosts.read_text() == "# mine\n"


def test_the_store_of_the_environment_is_the_usual_one(runbook, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = runbook("import-docker-machine")
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert ".docker/machine: not a docker-machine store: there is no such folder" in err
    monkeypatch.setenv("MACHINE_STORAGE_PATH", str(store.folder))
    assert runbook("import-docker-machine")[0] == ExitCode.PASS


def test_a_broken_store_leaves_stdout_empty(runbook, store: Store) -> None:
    store.write("machines/node2/config.json", "{")
    code, out, err = runbook("import-docker-machine", "--store", str(store.folder))
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert "node2/config.json:1:2: invalid JSON" in err
    assert "Traceback" not in err


def test_hosts_of_openssh_s_configuration_become_a_file(runbook, tmp_path: Path) -> None:
    config, known_hosts = tmp_path / "config", tmp_path / "hosts"
    config.write_text(
        "Host a\n HostName 10.1.0.1\n ProxyJump j\nHost b\n HostName 10.1.0.2\nHost j\n HostName 10.9.0.1\n"
    )
    options = ("--ssh-config", str(config), "--known-hosts", str(known_hosts))
    code, out, err = runbook("import-ssh-config", "a", "b", *options)
    assert code == ExitCode.PASS, err
    run = load_run(yaml.safe_load(out))
    (hop,) = run.inventory.node("a").ssh.jump
    assert (hop.host, hop.known_hosts) == ("10.9.0.1", str(known_hosts))
    assert "runbook: control_plane: A login does not show" in err


def test_a_configuration_that_is_not_there_is_refused(runbook) -> None:
    code, out, err = runbook("import-ssh-config", "a", "--ssh-config", "absent")
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert "absent: there is no such file" in err


def test_docker_s_contexts_become_a_file(runbook, tmp_path: Path) -> None:
    folder = add_context(tmp_path / "docker", "one", "tcp://10.1.0.1:2376", tls=True)
    (folder / "key.pem").chmod(0o600)
    add_context(tmp_path / "docker", "two", "ssh://mary@10.1.0.2:2222")
    (tmp_path / "config").write_text("Host 10.1.0.1\n User peter\n")
    options = ("--config", str(tmp_path / "docker"), "--ssh-config", str(tmp_path / "config"))
    code, out, err = runbook("import-docker-context", "one", "two", *options, "--known-hosts", str(tmp_path / "hosts"))
    assert code == ExitCode.PASS, err
    one, two = load_run(yaml.safe_load(out)).inventory.nodes
    assert (one.ssh.user, one.docker.via, one.docker.key) == ("peter", "tls", str(folder / "key.pem"))
    assert (two.ssh.user, two.ssh.port, two.docker.via) == ("mary", 2222, "ssh")


def test_a_file_that_does_not_validate_is_refused_before_any_node_is_tried(runbook, tmp_path: Path) -> None:
    assert runbook("check", "-f", str(tmp_path / "absent.yaml"))[0] == ExitCode.BAD_INPUT
    path = tmp_path / "bad.yaml"
    path.write_text("nmae: lab\n")
    code, out, err = runbook("check", "-f", str(path))
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert "nmae: unknown parameter" in err


def test_a_machine_that_is_off_is_red_in_the_table_with_its_remedy(runbook, store: Store, tmp_path: Path) -> None:
    store.add("node1", IPAddress="", SSHPort=9)
    code, out, err = runbook("import-docker-machine", "node1", "--store", str(store.folder))
    assert "docker-machine start node1" in err
    path = tmp_path / "mine.yaml"
    path.write_text(out)
    (store.folder / "machines" / "node1" / "id_rsa").write_text(ssh_key_pair("unit")[0])
    code, out, err = runbook("check", "-f", str(path))
    assert code == ExitCode.CHECK_FAILED, err
    assert "node1   no " in out
    assert "node1, SSH: no SSH connection to docker@127.0.0.1:9 (Connection refused)" in out
    assert "remedy:   check that the node is on" in out
    code, out, _ = runbook("check", "-f", str(path), "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (ExitCode.CHECK_FAILED, False)
    assert [row["check"] for row in found["checks"] if row["verdict"] == "fail"] == ["SSH"]
