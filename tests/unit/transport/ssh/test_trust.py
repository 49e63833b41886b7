"""Host keys are shown before they are trusted, recorded when a person said yes, and never replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from runbook_lib.errors import HostKeyError, InputError
from runbook_lib.model.inventory import Inventory
from runbook_lib.transport.ssh import SshConnection, TrustState, ask_for_key, fingerprint, machines_by_depth
from runbook_lib.transport.ssh.endpoint import machine_of_node
from runbook_lib.transport.ssh.known_hosts import record_key

if TYPE_CHECKING:
    from ..conftest import SshServer


def inventory(*accesses: dict[str, Any]) -> Inventory:
    nodes = [
        {"name": f"node{index}", "cluster_address": f"10.0.0.{index}", "ssh": access}
        for index, access in enumerate(accesses, 1)
    ]
    return Inventory.model_validate({"network": {"subnet": "10.0.0.0/24"}, "nodes": nodes})


def test_a_key_is_recorded_in_a_file_that_did_not_exist_and_lets_the_node_in(server: SshServer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "new" / "folder" / "known_hosts"
    node = server.node(known_hosts=str(known_hosts))
    offered = ask_for_key(machine_of_node(node), 5)
    assert (offered.trust, offered.expected) == (TrustState.UNKNOWN, ())
    assert f"{offered.type} {offered.fingerprint}" == fingerprint(server.host_keys[0])
    assert server.attempts == []
    offered.record()
    assert (known_hosts.stat().st_mode & 0o777, known_hosts.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert os.listdir(known_hosts.parent) == ["known_hosts"]  # noqa: PTH208
    with SshConnection(node) as ssh:
        ssh.run(["true"])
    assert ask_for_key(machine_of_node(node), 5).trust is TrustState.KNOWN


def test_what_stands_in_the_file_stays_as_it_is(server: SshServer, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "known_hosts"
    real.write_bytes(b"# mine\n|1|x|y ssh-rsa AAAA")
    real.chmod(0o644)
    link.symlink_to(real)
    key = server.host_keys[0]
    record_key(str(link), "10.0.0.9", 22, key)
    record_key(str(link), "10.0.0.9", 2222, key)
    shown = f"{key.get_name()} {key.get_base64()}"
    assert real.read_text() == f"# mine\n|1|x|y ssh-rsa AAAA\n10.0.0.9 {shown}\n[10.0.0.9]:2222 {shown}\n"
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o644


def test_a_key_that_differs_or_is_revoked_is_never_recorded(server: SshServer) -> None:
    other = paramiko.ECDSAKey.generate()
    server.know(other)
    before = server.known_hosts.read_text()
    offered = ask_for_key(machine_of_node(server.node()), 5)
    assert (offered.trust, offered.expected) == (TrustState.DIFFERENT, (fingerprint(other),))
    with pytest.raises(ValueError, match="different"):
        offered.record()
    key = server.host_keys[0]
    revoked = f"{before}@revoked * {key.get_name()} {key.get_base64()}\n"
    server.known_hosts.write_text(revoked)
    offered = ask_for_key(machine_of_node(server.node()), 5)
    assert offered.trust is TrustState.REVOKED
    with pytest.raises(ValueError, match="revoked"):
        offered.record()
    assert server.known_hosts.read_text() == revoked


def test_a_server_with_several_keys_shows_the_one_that_is_recorded(make_server: Callable[..., SshServer]) -> None:
    rsa, ecdsa = paramiko.RSAKey.generate(2048), paramiko.ECDSAKey.generate()
    server = make_server(rsa, ecdsa)
    for known in (rsa, ecdsa):
        server.know(known)
        assert ask_for_key(machine_of_node(server.node()), 5).trust is TrustState.KNOWN


def test_a_file_that_cannot_be_written_is_named(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written into"):
        record_key(str(tmp_path / "file" / "known_hosts"), "h", 22, server.host_keys[0])


def test_a_node_behind_a_jump_host_is_asked_through_it_once_that_is_trusted(
    server: SshServer, make_server: Callable[..., SshServer], tmp_path: Path
) -> None:
    jump = make_server()
    mine = str(tmp_path / "mine")
    behind = server.login(known_hosts=mine, jump=[jump.login(known_hosts=mine)])
    levels = list(machines_by_depth(inventory(behind, behind, jump.login(known_hosts=mine))))
    assert [[machine.name for machine in level] for level in levels] == [["jump host 127.0.0.1"], ["node1"]]
    (first,), (second,) = levels
    with pytest.raises(InputError, match="cannot be read"):
        ask_for_key(second, 5)
    Path(mine).write_text("")
    with pytest.raises(HostKeyError, match=f"host key of 127.0.0.1:{jump.port} refused"):
        ask_for_key(second, 5)
    ask_for_key(first, 5).record()
    offered = ask_for_key(second, 5)
    assert f"{offered.type} {offered.fingerprint}" == fingerprint(server.host_keys[0])
    assert (jump.attempts, server.attempts) == (["publickey"], [])
