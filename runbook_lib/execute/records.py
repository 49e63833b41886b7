"""Where executed notebooks go: a folder a run, named for its time and its cluster."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.errors import InputError


def create_run_folder(root: Path, cluster: str) -> Path:
    """Make and return ``root/<UTC time>_<cluster>``, with ``_2`` and so on if another run began in the same second.

    Raises:
        InputError: the folder cannot be made.
    """
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{cluster}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = root / (name if number == 1 else f"{name}_{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise InputError(
            f"the folder for records cannot be made ({error.strerror})",
            place=str(root),
            remedy="name another one: --records DIR",
        ) from error
    raise AssertionError("unreachable: the numbers do not end")


def unused_name(folder: Path, stem: str) -> Path:
    """The path of a notebook's record in its run's folder; a notebook that runs twice has two."""
    path = folder / f"{stem}.ipynb"
    number = 2
    while path.exists():
        path = folder / f"{stem}_{number}.ipynb"
        number += 1
    return path
