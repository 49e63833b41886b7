from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, RequirementError
from runbook_lib.model.locations import CACHE_VARIABLE, STATE_VARIABLE
from runbook_lib.testbed import requirements, system_packages
from runbook_lib.testbed.machine.layout import Layout


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return Layout("tests", 4, IPv4Network("192.168.77.0/24"), IPv4Network("10.213.30.0/24"))


@pytest.mark.parametrize("name", ["", "Big", "-x", "x-", "a b", "a;reboot", "../etc", "1st", "x" * 33])
def test_a_name_that_could_not_be_part_of_others_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not a valid testbed name"):
        requirements.check_name(name)


def test_the_same_size_and_subnet_again_is_fine(layout: Layout) -> None:
    requirements.check_same(layout, None, None)
    requirements.check_same(layout, 4, "192.168.77.0/24")
    requirements.check_same(layout, 4, "auto")


def test_a_name_in_use_with_another_size_is_refused_with_the_difference(layout: Layout) -> None:
    with pytest.raises(
        InputError, match=r"it has 4 nodes, not 3 and its subnet is 192\.168\.77\.0/24, not 10\.9\.0\.0/24"
    ):
        requirements.check_same(layout, 3, "10.9.0.0/24")


def test_another_system_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(RequirementError, match="needs Linux, this is Darwin"):
        requirements.check_machine(layout, new=True)


def test_a_plain_user_is_told_to_become_root(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(RequirementError, match="needs root"):
        requirements.check_machine(layout, new=True)


def test_a_missing_program_is_told_with_the_apt_line(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_packages, "_PROGRAMS", {"no-such-program": "some-package", "sh": "dash"})
    assert "some-package" in system_packages.missing_packages()
    assert "dash" not in system_packages.missing_packages()
    assert any(
        "apt-get install -y --no-install-recommends" in line and "some-package" in line
        for line in requirements._missing_programs(layout.kind)
    )
