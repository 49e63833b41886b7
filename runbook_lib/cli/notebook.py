"""``runbook notebook``: the testbed, and JupyterLab on the notebooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.privileges import become_root
from runbook_lib.cli.project import project_folder
from runbook_lib.cli.system_packages import install_missing_packages
from runbook_lib.errors import InputError
from runbook_lib.execute.preparation import Request, ensure_testbed

app = typer.Typer(add_completion=False)


@app.command()
def notebook(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Parameter file (default params/testbed.yaml).")
    ] = None,
    testbed: Annotated[bool, typer.Option(help="Bring the testbed up that the parameter file names.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine; the next one if taken.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Bring the testbed up and open JupyterLab on the notebooks.

    It opens on a page with the learning path and the cluster's state. It listens on this machine only and asks for the
    token that it prints; from elsewhere, forward the port over SSH: ssh -L 8888:localhost:8888 MACHINE.

    Ctrl-C ends it: a running step is interrupted and has time to clean up. The testbed stays up.
    """
    project = project_folder()
    folder = project / "notebooks"
    if not folder.is_dir():
        raise InputError("there are no notebooks", place=str(folder), remedy="call ./runbook of a whole checkout")
    chosen = (file or project / "params" / "testbed.yaml").absolute()
    request = Request(chosen)
    parameters = request.parameters()
    if testbed and parameters.testbed_name is not None:
        become_root(parameters.secret_variables)
        ensure_testbed(parameters, plan=False, before_up=install_missing_packages)
        request.validate()
    from runbook_lib.cli.lab import lab_arguments, lab_environment

    print("runbook: JupyterLab starts; Ctrl-C here ends it", file=sys.stderr, flush=True)
    arguments = [sys.executable, "-P", "-m", "runbook_lib.cli.lab", *lab_arguments(folder, port, browser=browser)]
    os.execve(sys.executable, arguments, lab_environment(os.environ, chosen))
