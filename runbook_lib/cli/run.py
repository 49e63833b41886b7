"""``runbook run``: executes notebooks, a line a step, and sums up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperCommand

from runbook_lib.cli.privileges import become_root
from runbook_lib.cli.project import project_folder
from runbook_lib.cli.system_packages import install_missing_packages
from runbook_lib.errors import ExitCode, InputError
from runbook_lib.execute.notebooks import choose_notebooks
from runbook_lib.execute.preparation import Request, ensure_testbed, parse_overrides, typed_command
from runbook_lib.execute.reporting import Reporter, reporter_for

app = typer.Typer(add_completion=False)

_PARAMETER = ("-p", "--parameter")


class _RunCommand(TyperCommand):
    """Lets ``-p`` take a key and a value, as papermill's does; typer's repeated options take one word only."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Join each ``-p KEY VALUE`` to the one word ``KEY=VALUE`` before typer parses the line."""
        joined, words = [], iter(args)
        for word in words:
            joined.append(word)
            if word == "--":
                break
            if word in _PARAMETER:
                key, value = next(words, None), next(words, None)
                if key is None or value is None:
                    raise InputError("-p takes a key and a value", place="-p", remedy="-p overlay.name ovr1")
                joined.append(f"{key}={value}")
        return super().parse_args(ctx, [*joined, *words])


@app.command(cls=_RunCommand)
def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NOTEBOOK]...", help="Names, beginnings such as 05, or paths; none means all of them."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Parameter file (default params/testbed.yaml).")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(*_PARAMETER, metavar="KEY VALUE", help="Replace a parameter, such as: -p overlay.name ovr1."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change and change nothing.")] = False,
    records: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where executed notebooks go (default records/).")
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, metavar="S", help="Seconds that a cell may take (default: no limit).")
    ] = None,
) -> None:
    """Execute notebooks on a cluster, in order, until one fails, and print a summary.

    A testbed that the parameter file names is brought up if it is not, and stays up. Executed notebooks are kept in
    records/<UTC time>_<cluster>/.

    Exit code: 0 pass, 1 a check failed, 2 bad input, 3 error, 4 interrupted, 5 timeout, 6 kernel died, 7 locked.
    """
    project = project_folder()
    chosen = choose_notebooks(notebooks or (), project / "notebooks")
    pairs = [(key, value) for key, _, value in (text.partition("=") for text in parameter or ())]
    request = Request(file or project / "params" / "testbed.yaml", parse_overrides(pairs, plan=plan))
    parameters = request.parameters()
    if parameters.testbed_name is not None:
        become_root()
        ensure_testbed(parameters.testbed_name, plan=parameters.plan, before_up=install_missing_packages)
    request.validate()
    reporter = reporter_for(sys.stdout)
    code = _execute(chosen, request, records or project / "records", parameters.name, timeout, reporter)
    if code is ExitCode.PASS and parameters.testbed_name is not None:
        reporter.line(Text(_what_next(parameters.testbed_name)))
    raise typer.Exit(code)


def _execute(
    chosen: Sequence[Path], request: Request, root: Path, cluster: str, timeout: int | None, reporter: Reporter
) -> ExitCode:
    """Run the notebooks and print what came of it; the exit code is that of the one that failed."""
    # papermill and pandas are imported while the first kernel starts, which takes as long.
    from runbook_lib.execute.interruption import Interruption
    from runbook_lib.execute.kernels import Kernels
    from runbook_lib.execute.records import create_run_folder

    with Interruption(notify=reporter.note).installed() as interruption, Kernels(chosen[0].parent) as kernels:
        kernels.prepare()
        from runbook_lib.execute.runner import RunSettings, run_notebooks
        from runbook_lib.execute.summary import conclude

        settings = RunSettings(request.injected(), create_run_folder(root, cluster), timeout)
        with reporter.running():
            results = run_notebooks(chosen, settings, reporter, kernels, interruption)
    conclude(results, settings.records, reporter)
    return next((result.exit_code for result in results if result.exit_code), ExitCode.PASS)


def _what_next(testbed: str) -> str:
    return (
        f"The testbed '{testbed}' stays up.\n"
        f"  enter a node:  {typed_command('ssh node1', testbed)}\n"
        f"  the notebooks: ./runbook notebook\n"
        f"  remove it:     {typed_command('down', testbed)}"
    )
