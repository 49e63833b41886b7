"""Where this project's files are."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.errors import InputError


def project_folder() -> Path:
    """Return the checkout that this package runs from: notebooks, parameter files and tests are in it.

    Raises:
        InputError: the package was installed without them.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "pyproject.toml").is_file():
        raise InputError(
            "the notebooks, parameter files and tests are not here",
            place=str(folder),
            remedy="call ./runbook of a checkout instead of an installed package",
        )
    return folder
