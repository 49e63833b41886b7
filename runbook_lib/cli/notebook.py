"""``runbook notebook``: JupyterLab on the notebooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.project import project_folder
from runbook_lib.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def notebook(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine; the next one if taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on the notebooks.

    It listens on this machine only and asks for the token that it prints. From elsewhere, forward the port over SSH:
    ssh -L 8888:localhost:8888 MACHINE.
    """
    folder = project_folder() / "notebooks"
    if not folder.is_dir():
        raise InputError("there are no notebooks", place=str(folder), remedy="call ./runbook of a whole checkout")
    os.execv(sys.executable, [sys.executable, *jupyter_arguments(folder, port, browser=browser)])


def jupyter_arguments(folder: Path, port: int, *, browser: bool) -> list[str]:
    """Return the interpreter's arguments that start JupyterLab on ``folder``, on the loopback address, token kept."""
    arguments = [
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
    ]
    if os.geteuid() == 0:
        # Jupyter refuses root because whoever reaches the server owns the machine; here that is loopback and a token.
        arguments.append("--allow-root")
    return arguments if browser else [*arguments, "--no-browser"]
