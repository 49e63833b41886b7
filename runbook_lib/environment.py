"""Makes the project's Python environment; the launcher runs this file by its path.

It runs before any environment exists, so it uses the standard library only and imports nothing of this package::

    python -I runbook_lib/environment.py venv|conda PROJECT_FOLDER ENVIRONMENT_FOLDER

The stamp file in the environment is written last, so an interrupted creation is never taken for a good one.
What happens is told on stderr, a line a stage, since stdout belongs to the command that follows.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAMP = "overlay-runbook.stamp"
HEARTBEAT_SECONDS = 10.0
LOG_TAIL_LINES = 20
EXIT_ERROR = 3
EXIT_INTERRUPTED = 4
# Settings that would send packages elsewhere than into the environment, or leave some out.
HARMFUL_SETTINGS = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_PYTHON",
    "PIP_NO_BUILD_ISOLATION",
    "PIP_DRY_RUN",
    "PIP_IGNORE_INSTALLED",
    "PYTHONPATH",
    "PYTHONHOME",
)


class EnvironmentFailure(Exception):
    """A stage failed; the message says which and shows the end of its log."""


def say(line: str) -> None:
    """Print one progress line."""
    print(line, file=sys.stderr, flush=True)


def expected_stamp(project: Path, environment: Path) -> str:
    """Return what a good environment's stamp holds; the launcher computes the same in shell.

    Place, lock file and interpreter: an environment cannot be moved, and a system upgrade that replaces the
    interpreter leaves its packages in a folder that the new one does not look into.
    """
    with (project / "requirements.lock").open("rb") as lock:
        checksum = subprocess.run(["cksum"], stdin=lock, capture_output=True, text=True, check=True).stdout.strip()
    return f"{project}\n{checksum}\n{(environment / 'bin/python').resolve()}\n"


def reason_to_make(project: Path, environment: Path) -> str:
    """Return why the environment must be made, in words for its user; empty when it is good."""
    stamp = environment / STAMP
    if not (environment / "bin/python").exists():
        return "there is none yet" if not environment.exists() else "the one that is there has no interpreter"
    if not stamp.exists():
        return "the one that is there was not finished"
    if stamp.read_text() == (expected := expected_stamp(project, environment)):
        return ""
    was, now = stamp.read_text().splitlines(), expected.splitlines()
    if was[:1] != now[:1]:
        return "the project has been moved"
    return "requirements.lock has changed" if was[1:2] != now[1:2] else "the system's Python has changed"


@contextmanager
def sole_maker(lock_file: Path) -> Iterator[int]:
    """Hold the lock for making the environment, waiting for another launcher that has it.

    Yields the lock's file descriptor. Children inherit it, so that the lock outlives a maker that is killed
    until its pip is gone as well.
    """
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("runbook: another runbook is making the environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def tail(log: Path) -> str:
    """Return the last lines of a log file, indented."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)


def run_stage(title: str, command: list[str], log: Path, *, lock: int, project: Path) -> None:
    """Run one command with its output in ``log``, telling what it does and how long it took.

    Raises:
        EnvironmentFailure: the command failed.
    """
    settings = {name: value for name, value in os.environ.items() if name not in HARMFUL_SETTINGS}
    settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    started = time.monotonic()
    say(f"  {title}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=project,
            env=settings,
            pass_fds=[lock],
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(HEARTBEAT_SECONDS)
                except subprocess.TimeoutExpired:
                    say(f"    at it for {time.monotonic() - started:.0f} s")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        raise EnvironmentFailure(f"{title}: exit status {process.returncode}; the end of its output:\n{tail(log)}")
    say(f"    {time.monotonic() - started:.1f} s")


def clear(project: Path, environment: Path) -> None:
    """Remove an environment that is no good.

    Raises:
        EnvironmentFailure: the folder is not an environment: OVERLAY_RUNBOOK_VENV may name anything.
    """
    if not environment.exists():
        return
    is_environment = environment == project / ".venv" or (environment / "pyvenv.cfg").exists()
    if not is_environment and any(environment.iterdir()):
        raise EnvironmentFailure(f"{environment} exists and is not a Python environment; it is left alone")
    shutil.rmtree(environment)


def make(manager: str, project: Path, environment: Path, lock: int) -> None:
    """Make the environment and stamp it.

    Raises:
        EnvironmentFailure: a stage failed.
    """
    (environment / STAMP).unlink(missing_ok=True)
    log = environment.parent / f"{environment.name}.log"
    if manager == "venv":
        # Resolved first, since this may be the interpreter of the very environment that is removed.
        interpreter = Path(sys.executable).resolve()
        clear(project, environment)
        create = [str(interpreter), "-I", "-m", "venv", str(environment)]
        run_stage("virtual environment", create, log, lock=lock, project=project)
    install = [str(environment / "bin/python"), "-I", "-m", "pip", "install", "--no-deps", "--progress-bar", "off"]
    requirements = [*install, "--requirement", str(project / "requirements.lock")]
    run_stage("the packages that requirements.lock pins", requirements, log, lock=lock, project=project)
    # setuptools is pinned and just installed: the project's own build needs nothing else from anywhere.
    itself = [*install, "--no-build-isolation", "--editable", str(project)]
    run_stage("the project itself", itself, log, lock=lock, project=project)
    fresh = environment / f"{STAMP}.new"
    fresh.write_text(expected_stamp(project, environment))
    fresh.replace(environment / STAMP)
    log.unlink()


def prepare(manager: str, project: Path, environment: Path) -> None:
    """Make the environment unless it is good, one maker at a time.

    Raises:
        EnvironmentFailure: a stage failed.
    """
    folder = environment if manager == "conda" else environment.parent
    with sole_maker(folder / f"{environment.name}.lock") as lock:
        reason = reason_to_make(project, environment)
        if not reason:
            return
        started = time.monotonic()
        version = ".".join(str(part) for part in sys.version_info[:3])
        say(f"runbook: making the Python environment (Python {version}) in {environment}: {reason}")
        make(manager, project, environment, lock)
        say(f"runbook: the environment is ready after {time.monotonic() - started:.0f} s")


def main(arguments: list[str]) -> int:
    """Run from the launcher; return its exit code."""
    manager, project, environment = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        prepare(manager, project, environment)
    except KeyboardInterrupt:
        say("runbook: interrupted; the next call makes the environment anew")
        return EXIT_INTERRUPTED
    except (EnvironmentFailure, OSError) as error:
        say(f"runbook: the environment could not be made: {error}")
        say("  remedy: see to the cause (network, disk, permissions) and call runbook again")
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
