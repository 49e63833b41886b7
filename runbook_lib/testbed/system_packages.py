"""Finds and installs missing Debian packages with the programs that the testbed calls."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from runbook_lib.errors import RequirementError
from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind
from runbook_lib.testbed.privilege import may_become_root

LOG_TAIL_LINES = 15
#: How long another package manager may take before the installation is given up.
LOCK_PATIENCE_SECONDS = 600.0
_LOCK_RETRY_SECONDS = 1.0
_HELD_LOCK = re.compile(
    r"Could not get lock (?P<lock>\S+)\. It is held by process (?P<process>\d+) \((?P<program>.+?)\)"
)
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# program: the package that has it
_PROGRAMS = {
    "chroot": "coreutils",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
_BUILD_PROGRAMS = {"mmdebstrap": "mmdebstrap"}


def missing_packages(kind: Kind = ARTICLES_KIND) -> list[str]:
    """The Debian packages whose programs this machine lacks for such a testbed."""
    programs = dict(_PROGRAMS)
    cached = rootfs.is_cached(rootfs.tree_of(kind))
    if not cached:
        programs |= _BUILD_PROGRAMS
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages = {package for program, package in programs.items() if shutil.which(program, path=path) is None}
    if not cached and not _KEYRING.is_file():
        packages.add("debian-archive-keyring")
    return sorted(packages)


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
    """Install packages with apt-get and return the equivalent command line.

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
    """Run one apt-get command as root without questions; waits for another running package manager.

    Raises:
        RequirementError: it failed; the message has the end of its output.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    patience = 0.0
    while True:
        # apt-get can wait for dpkg's lock by itself, but without a message, and it does not wait for the lock of the
        # package lists. So it is called with a wait only after the holder of the lock was printed.
        status, output = _apt([command[0], "-o", f"DPkg::Lock::Timeout={patience:.0f}", *command[1:]])
        held = _HELD_LOCK.search(output)
        if status == 0 or held is None or time.monotonic() > deadline:
            break
        if not patience:
            lock, process, program = held.groups()
            print(
                f"runbook: waiting for {program} (process {process}), which holds {lock}", file=sys.stderr, flush=True
            )
        patience = max(1.0, deadline - time.monotonic())
        time.sleep(_LOCK_RETRY_SECONDS)
    if status != 0:
        end = "\n".join(f"  {line}" for line in output.splitlines()[-LOG_TAIL_LINES:])
        raise RequirementError(f"{shlex.join(command)} failed with exit status {status}:\n{end}", remedy=remedy)


def _apt(command: Sequence[str]) -> tuple[int, str]:
    """Run apt-get and return its exit status and output; an interruption reaches it and waits for its end."""
    become_root = [] if os.geteuid() == 0 else ["sudo"]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command],
            stdin=None if become_root else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait()
        except BaseException:
            # Killed, it would leave packages half installed. It ends at once unless dpkg is at work.
            if not become_root:
                process.send_signal(signal.SIGINT)
            process.wait()
            raise
        log.seek(0)
        return status, log.read()
