"""Selects the notebooks to run, validates their format, and reads the parameters that they declare."""

from __future__ import annotations

import ast
import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook_lib.errors import Fault, InputError, ParameterError
from runbook_lib.execute import without_slow_formats
from runbook_lib.model.commands import run_command

#: The names under which this environment's Python is known as a kernel.
OUR_KERNELS = ("python3", "python")

_MOST_FAULTS = 8
_LONGEST_FAULT = 160


def add_display_name(notebook: Any) -> None:
    """Add a missing ``display_name`` to a kernelspec that has a name."""
    spec = notebook["metadata"].get("kernelspec") if isinstance(notebook.get("metadata"), Mapping) else None
    if isinstance(spec, Mapping) and "name" in spec and "display_name" not in spec:
        spec["display_name"] = spec["name"]  # type: ignore[index]  # JSON's own dict


def check_format(notebook: Mapping[str, Any], place: str) -> None:
    """Check that a notebook is valid by Jupyter's format 4.

    Outputs, cell ids and the kernel's ``display_name`` are ignored: a run replaces or adds them.

    Raises:
        InputError: with every fault and its place in the notebook; ``place`` is the notebook's path.
    """
    with without_slow_formats():
        import nbformat
        from nbformat import validator

    looked_at = copy.deepcopy(dict(notebook))
    try:
        add_display_name(looked_at)
        for number, cell in enumerate(looked_at["cells"]):
            cell.setdefault("id", f"cell-{number}")
            if cell.get("cell_type") == "code":
                cell |= {"outputs": [], "execution_count": None}
        node = nbformat.from_dict(looked_at)  # type: ignore[no-untyped-call]
        faults = [_told(error, looked_at) for error in validator.iter_validate(node, relax_add_props=True)]  # type: ignore[no-untyped-call]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    if not faults:
        return
    more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
    lines = "".join(f"\n  - {fault}" for fault in [*faults[:_MOST_FAULTS], *more])
    raise InputError(
        f"not a valid notebook, so it is not executed:{lines}",
        place=place,
        remedy="correct each place named above (a notebook is JSON: any editor will do), and run it again",
    )


def check_language(notebook: Mapping[str, Any], place: str) -> None:
    """Check that a notebook is in Python, which is also the default.

    Raises:
        InputError: it names another language, or an unknown kernel without a language.
    """
    metadata = notebook.get("metadata", {})
    spec = metadata.get("kernelspec", {})
    language = spec.get("language") or metadata.get("language_info", {}).get("name")
    if language:
        check_is_python(str(language), place)
    elif "py" not in str(spec.get("name") or OUR_KERNELS[0]).lower():
        raise InputError(
            f"the notebook is for the kernel {spec['name']!r} and does not name its language",
            place=place,
            remedy="only Python is executed; if it is in Python, set metadata.kernelspec.language = python",
        )


def check_is_python(language: str, place: str) -> None:
    """Raise ``InputError`` unless the language is Python."""
    if language.lower().strip("0123456789.") not in ("python", "ipython"):
        raise InputError(
            f"the notebook is in {language}, and only Python is executed",
            place=place,
            remedy="execute it with its own kernel: papermill without --engine runbook",
        )


def check_kernel(name: str | None, notebook: Mapping[str, Any]) -> None:
    """Check that a requested kernel is this environment's Python; the notebook's own kernel name is accepted too.

    Raises:
        InputError: another kernel is requested.
    """
    own = notebook.get("metadata", {}).get("kernelspec", {}).get("name")
    if name and name not in (*OUR_KERNELS, own):
        raise InputError(
            f"the engine runbook has no kernel {name!r}: it executes notebooks in this environment's own Python",
            place="--kernel",
            remedy=f"leave --kernel out, or name {OUR_KERNELS[0]}; another kernel needs another engine",
        )


def _told(error: Any, notebook: Mapping[str, Any]) -> str:
    """One fault: its place, with the cell number counted from 1, and the message."""
    path: list[Any] = list(getattr(error, "relative_path", None) or error.path)
    where = path
    if path[:1] == ["cells"] and len(path) > 1:
        kind = notebook["cells"][path[1]].get("cell_type", "without a type")
        where = [f"cell {path[1] + 1} ({kind})", *path[2:]]
    message = str(error.message)
    if len(message) > _LONGEST_FAULT:
        message = f"{message[:_LONGEST_FAULT]}…"
    return f"{'.'.join(map(str, where)) or 'the notebook'}: {message}"


_NUMBERED = re.compile(r"\d\d_\w+")
_UNDO = "undo"

# A notebook outside the walkthrough says so in its metadata: {"runbook": {"default_run": false}}.
# The clean-up is not a part of it.
_METADATA = "runbook"
_NEVER_BY_DEFAULT = re.compile(r"\d\d_clean_up")


