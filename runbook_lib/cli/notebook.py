"""``runbook notebook``: starts the testbed, and JupyterLab with the notebooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.arguments import project_folder
from runbook_lib.cli.lab.copies import Copies
from runbook_lib.cli.privileges import become_root
from runbook_lib.errors import InputError
from runbook_lib.execute.run.notebooks import choose_notebooks
from runbook_lib.execute.run.preparation import Request, ensure_testbed
from runbook_lib.model.commands import at_hand, environment
from runbook_lib.model.locations import copies_folder
from runbook_lib.testbed.system_packages import install_missing_packages

app = typer.Typer(add_completion=False)


@app.command()
def notebook(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Parameter file (default params/testbed.yaml).")
    ] = None,
    testbed: Annotated[bool, typer.Option(help="Bring the testbed up that the parameter file names.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine; the next one if taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    reset: Annotated[
        list[str] | None,
        typer.Option("--reset", metavar="NOTEBOOK", help="Make your copy of a notebook as committed again, and end."),
    ] = None,
) -> None:
    """Bring the testbed up and open JupyterLab on the notebooks.

    What you open are your copies of the notebooks: the originals stay as committed, and --reset 05 makes yours of 05 so
    again (what you changed is kept beside it).

    It opens on a page with the learning path and the cluster's state. It listens on this machine only and asks for the
    token that it prints; from elsewhere, forward the port over SSH: ssh -L 8888:localhost:8888 MACHINE.

    Ctrl-C ends it: a running step is interrupted and has time to clean up. The testbed stays up.
    """
    project = project_folder()
    folder = project / "notebooks"
    if not folder.is_dir():
        raise InputError("there are no notebooks", place=str(folder), remedy="call ./runbook of a complete checkout")
    copies = Copies(folder, copies_folder(project))
    if reset:
        _reset(copies, choose_notebooks(reset, folder))
        return
    chosen = (file or project / "params" / "testbed.yaml").absolute()
    request = Request(chosen)
    parameters = request.parameters()
    at_hand(file, inventory=parameters.inventory)
    if testbed and parameters.testbed_name is not None:
        become_root(parameters.secret_variables)
        ensure_testbed(parameters, plan=False, before_up=install_missing_packages)
        request.validate()
    from runbook_lib.cli.lab.server import lab_arguments, lab_environment

    for line in copies.update():
        _say(line)
    _say(f"your copies of the notebooks are in {copies.folder}")
    _say("JupyterLab starts; Ctrl-C here ends it")
    places = lab_arguments(copies.folder, port, browser=browser)
    arguments = [sys.executable, "-P", "-m", "runbook_lib.cli.lab.server", *places]
    os.execve(sys.executable, arguments, {**lab_environment(os.environ, chosen), **environment()})


def _reset(copies: Copies, notebooks: Sequence[Path]) -> None:
    for original in notebooks:
        if not original.is_relative_to(copies.originals):
            remedy = "name one of those, such as 05 or 05_ping_tests"
            raise InputError("unknown notebook", place=str(original), remedy=remedy)
        kept = copies.reset(str(original.relative_to(copies.originals)))
        _say(f"{original.stem}: your copy is as committed" + (f"; what you had is kept as {kept}" if kept else ""))


def _say(line: str) -> None:
    print(f"runbook: {line}", file=sys.stderr, flush=True)
