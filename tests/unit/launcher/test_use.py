"""An environment that is made is used, and made again when its lock file has changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.unit.launcher.conftest import Launcher, files_of
from tests.waiting import wait_until


def test_the_second_call_makes_nothing_and_says_nothing(made: Launcher) -> None:
    before = files_of(made.environment)
    status, stdout, stderr = made.call("run", "with spaces", "-p", "key", "")
    assert (status, stderr) == (0, "")
    assert '"arguments": ["run", "with spaces", "-p", "key", ""]' in stdout
    assert files_of(made.environment) == before


def test_it_works_through_a_symbolic_link_and_from_another_folder(made: Launcher, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "direct").symlink_to(made.folder / "runbook")
    (tmp_path / "bin/relative").symlink_to("../direct")
    status, stdout, stderr = made.call(program=tmp_path / "bin/relative", cwd=tmp_path)
    assert (status, stderr) == (0, "")
    assert str(made.environment) in stdout
    assert f'"cwd": "{tmp_path}"' in stdout


def test_the_callers_python_settings_do_not_reach_it(made: Launcher, tmp_path: Path) -> None:
    for name in ("typing.py", "json.py", "runbook_lib.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    status, _, stderr = made.call(cwd=tmp_path, PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path), PYTHONSTARTUP="x")
    assert (status, stderr) == (0, "")


def test_the_package_is_compiled_once_although_the_callers_python_keeps_no_compiled_files(made: Launcher) -> None:
    compiled = made.folder / "runbook_lib" / "__pycache__"
    shutil.rmtree(compiled, ignore_errors=True)
    status, _, stderr = made.call(PYTHONDONTWRITEBYTECODE="1")
    assert (status, stderr) == (0, "")
    assert list(compiled.glob("__init__.*.pyc"))


def test_a_changed_lock_file_makes_the_environment_anew_even_after_a_kill_in_the_middle(made: Launcher) -> None:
    (made.environment / "left-over").touch()
    (made.folder / "requirements.lock").write_text("# nothing, in other words\n")
    (made.folder / "hold").touch()
    process = made.start()
    log = made.folder / ".venv.log"
    wait_until((made.environment / "bin/pip").exists)
    wait_until(lambda: log.exists() and "editable" in log.read_text(), "the last stage begins")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (made.folder / "hold").unlink()
    # The environment's own Python is first on the PATH, as it is in a shell that has activated it.
    path = f"{made.environment / 'bin'}:{os.environ['PATH']}"
    status, _, stderr = made.call(PATH=path)
    assert status == 0, stderr
    assert "the one that is there was not finished" in stderr
    assert not (made.environment / "left-over").exists()
    assert made.call()[2] == ""


def test_the_active_conda_environment_of_this_project_is_used_as_it_is(made: Launcher, tmp_path: Path) -> None:
    conda = tmp_path / "conda"
    subprocess.run([sys.executable, "-m", "venv", conda], check=True)
    (conda / "kept").touch()
    status, stdout, stderr = made.call(CONDA_DEFAULT_ENV="overlay-runbook", CONDA_PREFIX=str(conda))
    assert status == 0, stderr
    assert str(conda) in stdout
    assert (conda / "kept").exists()
    again = made.call(CONDA_DEFAULT_ENV="overlay-runbook", CONDA_PREFIX=str(conda))
    assert again[2] == ""
    assert str(made.environment) in made.call(CONDA_DEFAULT_ENV="base", CONDA_PREFIX=str(conda))[1]
