"""``runbook docs``: the project's documentation and the reference of its docstrings as web pages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.cli.arguments import project_folder
from runbook_lib.errors import ExitCode, InputError

#: Where the pages are made, in the project's folder; git ignores it.
BUILD_FOLDER = Path("docs/_build")

app = typer.Typer(add_completion=False)


@app.command()
def docs(
    external: Annotated[
        bool, typer.Option("--external", help="Also try every link to another site; this needs the internet.")
    ] = False,
) -> None:
    """Make web pages of README, CONTRIBUTING, CHANGELOG, docs/ and the docstrings, in docs/_build/html.

    The picture of the layers, docs/images/floors.svg, is drawn again from the code before.

    Every warning is an error: a link to a page, a heading or a file of this project that is not there, a name in the
    reference that does not exist, a docstring that cannot be read. Links to other sites are only tried with --external.
    """
    folder = project_folder()
    _require("sphinx", "myst_parser", "grimp")
    subprocess.run([sys.executable, folder / "docs/floors.py"], cwd=folder, check=True)
    code = build(folder, folder / BUILD_FOLDER, "html")
    if code == ExitCode.PASS and external:
        code = build(folder, folder / BUILD_FOLDER, "linkcheck")
    if code == ExitCode.PASS:
        typer.echo(folder / BUILD_FOLDER / "html/docs/index.html")
    raise typer.Exit(code)


def build(project: Path, target: Path, builder: str) -> ExitCode:
    """Run one of Sphinx's builders over a project's documentation.

    Args:
        project: the folder with ``README.md`` and ``docs/conf.py``.
        target: the pages go into ``<target>/<builder>``, what Sphinx reads of them into ``<target>/doctrees``.
        builder: ``html``, or ``linkcheck``, which tries the links to other sites.

    Returns:
        ``PASS``, or ``CHECK_FAILED`` when Sphinx found a fault, which it has printed.
    """
    # A page that Sphinx knows from the last time would not tell its warnings again: each time all are read.
    strict = ["--fail-on-warning", "--nitpicky", "--keep-going", "--quiet", "--fresh-env"]
    folders = ["--conf-dir", str(project / "docs"), "--doctree-dir", str(target / "doctrees")]
    places = [*folders, str(project), str(target / builder)]
    done = subprocess.run([sys.executable, "-m", "sphinx", "--builder", builder, *strict, *places], cwd=project)
    return ExitCode.PASS if done.returncode == 0 else ExitCode.CHECK_FAILED


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the Python environment lacks {', '.join(missing)}",
            place=sys.prefix,
            remedy="call ./runbook docs of a checkout, whose environment has them",
        )
