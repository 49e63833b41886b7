"""OpenSSH's configuration, as OpenSSH itself reads it."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.transport.ssh.config import SshConfig, parse_options

CONFIG = """\
Include {folder}/more
Host node*
  User ubuntu
  ProxyJump admin@bastion:2222
  UserKnownHostsFile {folder}/absent {folder}/known_hosts
Host bastion
  HostName 203.0.113.7
  ProxyJump outer
  IdentityFile {folder}/locked
Host outer
  HostName outer.example.org
  IdentityFile {folder}/plain
Host command
  ProxyCommand nc %h %p
Host loop1
  ProxyJump loop2
Host loop2
  ProxyJump loop1
Host odd
  HostName 10.1.0.3
  User +++
"""
MORE = """\
Host node1
  HostName 10.1.0.1
  IdentityFile {folder}/%r-%h
Host node2
  HostName 10.1.0.2
  Port 2022
  IdentityFile {folder}/nothing
"""


@pytest.fixture
def config(tmp_path: Path) -> SshConfig:
    for name, passphrase in (("plain", ""), ("ubuntu-10.1.0.1", ""), ("locked", "a passphrase")):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", tmp_path / name], check=True)
    (tmp_path / "known_hosts").touch()
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "more").write_text(MORE.format(folder=tmp_path))
    return SshConfig(tmp_path / "config")


def test_a_host_is_what_its_alias_says_with_what_is_included(config: SshConfig, tmp_path: Path) -> None:
    access = config.host("node1").access
    assert (access.host, access.port, access.user) == ("10.1.0.1", 22, "ubuntu")
    assert access.key_file == str(tmp_path / "ubuntu-10.1.0.1")
    assert access.known_hosts == str(tmp_path / "known_hosts")
    assert not access.agent


def test_jump_hosts_come_in_the_order_in_which_they_are_passed(config: SshConfig, tmp_path: Path) -> None:
    outer, bastion = config.host("node1").access.jump
    assert (outer.host, outer.user, outer.key_file) == ("outer.example.org", getpass.getuser(), str(tmp_path / "plain"))
    assert (bastion.host, bastion.user, bastion.port) == ("203.0.113.7", "admin", 2222)


def test_a_key_with_a_passphrase_is_left_to_the_agent_and_this_is_told(config: SshConfig, tmp_path: Path) -> None:
    found = config.host("bastion")
    assert (found.access.agent, found.access.key_file) == (True, None)
    assert found.notes == (
        f"The key {tmp_path}/locked has a passphrase, so ssh-agent's keys are used: ssh-add it there.",
    )


def test_a_host_without_a_key_file_uses_the_agent(config: SshConfig) -> None:
    found = config.host("node2")
    assert (found.access.agent, found.access.port) == (True, 2022)
    assert "No key file is there" in found.notes[0]


def test_user_and_port_that_are_given_come_first(config: SshConfig) -> None:
    access = config.host("node1", user="mary", port=44).access
    assert (access.user, access.port) == ("mary", 44)


def test_a_name_that_is_no_alias_is_a_host(config: SshConfig) -> None:
    assert config.host("10.9.9.9").access.host == "10.9.9.9"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("command", "uses a ProxyCommand"),
        ("loop1", "form a loop"),
        ("-x", "OpenSSH refuses '-x'"),
        ("odd", "'+++' is not a user name"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(config: SshConfig, name: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        config.host(name)
    assert said in str(caught.value)


def test_a_configuration_that_openssh_refuses_is_refused_in_its_words(config: SshConfig) -> None:
    assert config.file is not None
    config.file.write_text("Host node1\n  NoSuchOption yes\n")
    with pytest.raises(InputError, match="OpenSSH refuses 'node1'"):
        config.host("node1")


def test_without_openssh_its_package_is_named(config: SshConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="apt-get install -y openssh-client"):
        config.host("node1")


def test_options_that_stand_several_times_keep_all_their_values() -> None:
    assert parse_options("host a\nidentityfile x\nidentityfile y\n") == {"host": ["a"], "identityfile": ["x", "y"]}
