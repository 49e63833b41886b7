"""Where a record comes from: the project, its packages, the machine and the person."""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runbook_lib import __version__
from runbook_lib.model.record import Provenance

_GIT_SECONDS = 10


def provenance(source: bytes) -> Provenance:
    """What is known before the first cell of a notebook whose file has these bytes."""
    return Provenance(
        notebook_sha256=hashlib.sha256(source).hexdigest(),
        project_version=__version__,
        project_commit=_commit(),
        packages=_packages(),
        python=platform.python_version(),
        operator=operator(),
        host=socket.gethostname(),
    )


def operator() -> str:
    """Who runs this: under sudo the person who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"uid {os.getuid()}"


@functools.cache
def _commit() -> str:
    """The commit of the checkout that this package runs from, ``+changes`` if it differs; empty outside of one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    # Another user's checkout (under sudo) is only read here, which git otherwise refuses to do.
    git = ["git", "-c", f"safe.directory={folder}", "-C", str(folder)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True, timeout=_GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


@functools.cache
def _packages() -> Mapping[str, str]:
    """Name -> version of every installed package, by name.

    Read from the names of the metadata's folders, ``NAME-VERSION.dist-info`` (the specification of installed
    projects): opening each of them takes a quarter of a second.
    """
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        for entry in folder.glob("*.dist-info") if folder.is_dir() else ():
            name, _, version = entry.name.removesuffix(".dist-info").rpartition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))
