"""Becoming root, which the testbed needs: its nodes are namespaces, its keys are root's."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from itertools import takewhile

from runbook_lib.errors import RequirementError
from runbook_lib.testbed.privilege import may_become_root

#: What the command that continues as root must still know; sudo keeps neither.
KEPT_SETTINGS = (
    "PATH",
    "PYTHONNOUSERSITE",
    "OVERLAY_RUNBOOK_STATE",
    "OVERLAY_RUNBOOK_CACHE",
    "OVERLAY_RUNBOOK_RECORDS",
    "OVERLAY_RUNBOOK_SIGNING_KEY",
    "OVERLAY_RUNBOOK_LOCKS",
)


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether a command line asks for help only; what follows ``--`` is meant for somebody else."""
    return any(word in {"-h", "--help"} for word in takewhile(lambda word: word != "--", words))


def become_root(secrets: Iterable[str] = ()) -> None:
    """Continue this very command as root; returns at once where it is root already.

    Args:
        secrets: environment variables that hold secrets of the run. sudo hands them over by name: on the command line
            every user of the machine could read them.

    Raises:
        RequirementError: it is not, and there is no sudo that could make it so.
    """
    if os.geteuid() == 0:
        return
    arguments = sys.argv[1:]
    if not may_become_root():
        raise RequirementError(
            "the testbed needs root, and there is no sudo here that would give it",
            remedy=f"as root: ./runbook {shlex.join(arguments)}",
        )
    print("runbook: the testbed needs root: continuing with sudo", file=sys.stderr, flush=True)
    kept = [f"{name}={os.environ[name]}" for name in KEPT_SETTINGS if name in os.environ]
    named = ",".join(sorted(name for name in secrets if name in os.environ))
    preserved = [f"--preserve-env={named}"] if named else []
    os.execvp("sudo", ["sudo", *preserved, "env", *kept, sys.executable, "-P", "-m", "runbook_lib", *arguments])
