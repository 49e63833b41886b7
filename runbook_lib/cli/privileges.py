"""Becoming root, and installing the system packages that the testbed needs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile

from runbook_lib.errors import RequirementError
from runbook_lib.testbed.machine.layout import ARTICLES_KIND, Kind
from runbook_lib.testbed.requirements import missing_packages

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


def may_become_root() -> bool:
    """Return whether commands can be run as root: already so, or sudo that needs no password or can ask for it."""
    if os.geteuid() == 0:
        return True
    if shutil.which("sudo") is None:
        return False
    return sys.stdin.isatty() or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


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


LOG_TAIL_LINES = 15


def install_missing_packages(kind: Kind = ARTICLES_KIND) -> None:
    """Install what the testbed needs and this machine lacks, on Debian and Ubuntu, as root or through sudo.

    Raises:
        RequirementError: something is missing and cannot be installed here; its remedy is the line that would.
    """
    packages = sorted(set(missing_packages(kind)))
    if not packages:
        return
    line = install_packages(packages, "the testbed needs")
    if still_missing := missing_packages(kind):
        raise RequirementError(f"still missing after the installation: {', '.join(still_missing)}", remedy=line)


def install_packages(packages: Sequence[str], who_needs: str) -> str:
    """Install packages with apt-get and return the line that would do it by hand.

    Args:
        packages: their names in Debian and Ubuntu.
        who_needs: the beginning of a sentence, such as ``the testbed needs``.

    Raises:
        RequirementError: they cannot be installed here.
    """
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    line = shlex.join(["sudo", *install])
    missing = f"{who_needs} packages that are missing: {', '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise RequirementError(missing, remedy="install them; Debian and Ubuntu name them so: " + line)
    if not may_become_root():
        raise RequirementError(missing, remedy=line)
    started = time.monotonic()
    print(f"runbook: installing {' '.join(packages)} with apt-get", file=sys.stderr, flush=True)
    run_apt(["apt-get", "update"], remedy=line)
    run_apt(install, remedy=line)
    print(f"runbook: installed after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return line


def run_apt(command: Sequence[str], *, remedy: str) -> None:
    """Run one apt-get command as root, asking nothing.

    Raises:
        RequirementError: it failed; the message has the end of its output.
    """
    become_root = [] if os.geteuid() == 0 else ["sudo"]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        status = subprocess.run(
            [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", *command],
            stdin=None if become_root else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode
        log.seek(0)
        end = "\n".join(f"  {line}" for line in log.read().splitlines()[-LOG_TAIL_LINES:])
    if status != 0:
        raise RequirementError(f"{shlex.join(command)} failed with exit status {status}:\n{end}", remedy=remedy)
