"""Which parameters a notebook declares, read from its file without running anything."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runbook_lib.errors import Fault, InputError, ParameterError

#: Stands for the cluster's name in the record of a notebook that needs none.
NO_CLUSTER = "local"

# A notebook that takes this parameter works on a cluster; any other is only executed and recorded.
_TELLING = "inventory"


def declared_parameters(path: Path) -> Mapping[str, Any]:
    """The parameters of a notebook's file: name -> default, ``None`` for a default that only the kernel can compute."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return declared_in((cell.get("metadata", {}).get("tags", ()), "".join(cell["source"])) for cell in cells)


def declared_in(cells: Iterable[tuple[Iterable[str], str]]) -> Mapping[str, Any]:
    """The parameters that the cells (their tags and source) tagged ``parameters`` declare; as above."""
    found: dict[str, Any] = {}
    for tags, source in cells:
        if "parameters" in tags:
            found |= assignments(source)
    return found


def without_parameters_cell(place: str) -> InputError:
    """The error of a notebook that would be given parameters and has no cell for them: its own would count."""
    return InputError(
        "parameters are given, and no cell has the tag 'parameters': what the notebook's own cells say would count",
        place=place,
        remedy="give the cell with the parameters its tag back (JupyterLab: Property Inspector, Cell Tags), "
        "or leave the parameters out",
    )


def works_on_a_cluster(declared: Mapping[str, Any]) -> bool:
    """Whether a notebook with these parameters does."""
    return _TELLING in declared


def check_declared(notebooks: Iterable[Path], given: Mapping[str, Any]) -> None:
    """Make sure that notebooks that need no cluster declare what is given to them.

    Raises:
        ParameterError: with every parameter that one of them does not know.
    """
    faults = []
    for path in notebooks:
        known = declared_parameters(path)
        names = ", ".join(known) or "none"
        faults += [
            Fault(f"-p {key}", f"{path.stem} has no such parameter ({names})") for key in given if key not in known
        ]
    if faults:
        raise ParameterError(faults, place="command line")


def check_parameters_cells(notebooks: Iterable[Path]) -> None:
    """Make sure that each notebook which names a cluster in a cell has the tag there by which parameters reach it.

    Raises:
        InputError: one lost its tag; it would work on the cluster that its own cell names, whatever was given.
    """
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        if not works_on_a_cluster(declared_parameters(path)) and any(_TELLING in assignments(text) for text in code):
            raise without_parameters_cell(str(path))


def assignments(source: str) -> Mapping[str, Any]:
    """What a cell's top level assigns by name: name -> value, ``None`` for a value that only the kernel can compute."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}  # the cell itself will tell, with the line
    found: dict[str, Any] = {}
    for statement in statements:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    found[name] = ast.literal_eval(value)
                except ValueError:
                    found[name] = None
    return found
