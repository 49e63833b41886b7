"""Installing what the testbed needs, told with an apt-get that writes down what it was asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.cli import privileges
from runbook_lib.errors import ExitCode, RequirementError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt-get does: sudo ./runbook test")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that succeeds; the file returned has its calls."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> "{tmp_path}/calls"\n')
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return tmp_path / "calls"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the testbed says is missing, one entry a question; nothing when they are used up."""
    answers: list[list[str]] = []
    following: Iterator[list[str]] = iter(answers)
    monkeypatch.setattr(privileges, "missing_packages", lambda kind: next(following, []))
    return answers


def test_nothing_missing_means_nothing_done(apt: Path, missing: list[list[str]]) -> None:
    privileges.install_missing_packages()
    assert not apt.exists()


def test_missing_packages_are_installed_without_a_question(
    apt: Path, missing: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    missing.append(["mmdebstrap", "iproute2"])
    privileges.install_missing_packages()
    assert apt.read_text().splitlines() == [
        "noninteractive update",
        "noninteractive install --yes --no-install-recommends iproute2 mmdebstrap",
    ]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("runbook: installing iproute2 mmdebstrap with apt-get\nrunbook: installed after ")


def test_an_apt_that_fails_is_bad_input_with_the_line_to_type(apt: Path, missing: list[list[str]]) -> None:
    missing.append(["mmdebstrap"])
    (apt.parent / "tools/apt-get").write_text("#!/bin/sh\necho E: no such mirror\nexit 100\n")
    with pytest.raises(RequirementError) as caught:
        privileges.install_missing_packages()
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert "failed with exit status 100:\n  E: no such mirror" in caught.value.message
    assert caught.value.remedy == "sudo apt-get install --yes --no-install-recommends mmdebstrap"


def test_a_package_that_is_still_missing_afterwards_is_a_failure(apt: Path, missing: list[list[str]]) -> None:
    missing.extend([["mmdebstrap"], ["mmdebstrap"]])
    with pytest.raises(RequirementError, match="still missing after the installation: mmdebstrap"):
        privileges.install_missing_packages()


def test_another_system_is_told_the_names_of_the_packages(
    tmp_path: Path, missing: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing.append(["mmdebstrap"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequirementError, match="packages that are missing: mmdebstrap"):
        privileges.install_missing_packages()
