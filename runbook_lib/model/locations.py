"""Where this machine keeps testbeds, caches, records and the key that signs them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

STATE_VARIABLE = "OVERLAY_RUNBOOK_STATE"
CACHE_VARIABLE = "OVERLAY_RUNBOOK_CACHE"
RECORDS_VARIABLE = "OVERLAY_RUNBOOK_RECORDS"
SIGNING_KEY_VARIABLE = "OVERLAY_RUNBOOK_SIGNING_KEY"
LOCKS_VARIABLE = "OVERLAY_RUNBOOK_LOCKS"
#: Tells a kernel that it works for the run which holds its cluster; see ``runbook_lib.locking``.
LOCK_TOKEN_VARIABLE = "OVERLAY_RUNBOOK_LOCK_TOKEN"
PARAMETER_FILE_VARIABLE = "OVERLAY_RUNBOOK_PARAMETERS"


def state_root() -> Path:
    """The folder with one subfolder a testbed."""
    return Path(os.environ.get(STATE_VARIABLE) or "/var/lib/overlay-runbook")


def cache_root() -> Path:
    """The folder with root filesystems and images, keyed by content."""
    return Path(os.environ.get(CACHE_VARIABLE) or "/var/cache/overlay-runbook")


def testbed_folder(name: str) -> Path:
    """The state folder of one testbed."""
    return state_root() / name


def testbed_inventory(name: str) -> Path:
    """The inventory file that a testbed writes for everything above it."""
    return testbed_folder(name) / "inventory.yaml"


def records_location() -> str:
    """The archive of records: what the environment names (a path, a URL), else ``records`` in this checkout or here."""
    named = os.environ.get(RECORDS_VARIABLE)
    if named:
        return named
    checkout = Path(__file__).resolve().parents[2]
    return str((checkout if (checkout / "pyproject.toml").is_file() else Path()) / "records")


def signing_key_file() -> Path:
    """The private key that signs records; it stays outside the archive."""
    named = os.environ.get(SIGNING_KEY_VARIABLE)
    return Path(named).expanduser() if named else _home("XDG_CONFIG_HOME", ".config") / "signing_key.pem"


def mirrors_root() -> Path:
    """The folder with one subfolder a remote archive: a copy to read, and what waits to be uploaded."""
    return _home("XDG_STATE_HOME", ".local/state") / "remote-records"


def jupyter_folder() -> Path:
    """The folder of this project's own JupyterLab: its settings, its workspaces, IPython's history."""
    return _home("XDG_DATA_HOME", ".local/share") / "jupyter"


def copies_folder(checkout: Path) -> Path:
    """The folder of a learner's copies of a checkout's notebooks; git ignores it."""
    return checkout / ".overlay-runbook" / "notebooks"


def locks_folder() -> Path:
    """The folder with one file a node that is worked on: the same for every user of this machine.

    ``TMPDIR`` has no say, for it differs from user to user.
    """
    named = os.environ.get(LOCKS_VARIABLE)
    if named:
        return Path(named)
    volatile = Path("/run/lock")
    for_all = volatile.is_dir() and volatile.stat().st_mode & 0o1777 == 0o1777
    return (volatile if for_all else Path("/tmp")) / "overlay-runbook"


def import_path(environment: Mapping[str, str] = os.environ) -> str:
    """The ``PYTHONPATH`` under which a child process imports this very ``runbook_lib``, wherever another is installed.

    Args:
        environment: the child's; what its ``PYTHONPATH`` has besides stays behind it.
    """
    package = str(Path(__file__).resolve().parents[2])
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != package]
    return os.pathsep.join([package, *others])


def _home(variable: str, fallback: str) -> Path:
    folder = os.environ.get(variable)
    return (Path(folder) if folder else Path(f"~/{fallback}").expanduser()) / "overlay-runbook"
