"""Changing the testbed needs root: a plain user's calls go through sudo to the command line and back.

Shows a testbed's progress to a person: a moving line on a terminal, plain lines in a log.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from runbook_lib.errors import ExitCode, InputError, LockedError, RequirementError, RunbookError, TestbedError
from runbook_lib.model.locations import CACHE_VARIABLE, STATE_VARIABLE
from runbook_lib.testbed.progress import Progress, Report

PROGRESS_VARIABLE = "OVERLAY_RUNBOOK_PROGRESS"
_JSON = "json"
# What sudo drops and the child needs: where things are, and how this machine's apt reaches its mirror.
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


def call_as_root(arguments: Sequence[str], report: Report) -> None:
    """Run ``runbook testbed ARGUMENTS`` as root and hand on its progress.

    Raises:
        RequirementError: there is no sudo, or it wants a password and nobody can type one.
        RunbookError: what the command failed with, of the class that its exit status stands for.
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
        raise RequirementError("the testbed needs root, and there is no sudo on this machine", remedy=remedy)
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return ["sudo", "-n"]
    if sys.stdin is not None and sys.stdin.isatty():
        return ["sudo"]
    raise RequirementError("the testbed needs root, and sudo wants a password that nobody can type", remedy=remedy)


def _environment() -> list[str]:
    package = Path(__file__).resolve().parents[2]
    kept = [f"{key}={os.environ[key]}" for key in _KEPT if key in os.environ]
    return [*kept, f"PYTHONPATH={package}", f"{PROGRESS_VARIABLE}={_JSON}"]


def wants_json() -> bool:
    """Whether this process was called by ``call_as_root`` and has to tell its progress as JSON lines."""
    return os.environ.get(PROGRESS_VARIABLE) == _JSON


def encode(event: Progress) -> str:
    """One event as a JSON line."""
    return json.dumps(dataclasses.asdict(event))


def decode(line: str) -> Progress | None:
    """The event on a line, or None when the line is something else."""
    try:
        return Progress(**json.loads(line))
    except (ValueError, TypeError):
        return None


_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red")}


class ConsoleReport:
    """A reporter: a line for every step that ended; on a terminal also one that says what is under way."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._under_way: dict[tuple[str, str], None] = {}
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not wants_json():
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: Progress) -> None:
        """Show one event."""
        if wants_json():
            print(encode(event), flush=True)
            return
        key = (event.step, event.node)
        if event.state == "started":
            self._under_way[key] = None
        else:
            self._under_way.pop(key, None)
            self._console.print(self.line(event), soft_wrap=True)
        if self._status is not None:
            self._status.update(", ".join(" ".join(filter(None, entry)) for entry in list(self._under_way)))

    def line(self, event: Progress) -> Text:
        """One ended step: mark, step, node, detail and seconds."""
        mark, colour = _MARKS[event.state]
        if self._console.encoding.lower().replace("-", "") != "utf8":
            mark = "ok" if event.state == "done" else "FAILED"
        text = Text.assemble((mark, colour), " ", event.step)
        for part in (event.node, event.detail):
            if part:
                text.append(f"  {part}")
        return text.append(f"  {event.seconds:.1f} s", style="dim")
