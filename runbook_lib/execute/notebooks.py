"""Which notebooks to run: all of them, or those that the user names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.execute.validity import check_form, check_language
from runbook_lib.model.commands import run_command

_NUMBERED = re.compile(r"\d\d_\w+")
_UNDO = "undo"

# A notebook outside the walkthrough says so in its metadata: {"runbook": {"default_run": false}}.
# Cleaning up is outside by its nature.
_METADATA = "runbook"
_NEVER_BY_DEFAULT = re.compile(r"\d\d_clean_up")


def choose_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks to run, in the order given; without names the whole walkthrough in its own order.

    Args:
        names: names (``05_ping_tests``, ``01_undo``), beginnings that fit one notebook (``05``), or paths.
        folder: where named notebooks are.

    Raises:
        InputError: an unknown or ambiguous name (with the names there are), or a file that is no notebook, no
            valid one, or one in another language than Python.
    """
    present = sorted(path for path in folder.glob("*.ipynb") if _NUMBERED.fullmatch(path.stem))
    if names:
        chosen = [_find(name, present, folder) for name in names]
        return _checked(chosen)
    chosen = [path for path in present if not _NEVER_BY_DEFAULT.fullmatch(path.stem) and _is_in_default_run(path)]
    if not chosen:
        raise InputError("there are no notebooks", place=str(folder), remedy="call ./runbook of a whole checkout")
    return _checked(chosen)


def _checked(notebooks: list[Path]) -> list[Path]:
    for path in notebooks:
        content = _read(path)
        check_form(content, str(path))
        check_language(content, str(path))
    return notebooks


def undoing(notebooks: Sequence[Path]) -> list[Path]:
    """The notebooks that take back what the given ones changed on the hosts, the last one's first.

    Raises:
        InputError: none is named, or one whose changes the notebook 09_clean_up takes back, or that makes none.
    """
    if not notebooks:
        # All of them is not what a person means who wants one back.
        raise InputError(
            "--undo takes back what the named notebooks changed",
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
                remedy=f"{those} can be taken back so; containers and networks are removed by 09_clean_up",
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
    what = "fits several notebooks" if fitting else "is no notebook"
    known = ", ".join(path.stem for path in fitting or present) or "none"
    raise InputError(f"{name!r} {what}", place=str(folder), remedy=f"name one of: {known}")


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
    raise InputError(f"not a notebook: {problem}", place=str(path), remedy="name a notebook, or mend this one")
