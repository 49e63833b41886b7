"""The parameter file that ``runbook notebook`` was given, for notebooks whose cell says nothing else.

Nothing is injected into a notebook that a person opens; its parameters cell has the testbed's defaults. The command
names the file in the kernels' environment, and ``start`` takes from it what the cell leaves at these defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runbook_lib.model.loading import anchored, read_document
from runbook_lib.model.locations import PARAMETER_FILE_VARIABLE
from runbook_lib.model.parameters import Addresses, Parameters

#: What every notebook's parameters cell says as long as nobody edits it.
CELL_DEFAULTS = Parameters(addresses=Addresses(allow_in_dhcp_pool=True))


def with_parameter_file(cell: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Put the parameter file's values where the cell has its defaults; a value that was edited in the cell stays.

    Args:
        cell: the parameters as the notebook's namespace has them, by name.

    Returns:
        The parameters of the run, and a line that says which came from where; the line is empty where the file changed
        nothing, as without a file.

    Raises:
        InputError: the file cannot be read.
    """
    named = os.environ.get(PARAMETER_FILE_VARIABLE)
    if not named:
        return dict(cell), ""
    path = Path(named)
    given = anchored(read_document(path).data, path.parent)
    edited = [name for name in given if name in cell and not _same(name, cell[name], _default(name))]
    taken = {name: value for name, value in given.items() if name not in edited}
    changed = [name for name, value in taken.items() if name not in cell or not _same(name, value, cell[name])]
    stays = [name for name in edited if not _same(name, given[name], cell[name])]
    line = f"parameters from {path}: {', '.join(changed) or 'none'}" if changed or stays else ""
    return {**cell, **taken}, line + (f"; the cell above decides {', '.join(stays)}" if stays else "")


def _default(name: str) -> object:
    return getattr(CELL_DEFAULTS, name, None)


def _same(name: str, one: object, other: object) -> bool:
    """Whether two values of a parameter mean the same; what cannot be read at all is the same as nothing else."""
    try:
        left, right = (getattr(Parameters.model_validate({name: value}), name) for value in (one, other))
    except ValidationError:
        return False
    return bool(left == right)
