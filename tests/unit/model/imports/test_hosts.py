"""Clusters of which only logins are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook_lib.errors import InputError
from runbook_lib.model.imports.draft import Draft, parameter_file
from runbook_lib.model.imports.hosts import Host, draft_of_hosts
from runbook_lib.model.inventory import SshAccess
from runbook_lib.model.loading import load_run


@pytest.fixture
def draft(known_hosts: Path):
    def of(**hosts: dict[str, Any]) -> Draft:
        logins = {
            name: SshAccess.model_validate({"agent": True, "known_hosts": str(known_hosts), **login})
            for name, login in hosts.items()
        }
        return draft_of_hosts([Host(name, login, {"via": "ssh"}) for name, login in logins.items()], "Imported", "lab")

    return of


def test_hosts_become_a_file_that_validates_and_says_what_it_guesses(draft) -> None:
    made = draft(a={"host": "10.1.0.1", "user": "ubuntu"}, b={"host": "10.1.0.2", "port": 2222})
    run = load_run(yaml.safe_load(parameter_file(made)))
    assert [node.cluster_address for node in run.inventory.nodes] == ["10.1.0.1", "10.1.0.2"]
    assert run.inventory.node("b").ssh.port == 2222
    assert (run.parameters.platform, run.inventory.network.subnet) == ("auto", "10.1.0.0/24")
    assert [note.place for note in made.unknown] == ["control_plane", "network.interface", "network.subnet"]


@pytest.mark.parametrize(
    "login",
    [
        {"host": "no-such-host.invalid"},
        {"host": "127.0.0.1", "port": 2222},
        {"host": "localhost", "port": 2222},
        {"host": "inner", "jump": [{"host": "10.1.0.9", "agent": True, "known_hosts": str(__file__)}]},
    ],
    ids=lambda login: login["host"],
)
def test_an_address_that_nobody_knows_is_a_placeholder_and_is_told(draft, login: dict[str, Any]) -> None:
    made = draft(a={"host": "10.1.0.1"}, b=login)
    assert made.nodes[1].cluster_address == "10.1.0.25"
    assert [note.place for note in made.unknown][-1] == "nodes.b"


def test_hosts_far_from_each_other_get_placeholders_with_what_is_known(draft) -> None:
    made = draft(a={"host": "10.1.0.1"}, b={"host": "172.16.0.1"})
    assert made.network["subnet"] == "192.0.2.0/24"
    assert "and not 172.16.0.1" in made.unknown[-1].text


def test_jump_hosts_stand_in_the_file(draft) -> None:
    hop = {"host": "10.1.0.9", "agent": True, "known_hosts": __file__}
    made = draft(a={"host": "10.1.0.1", "jump": [hop]})
    assert yaml.safe_load(parameter_file(made))["inventory"]["nodes"][0]["ssh"]["jump"] == [hop]


def test_one_host_under_two_names_is_refused(draft) -> None:
    with pytest.raises(InputError, match=r"a and b have the same address 10.1.0.1"):
        draft(a={"host": "10.1.0.1"}, b={"host": "10.1.0.1"})
