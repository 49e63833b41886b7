"""What can be known of a notebook before it is executed: whether its form is right, and whether it is in Python."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.execute.imports import without_slow_formats

#: The names under which this environment's Python is known as a kernel.
OUR_KERNELS = ("python3", "python")

_MOST_FAULTS = 8
_LONGEST_FAULT = 160


def mend(notebook: Any) -> None:
    """Add what a kernelspec lacks that names its kernel and is not shown anywhere: its ``display_name``."""
    spec = notebook["metadata"].get("kernelspec") if isinstance(notebook.get("metadata"), Mapping) else None
    if isinstance(spec, Mapping) and "name" in spec and "display_name" not in spec:
        spec["display_name"] = spec["name"]  # type: ignore[index]  # JSON's own dict


def check_form(notebook: Mapping[str, Any], place: str) -> None:
    """Make sure that a notebook has the form that Jupyter's format 4 prescribes.

    Not looked at is what a run replaces or adds: outputs, cell ids, the ``display_name`` of the kernel.

    Raises:
        InputError: with every fault, each with its place in the notebook; ``place`` is the notebook's own.
    """
    with without_slow_formats():
        import nbformat
        from nbformat import validator

    looked_at = copy.deepcopy(dict(notebook))
    try:
        mend(looked_at)
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
    """Make sure that a notebook is in Python; one that does not say in what it is counts as such.

    Raises:
        InputError: it says that it is in another language, or names a kernel that nothing else calls one of Python.
    """
    metadata = notebook.get("metadata", {})
    spec = metadata.get("kernelspec", {})
    language = spec.get("language") or metadata.get("language_info", {}).get("name")
    if language:
        check_is_python(str(language), place)
    elif "py" not in str(spec.get("name") or OUR_KERNELS[0]).lower():
        raise InputError(
            f"the notebook is for the kernel {spec['name']!r} and does not say in what language it is",
            place=place,
            remedy="only Python is executed; if it is in Python, say so: metadata.kernelspec.language = python",
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
    """Make sure that a kernel which somebody asks for is the one that there is; a notebook's own name is as good.

    Raises:
        InputError: another kernel is asked for.
    """
    own = notebook.get("metadata", {}).get("kernelspec", {}).get("name")
    if name and name not in (*OUR_KERNELS, own):
        raise InputError(
            f"the engine runbook has no kernel {name!r}: it executes notebooks in this environment's own Python",
            place="--kernel",
            remedy=f"leave --kernel out, or name {OUR_KERNELS[0]}; another kernel needs another engine",
        )


def _told(error: Any, notebook: Mapping[str, Any]) -> str:
    """One fault: where it is, with the cell as a reader counts it (from 1), and what is wrong there."""
    path: list[Any] = list(getattr(error, "relative_path", None) or error.path)
    where = path
    if path[:1] == ["cells"] and len(path) > 1:
        kind = notebook["cells"][path[1]].get("cell_type", "without a type")
        where = [f"cell {path[1] + 1} ({kind})", *path[2:]]
    message = str(error.message)
    if len(message) > _LONGEST_FAULT:
        message = f"{message[:_LONGEST_FAULT]}…"
    return f"{'.'.join(map(str, where)) or 'the notebook'}: {message}"
