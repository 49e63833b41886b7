"""Installing what the testbed needs, told with an apt-get that writes down what it was asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode, RequirementError
from runbook_lib.testbed import system_packages

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
    monkeypatch.setattr(system_packages, "missing_packages", lambda kind: next(following, []))
    return answers


def test_nothing_missing_means_nothing_done(apt: Path, missing: list[list[str]]) -> None:
    system_packages.install_missing_packages()
    assert not apt.exists()


def test_missing_packages_are_installed_without_a_question(
    apt: Path, missing: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    missing.append(["mmdebstrap", "iproute2"])
    system_packages.install_missing_packages()
    assert apt.read_text().splitlines() == [
        "noninteractive -o DPkg::Lock::Timeout=0 update",
        "noninteractive -o DPkg::Lock::Timeout=0 install --yes --no-install-recommends iproute2 mmdebstrap",
    ]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("runbook: installing iproute2 mmdebstrap with apt-get\nrunbook: installed after ")


def test_an_apt_that_fails_is_bad_input_with_the_line_to_type(apt: Path, missing: list[list[str]]) -> None:
    missing.append(["mmdebstrap"])
    (apt.parent / "tools/apt-get").write_text("#!/bin/sh\necho E: no such mirror\nexit 100\n")
    with pytest.raises(RequirementError) as caught:
        system_packages.install_missing_packages()
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert "failed with exit status 100:\n  E: no such mirror" in caught.value.message
    assert caught.value.remedy == "sudo apt-get install --yes --no-install-recommends mmdebstrap"


def test_a_package_that_is_still_missing_afterwards_is_a_failure(apt: Path, missing: list[list[str]]) -> None:
    missing.extend([["mmdebstrap"], ["mmdebstrap"]])
    with pytest.raises(RequirementError, match="still missing after the installation: mmdebstrap"):
        system_packages.install_missing_packages()


def test_another_system_is_told_the_names_of_the_packages(
    tmp_path: Path, missing: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing.append(["mmdebstrap"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequirementError, match="packages that are missing: mmdebstrap"):
        system_packages.install_missing_packages()


def test_another_package_manager_is_named_once_and_waited_for(
    apt: Path, missing: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    missing.append(["mmdebstrap"])
    held = "E: Could not get lock {}. It is held by process 7 (unattended-upgr)"
    lists, dpkg = held.format("/var/lib/apt/lists/lock"), held.format("/var/lib/dpkg/lock-frontend")
    # The list of packages is locked twice, then dpkg once.
    (apt.parent / "tools/apt-get").write_text(
        f'#!/bin/sh\necho "$@" >> "{apt}"\n'
        f'case $(wc -l < "{apt}") in [12]) echo "{lists}"; exit 100 ;; 4) echo "{dpkg}"; exit 100 ;; esac\n'
    )
    system_packages.install_missing_packages()
    calls = [line.split()[1:] for line in apt.read_text().splitlines()]
    assert [call[1] for call in calls] == ["update", "update", "update", "install", "install"]
    timeouts = [int(call[0].removeprefix("DPkg::Lock::Timeout=")) for call in calls]
    assert [timeout > 0 for timeout in timeouts] == [False, True, True, False, True]
    told = [line for line in capsys.readouterr().err.splitlines() if "waiting" in line]
    assert told == [
        "runbook: waiting for unattended-upgr (process 7), which holds /var/lib/apt/lists/lock",
        "runbook: waiting for unattended-upgr (process 7), which holds /var/lib/dpkg/lock-frontend",
    ]


def test_a_lock_that_is_never_free_is_a_failure_that_names_its_holder(
    apt: Path, missing: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing.append(["mmdebstrap"])
    monkeypatch.setattr(system_packages, "LOCK_PATIENCE_SECONDS", 0.1)
    held = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)"
    (apt.parent / "tools/apt-get").write_text(f'#!/bin/sh\necho "{held}"\nexit 100\n')
    with pytest.raises(RequirementError, match=r"held by process 7 \(apt\)"):
        system_packages.install_missing_packages()


def test_an_interruption_lets_apt_end_what_it_does(apt: Path, tmp_path: Path) -> None:
    (apt.parent / "tools/apt-get").write_text(
        f'#!/bin/sh\ntrap "sleep 0.5; touch {tmp_path}/ended; exit 100" INT\ntouch "{tmp_path}/begun"\n'
        "while :; do sleep 0.1; done\n"
    )
    program = "from runbook_lib.testbed.system_packages import run_apt; run_apt(['apt-get', 'update'], remedy='')"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1].endswith("KeyboardInterrupt\n")
    assert (tmp_path / "ended").exists()
