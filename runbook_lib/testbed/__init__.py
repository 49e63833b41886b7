"""The embedded testbed: a real multi-node Docker cluster on one Linux machine.

``Testbed`` is all that the layers above need; it writes an inventory file and from then on is a
cluster like any other. nspawn, ``ip`` and everything else of the host is called only in here.

These names are imported when they are used: what builds the root filesystem runs before there is any
library to import (``runbook_lib.testbed.prebuild``).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.testbed.console import ConsoleReport
    from runbook_lib.testbed.handle import NodeStatus, Testbed, TestbedStatus
    from runbook_lib.testbed.progress import Progress, Report, silent

__all__ = ["ConsoleReport", "NodeStatus", "Progress", "Report", "Testbed", "TestbedStatus", "silent"]

_MODULES = {
    "ConsoleReport": "console",
    "NodeStatus": "handle",
    "Progress": "progress",
    "Report": "progress",
    "Testbed": "handle",
    "TestbedStatus": "handle",
    "silent": "progress",
}


def __getattr__(name: str) -> Any:
    """Return one of the names above, its module imported first."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
