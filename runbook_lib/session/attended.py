"""Whether somebody sits in front of the running cell, and whether there is something to show controls with."""

from __future__ import annotations

import importlib.util
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

NOT_INSTALLED = "ipywidgets is not installed: plain tables instead of controls"


def attended() -> bool:
    """True when the front end that sent the running cell can answer a question, so that a person may be there.

    Each execute request says so (``allow_stdin`` in Jupyter's messaging protocol): JupyterLab and VS Code set it,
    nbclient, and with it papermill and ``./runbook run``, does not.
    """
    if not InteractiveShell.initialized():
        return False
    kernel: Any = getattr(InteractiveShell.instance(), "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else {}
    return bool(request.get("content", {}).get("allow_stdin"))


def installed() -> bool:
    """Whether ipywidgets can be imported."""
    try:
        return importlib.util.find_spec("ipywidgets") is not None
    except ValueError:  # sys.modules holds None in its place: it is kept from being imported
        return False
