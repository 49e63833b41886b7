"""Where this machine keeps testbeds and caches, outside the source tree."""

from __future__ import annotations

import os
from pathlib import Path

STATE_VARIABLE = "OVERLAY_RUNBOOK_STATE"
CACHE_VARIABLE = "OVERLAY_RUNBOOK_CACHE"


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
