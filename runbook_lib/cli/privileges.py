"""Becomes root, which the testbed needs: its nodes are namespaces, and root owns its keys."""

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
    """Return whether a command line only asks for help; arguments after ``--`` are for another program."""
    return any(word in {"-h", "--help"} for word in takewhile(lambda word: word != "--", words))


def become_root(secrets: Iterable[str] = ()) -> None:
    """Continue this command as root; returns at once if it is root already.

    Args:
        secrets: environment variables with secrets of the run. sudo passes them by name: on the command line every
            user of the machine could read them.

    Raises:
        RequirementError: it is not root, and there is no sudo.
    """
    if os.geteuid() == 0:
        return
    arguments = sys.argv[1:]
    if not may_become_root():
        raise RequirementError(
            "the testbed needs root, and sudo is not installed",
            remedy=f"as root: ./runbook {shlex.join(arguments)}",
        )
    print("runbook: the testbed needs root: continuing with sudo", file=sys.stderr, flush=True)
    kept = [f"{name}={os.environ[name]}" for name in KEPT_SETTINGS if name in os.environ]
    named = ",".join(sorted(name for name in secrets if name in os.environ))
    preserved = [f"--preserve-env={named}"] if named else []
    os.execvp("sudo", ["sudo", *preserved, "env", *kept, sys.executable, "-P", "-m", "runbook_lib", *arguments])