def choose_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks to run, in the given order; by default the whole walkthrough.

    Args:
        names: names (``05_ping_tests``, ``01_undo``), unique prefixes (``05``), or paths.
        folder: where named notebooks are.

    Raises:
        InputError: an unknown or ambiguous name (with the valid names), or a file that is not a valid notebook in
            Python.
    """
    present = sorted(path for path in folder.glob("*.ipynb") if _NUMBERED.fullmatch(path.stem))
    if names:
        chosen = [_find(name, present, folder) for name in names]
        return _checked(chosen)
    chosen = [path for path in present if not _NEVER_BY_DEFAULT.fullmatch(path.stem) and _is_in_default_run(path)]
    if not chosen:
        raise InputError("there are no notebooks", place=str(folder), remedy="call ./runbook of a complete checkout")
    return _checked(chosen)


def _checked(notebooks: list[Path]) -> list[Path]:
    for path in notebooks:
        content = _read(path)
        check_format(content, str(path))
        check_language(content, str(path))
    return notebooks


def undoing(notebooks: Sequence[Path]) -> list[Path]:
    """The notebooks that undo the changes of the given ones on the hosts, in reverse order.

    Raises:
        InputError: none is named, or one whose changes the notebook 09_clean_up undoes, or one without changes.
    """
    if not notebooks:
        # The default of all notebooks would be a dangerous one here.
        raise InputError(
            "--undo needs the names of notebooks, whose changes it undoes",
            place="--undo",
            remedy=f"name them: {run_command('01', '--undo')}",
        )
    found = []
    for path in reversed(notebooks):
        undo = path.parent / _UNDO / f"{path.stem[:2]}_{_UNDO}.ipynb"
        if not undo.is_file():
            those = ", ".join(other.stem[:2] for other in _undos(path.parent)) or "no notebook here"
            raise InputError(
                f"{path.stem} changes nothing on the hosts themselves",
                place="--undo",
                remedy=f"{those} can be undone; containers and networks are removed by 09_clean_up",
            )
        found.append(undo)
    return found


def _find(name: str, present: Sequence[Path], folder: Path) -> Path:
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    wanted = path.name.removesuffix(".ipynb") if path.parent in (Path(), Path(folder.name)) else ""
    exact = [path for path in (*present, *_undos(folder)) if path.stem == wanted]
    fitting = exact or [path for path in present if wanted and path.stem.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{name!r} fits several notebooks" if fitting else f"there is no notebook {name!r}"
    names = [path.stem for path in fitting or present]
    known = f"name one of: {', '.join(names) or 'none'}"
    similar = [] if fitting else difflib.get_close_matches(wanted, names, n=1)
    raise InputError(what, place=str(folder), remedy=f"did you mean {similar[0]}?" if similar else known)


def _undos(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_UNDO}/[0-9][0-9]_{_UNDO}.ipynb"))


def _is_in_default_run(path: Path) -> bool:
    ours = dict(_read(path).get("metadata", {})).get(_METADATA)
    return not (isinstance(ours, dict) and ours.get("default_run") is False)


def _read(path: Path) -> dict[str, Any]:
    """A notebook's content. Raises ``InputError`` unless the file is a notebook of format 4."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] == 4 and isinstance(content["cells"], list):
            return dict(content)
        problem = f"its format is {content['nbformat']}, not 4"
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise InputError(f"not a notebook: {problem}", place=str(path), remedy="name a notebook, or repair this one")


#: The cluster's name in the record of a notebook that needs no cluster.
NO_CLUSTER = "local"

# A notebook that takes this parameter works on a cluster; any other is only executed and recorded.
_TELLING = "inventory"


def declared_parameters(path: Path) -> Mapping[str, Any]:
    """The parameters of a notebook's file: name -> default, ``None`` for a default that is not a literal."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return declared_in((cell.get("metadata", {}).get("tags", ()), "".join(cell["source"])) for cell in cells)


def declared_in(cells: Iterable[tuple[Iterable[str], str]]) -> Mapping[str, Any]:
    """The parameters declared by the cells (tags and source) with the tag ``parameters``; as above."""
    found: dict[str, Any] = {}
    for tags, source in cells:
        if "parameters" in tags:
            found |= assignments(source)
    return found


def without_parameters_cell(place: str) -> InputError:
    """The error for parameters to a notebook without a parameters cell, whose own values would take precedence."""
    return InputError(
        "parameters are given, but no cell has the tag 'parameters': the notebook's own values would overwrite them",
        place=place,
        remedy="add this tag to the cell with the parameters (JupyterLab: Property Inspector, Cell Tags), "
        "or leave the parameters out",
    )


def works_on_a_cluster(declared: Mapping[str, Any]) -> bool:
    """Whether a notebook with these parameters works on a cluster."""
    return _TELLING in declared


def check_declared(notebooks: Iterable[Path], given: Mapping[str, Any]) -> None:
    """Check that notebooks without a cluster declare the given parameters.

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
    """Check that each notebook that names a cluster in a cell has the tag ``parameters`` on that cell.

    Raises:
        InputError: the tag is missing; the notebook would ignore the given parameters and use its own cluster.
    """
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        if not works_on_a_cluster(declared_parameters(path)) and any(_TELLING in assignments(text) for text in code):
            raise without_parameters_cell(str(path))


def assignments(source: str) -> Mapping[str, Any]:
    """The assignments at a cell's top level: name -> value, ``None`` for a value that is not a literal."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}  # the cell's own execution shows the error with its line
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
