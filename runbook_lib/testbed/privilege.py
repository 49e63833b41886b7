"""Changing the testbed needs root: a normal user's calls run the command line through sudo."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runbook_lib.errors import ExitCode, InputError, LockedError, RequirementError, RunbookError, TestbedError
from runbook_lib.model.locations import CACHE_VARIABLE, STATE_VARIABLE
from runbook_lib.testbed.progress import Progress, Report

PROGRESS_VARIABLE = "OVERLAY_RUNBOOK_PROGRESS"
_JSON = "json"
# Variables that sudo drops and the child needs: locations, and the proxies for apt.
_KEPT = (
    STATE_VARIABLE,
    CACHE_VARIABLE,
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
_KINDS: dict[int, type[RunbookError]] = {ExitCode.BAD_INPUT: InputError, ExitCode.LOCKED: LockedError}


def is_root() -> bool:
    """Whether this process may change the testbed itself."""
    return os.geteuid() == 0


def may_become_root() -> bool:
    """Return whether commands can be run as root: directly, or by a sudo that needs no password or can ask for it."""
    if os.geteuid() == 0:
        return True
    if shutil.which("sudo") is None:
        return False
    return sys.stdin.isatty() or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


def call_as_root(arguments: Sequence[str], report: Report) -> None:
    """Run ``runbook testbed ARGUMENTS`` as root and forward its progress.

    Raises:
        RequirementError: sudo is not installed, or needs a password without a terminal.
        RunbookError: the command's error, with the class of its exit status.
    """
    argv = [*_sudo(), "env", *_environment(), sys.executable, "-m", "runbook_lib", "testbed", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as child:
        if child.stdout is None or child.stderr is None:
            raise TestbedError("the command's output could not be read")
        for line in child.stdout:
            event = decode(line)
            if event is not None:
                report(event)
        complaint = child.stderr.read().strip()
        status = child.wait()
    if status != 0:
        raise _KINDS.get(status, TestbedError)(complaint.removeprefix("runbook: ") or f"exit status {status}")


def _sudo() -> list[str]:
    remedy = "run the command as root, or set up sudo for this user"
    if shutil.which("sudo") is None:
        raise RequirementError("the testbed needs root, and sudo is not installed", remedy=remedy)
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return ["sudo", "-n"]
    if sys.stdin is not None and sys.stdin.isatty():
        return ["sudo"]
    raise RequirementError(
        "the testbed needs root, and sudo needs a password without a terminal to type it", remedy=remedy
    )


def _environment() -> list[str]:
    package = Path(__file__).resolve().parents[2]
    kept = [f"{key}={os.environ[key]}" for key in _KEPT if key in os.environ]
    return [*kept, f"PYTHONPATH={package}", f"{PROGRESS_VARIABLE}={_JSON}"]


def wants_json() -> bool:
    """Whether this process was called by ``call_as_root`` and must print its progress as JSON lines."""
    return os.environ.get(PROGRESS_VARIABLE) == _JSON


def encode(event: Progress) -> str:
    """One event as a JSON line."""
    return json.dumps(dataclasses.asdict(event))


def decode(line: str) -> Progress | None:
    """The event on a line, or None for another line."""
    try:
        return Progress(**json.loads(line))
    except (ValueError, TypeError):
        return None
