"""``inventory trust``: what it shows, what it asks, what it records, and the exit codes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import pty
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
import typer
import yaml

from runbook_lib.cli.inventory import trust_app
from runbook_lib.errors import ExitCode, RunbookError


class HostKeyServer:
    """A real SSH server that shows a host key and lets nobody in."""

    def __init__(self) -> None:
        self.key = paramiko.ECDSAKey.generate()
        digest = base64.b64encode(hashlib.sha256(self.key.asbytes()).digest()).decode().rstrip("=")
        self.fingerprint = f"SHA256:{digest}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self.key)
            transport.start_server(server=paramiko.ServerInterface(), event=threading.Event())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def servers() -> Iterator[tuple[HostKeyServer, HostKeyServer]]:
    both = HostKeyServer(), HostKeyServer()
    yield both
    for server in both:
        server.close()


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "hosts" / "known"


@pytest.fixture
def parameters(tmp_path: Path, servers: tuple[HostKeyServer, ...], known_hosts: Path) -> Path:
    """A parameter file with two nodes, whose known_hosts does not exist yet."""
    nodes = [
        {
            "name": f"node{index}",
            "cluster_address": f"192.168.9.{index}",
            "ssh": {"host": "127.0.0.1", "port": server.port, "agent": True, "known_hosts": str(known_hosts)},
        }
        for index, server in enumerate(servers, 1)
    ]
    data = {
        "timeouts": {"connect": 60},
        "containers": [],
        "inventory": {"network": {"subnet": "192.168.9.0/24"}, "nodes": nodes},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def trust(*arguments: str) -> int:
    """The command with these arguments: its exit code."""
    command = typer.main.get_command(trust_app)
    try:
        result = command(list(arguments), standalone_mode=False)
    except RunbookError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return int(result or 0)


def test_unknown_keys_are_shown_and_recorded_and_then_known(
    parameters: Path,
    known_hosts: Path,
    servers: tuple[HostKeyServer, HostKeyServer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert trust("-f", str(parameters), "--yes") == ExitCode.PASS
    said = capsys.readouterr().out
    for name, server in zip(("node1", "node2"), servers, strict=True):
        row = next(line for line in said.splitlines() if line.startswith(name))
        assert row.split()[1:4] == [f"127.0.0.1:{server.port}", "ecdsa-sha2-nistp256", server.fingerprint]
    assert "2 recorded, 0 known before, 0 refused, 0 without an answer" in said
    recorded = known_hosts.read_text()
    assert recorded.splitlines() == [
        f"[127.0.0.1]:{server.port} ecdsa-sha2-nistp256 {server.key.get_base64()}" for server in servers
    ]
    assert trust("-f", str(parameters)) == ExitCode.PASS
    assert "0 recorded, 2 known before" in capsys.readouterr().out
    assert known_hosts.read_text() == recorded


def test_nothing_is_recorded_where_nobody_can_say_yes(
    parameters: Path, known_hosts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert trust("-f", str(parameters)) == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    assert "SHA256:" in captured.out
    assert "cannot ask whether to accept these 2 keys" in captured.err
    assert not known_hosts.exists()


@pytest.mark.parametrize(("answer", "code"), [("y", ExitCode.PASS), ("n", ExitCode.BAD_INPUT)])
def test_a_person_is_asked_once_and_the_answer_decides(
    parameters: Path, known_hosts: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: ExitCode
) -> None:
    master, slave = pty.openpty()
    with open(slave) as terminal, open(master, "wb", buffering=0) as person:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", terminal)
        person.write(f"{answer}\n".encode())
        assert trust("-f", str(parameters)) == code
    assert known_hosts.exists() == (answer == "y")


def test_a_key_that_differs_is_refused_with_both_fingerprints_though_yes_was_said(
    parameters: Path,
    known_hosts: Path,
    servers: tuple[HostKeyServer, HostKeyServer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = servers
    known_hosts.parent.mkdir()
    known_hosts.write_text(f"[127.0.0.1]:{first.port} ecdsa-sha2-nistp256 {second.key.get_base64()}\n")
    assert trust("-f", str(parameters), "--yes") == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    assert first.fingerprint in captured.err
    assert second.fingerprint in captured.err
    assert "it is not recorded" in captured.err
    assert "1 recorded, 0 known before, 1 refused" in captured.out
    assert second.key.get_base64() in known_hosts.read_text().splitlines()[0]
    assert len(known_hosts.read_text().splitlines()) == 2


def test_a_node_that_is_off_is_told_and_the_others_are_recorded(
    parameters: Path,
    known_hosts: Path,
    servers: tuple[HostKeyServer, HostKeyServer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    servers[0].close()
    assert trust("-f", str(parameters), "--yes") == ExitCode.ERROR
    captured = capsys.readouterr()
    assert captured.err.startswith("runbook: node1: no SSH connection to docker@127.0.0.1:")
    assert "1 recorded, 0 known before, 0 refused, 1 without an answer" in captured.out
    assert len(known_hosts.read_text().splitlines()) == 1
