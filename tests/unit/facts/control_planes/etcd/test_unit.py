from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.facts.control_planes.etcd.members import DROP_IN, parse_unit, starts_at_boot
from runbook_lib.facts.sections import Section, parse_sections

# As systemd 252 answers for Debian 12's package on a node whose member is etcd3.
CAPTURED = parse_sections((Path(__file__).parents[2] / "captured" / "etcd_unit.txt").read_text())
SHOWN = CAPTURED["unit"].text


def sections(shown: str = SHOWN, settings: str = "", systemd: int = 0) -> dict[str, Section]:
    return {"systemd": Section("", systemd), "unit": Section(shown, 0), "settings": Section(settings, 0)}


def test_a_unit_s_member_has_the_name_that_etcd_would_take() -> None:
    named = parse_unit("node3", CAPTURED)
    by_flag = parse_unit("node3", sections(SHOWN.replace("$DAEMON_ARGS ;", "--name etcd9 ;")))
    default = parse_unit("node3", sections())
    assert named is not None
    assert by_flag is not None
    assert default is not None
    assert (named.name, by_flag.name, default.name) == ("etcd3", "etcd9", "node3")


def test_a_unit_tells_whether_it_runs_starts_at_boot_and_waits_for_the_engine() -> None:
    stopped = parse_unit("node3", sections())
    assert stopped is not None
    assert (stopped.state, stopped.status, stopped.enabled) == ("exited", "unit etcd.service inactive (dead)", False)
    assert (stopped.after_engine, stopped.drop_in) == (False, False)
    shown = SHOWN.replace("inactive", "active").replace("disabled", "enabled").replace("dead", "running")
    shown = shown.replace("network.target", "docker.service").replace("DropInPaths=", f"DropInPaths={DROP_IN}")
    running = parse_unit("node3", sections(shown))
    assert running is not None
    assert (running.state, running.restart_policy, running.enabled) == ("running", "etcd.service enabled", True)
    assert (running.after_engine, running.drop_in) == (True, True)


def test_a_unit_that_waits_for_its_quorum_runs() -> None:
    found = parse_unit("node3", sections(SHOWN.replace("inactive", "activating")))
    assert found is not None
    assert found.running


def test_a_host_without_systemd_or_without_the_unit_has_none() -> None:
    assert parse_unit("node1", {"systemd": Section("", 1)}) is None
    assert parse_unit("node1", sections(SHOWN.replace("=loaded", "=not-found"))) is None


@pytest.mark.parametrize(
    ("policy", "starts"),
    [
        ("always", True),
        ("unless-stopped", True),
        ("on-failure", False),
        ("no", False),
        ("", False),
        ("etcd.service enabled", True),
        ("etcd.service disabled", False),
    ],
)
def test_what_starts_a_member_at_boot(policy: str, starts: bool) -> None:
    assert starts_at_boot(policy) is starts
