"""The first call makes the environment, with what the machine has; what is missing is installed or named."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from runbook_lib.bootstrap import reason_to_make
from runbook_lib.cli import COMMANDS
from tests.unit.launcher.conftest import BASIC_TOOLS, Launcher, folder_with, tool
from tests.waiting import PATIENCE_SECONDS, wait_until


def test_the_uv_on_the_path_makes_the_environment_with_the_hashes_of_the_lock(
    launcher: Launcher, path_with_uv: str, tmp_path: Path
) -> None:
    status, stdout, stderr = launcher.call(PATH=path_with_uv)
    assert status == 0, stderr
    assert str(launcher.environment) in stdout
    version, packages, project = (tmp_path / "uv-calls").read_text().splitlines()
    install = f"pip install --python {launcher.environment}/bin/python --no-deps --no-index"
    assert version == "--version"
    assert packages == f"{install} --require-hashes --requirement {launcher.folder}/requirements.lock"
    assert project == f"{install} --no-build-isolation --editable {launcher.folder}"
    assert not (launcher.folder / ".venv.uv").exists()
    assert "pip installs" not in stderr
    assert launcher.call(PATH=path_with_uv)[2] == ""


def test_a_uv_that_is_too_old_is_named_and_pip_takes_its_place_where_no_other_can_be_had(launcher: Launcher) -> None:
    status, stdout, stderr = launcher.call()
    assert status == 0, stderr
    assert str(launcher.environment) in stdout
    assert f"{launcher.folder}/hiding/uv is too old (uv 0.4.30); at least 0.5.0 is used" in stderr
    assert "uv cannot be had, so pip installs the packages, which takes longer. uv, which installs" in stderr
    assert "No matching distribution found for uv" in stderr
    assert (launcher.environment / "bin/pip").exists()


def test_pip_takes_over_where_uv_fails(launcher: Launcher, tmp_path: Path) -> None:
    broken = tool(
        tmp_path / "broken", "uv", '[ "$1" = --version ] && echo uv 0.13.8 && exit\necho no such index; exit 2'
    )
    status, _, stderr = launcher.call(PATH=f"{broken}:{os.environ['PATH']}")
    assert status == 0, stderr
    assert "uv failed, so pip installs the packages, which takes longer. the packages that" in stderr
    assert "exit status 2; the end of its output:\n    no such index" in stderr
    assert (launcher.environment / "bin/pip").exists()


def test_an_interruption_leaves_no_half_environment_and_nothing_at_work(launcher: Launcher, path_with_uv: str) -> None:
    (launcher.folder / "hold").touch()
    process = launcher.start("testbed", "up", PATH=path_with_uv)
    assert wait_until((launcher.folder / "building").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (4, -signal.SIGINT)  # some shells then end in the same way
    assert "interrupted; the next call makes the environment anew" in stderr
    assert reason_to_make(launcher.folder, launcher.environment) == "the one that is there was not finished"
    if os.geteuid() == 0:
        assert (launcher.folder / "interrupted").exists()
    (launcher.folder / "hold").unlink()
    assert launcher.call(PATH=path_with_uv)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds the root filesystem: sudo ./runbook test")
def test_the_root_filesystem_is_built_meanwhile_and_on_after_the_hand_over(launcher: Launcher) -> None:
    process = launcher.start("testbed", "up", "--name", "a b")
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr
    assert '"arguments": ["testbed", "up", "--name", "a b"]' in stdout
    assert "runbook: meanwhile something is built\n" in stderr
    builder, _, told = (launcher.folder / "at-work").read_text().partition(" ")
    os.kill(int(builder), signal.SIGINT)
    assert told == f"{process.pid} {launcher.folder}/.venv.testbed.log testbed up --name a b"
    assert wait_until((launcher.folder / "interrupted").exists)


def test_two_first_calls_at_once_make_one_environment(launcher: Launcher) -> None:
    (launcher.folder / "hold").touch()
    one, log, messages = launcher.start("one"), launcher.folder / ".venv.log", ""
    wait_until(lambda: log.exists() and "editable" in log.read_text(), "the first is at the last stage")
    two = launcher.start("two")
    assert two.stderr is not None
    while "waiting for it" not in messages:
        messages += two.stderr.readline() or pytest.fail(messages)
    (launcher.folder / "hold").unlink()
    for process in (one, two):
        messages += process.communicate(timeout=PATIENCE_SECONDS)[1]
        assert process.returncode == 0, messages
    assert messages.count("making the Python environment") == 1
    assert messages.count("waiting for it") == 1


def test_a_stage_that_fails_shows_why_and_leaves_nothing_that_passes_for_good(launcher: Launcher) -> None:
    (launcher.folder / "fault").touch()
    status, stdout, stderr = launcher.call()
    assert (status, stdout) == (3, "")
    assert "the disk is made of cheese" in stderr
    assert "remedy:" in stderr
    assert reason_to_make(launcher.folder, launcher.environment) == "the one that is there was not finished"


def test_a_folder_that_is_no_environment_is_left_alone(launcher: Launcher, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("all of it")
    status, _, stderr = launcher.call(OVERLAY_RUNBOOK_VENV=str(precious))
    assert status == 3
    assert "is not a Python environment; it is left alone" in stderr
    assert [path.name for path in precious.iterdir()] == ["thesis"]


def test_help_needs_no_environment_and_lists_every_command(launcher: Launcher) -> None:
    status, stdout, stderr = launcher.call("--help")
    assert (status, stderr) == (0, "")
    for name, line in COMMANDS.items():
        assert f"  {name:<9}  {line}\n" in stdout
    assert not launcher.environment.exists()


def test_a_missing_python_is_named_where_nothing_can_install_it(launcher: Launcher, tmp_path: Path) -> None:
    status, stdout, stderr = launcher.call(PATH=str(folder_with(tmp_path / "tools", *BASIC_TOOLS)))
    assert (status, stdout) == (2, "")
    assert stderr.startswith("runbook: Python >= 3.11 is missing. Install it")


def test_an_old_python_is_named_with_its_version(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    tool(tools, "python3", '[ "$1" = --version ] && echo Python 3.9.2\nexit 1')
    _, _, stderr = launcher.call(PATH=str(tools))
    assert stderr.startswith("runbook: Python >= 3.11 is missing (python3 is Python 3.9.2). Install it")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt-get does: sudo ./runbook test")
def test_a_missing_python_is_installed_with_apt(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS, "ln")
    interpreter = Path(sys.executable).resolve()
    link = f'[ "$3" = update ] || ln -s "{interpreter}" "{tools}/python3"'
    tool(tools, "apt-get", f'echo "$@" >> "{tmp_path}/calls"\n{link}')
    (launcher.folder / "fault").touch()
    _, _, stderr = launcher.call(PATH=str(tools))
    assert "Python >= 3.11 is missing: installing python3 and python3-venv with apt-get" in stderr
    assert "making the Python environment" in stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "-o DPkg::Lock::Timeout=0 update",
        "-o DPkg::Lock::Timeout=0 install --yes --no-install-recommends python3 python3-venv",
    ]


def test_a_missing_python_waits_for_another_package_manager(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS, "sleep", "touch")
    tool(tools, "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    (tools / "true").symlink_to(shutil.which("true") or "/bin/true")
    held = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)"
    script = f'echo "$@" >> "{tmp_path}/calls"; [ -e "{tmp_path}/free" ] && echo no such mirror && exit 100\n'
    tool(tools, "apt-get", f'{script}touch "{tmp_path}/free"; echo "{held}"; exit 100')
    status, _, stderr = launcher.call(PATH=str(tools))
    assert status == 2
    assert stderr.count("another package manager is at work; waiting up to 10 minutes for it") == 1
    assert "no such mirror\nrunbook: apt-get could not install" in stderr
    calls = (tmp_path / "calls").read_text()
    assert calls == "-o DPkg::Lock::Timeout=0 update\n-o DPkg::Lock::Timeout=600 update\n"


def test_an_apt_that_fails_shows_its_last_lines(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    tool(tools, "apt-get", "echo no such mirror; exit 100")
    tool(tools, "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    (tools / "true").symlink_to(shutil.which("true") or "/bin/true")
    status, _, stderr = launcher.call(PATH=str(tools))
    assert status == 2
    assert "no such mirror\nrunbook: apt-get could not install" in stderr
