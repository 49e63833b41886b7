"""``runbook run``: executes notebooks, prints one line per step, and a summary."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from runbook_lib.cli.arguments import (
    PARAMETER,
    CellTimeout,
    NotebookTimeout,
    PairCommand,
    PlanMode,
    RecordsLocation,
    pairs,
    project_folder,
)
from runbook_lib.cli.privileges import become_root
from runbook_lib.errors import ExitCode
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.run.cluster_run import ClusterRequest, ClusterResult, left_over, prepare_cluster, run_cluster
from runbook_lib.execute.run.engine import OUTPUT_LIMIT
from runbook_lib.execute.run.notebooks import (
    NO_CLUSTER,
    check_declared,
    check_parameters_cells,
    choose_notebooks,
    declared_parameters,
    undoing,
    works_on_a_cluster,
)
from runbook_lib.execute.run.preparation import Request, parse_overrides
from runbook_lib.execute.run.previous_run import EarlierRun, check_same_run, earlier_run
from runbook_lib.execute.run.reporting import Reporter, reporter_for
from runbook_lib.model.commands import at_hand, at_hand_by_record, command_on_testbed, notebook_command
from runbook_lib.model.loading import Run
from runbook_lib.model.locations import records_location
from runbook_lib.records.store import open_archive
from runbook_lib.testbed.system_packages import install_missing_packages

app = typer.Typer(add_completion=False)


@app.command(cls=PairCommand)
def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(metavar="NOTEBOOK", help="Names, prefixes such as 05, or paths (default: all)."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Parameter file (default params/testbed.yaml).")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(*PARAMETER, metavar="KEY VALUE", help="Replace a parameter, such as: -p overlay.name ovr1."),
    ] = None,
    plan: PlanMode = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo",
            help="Undo what notebook 01 or 02 changed on the hosts, and restore every file (notebooks/undo).",
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Resume an earlier run: its ID, that of one of its records, or 'last'."),
    ] = None,
    records: RecordsLocation = None,
    timeout: CellTimeout = None,
    notebook_timeout: NotebookTimeout = None,
    output_limit: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Characters of output per cell that the notebook keeps.")
    ] = OUTPUT_LIMIT,
    log_output: Annotated[
        bool, typer.Option("--log-output", help="Write the cells' output to stderr as well.")
    ] = False,
) -> None:
    """Execute notebooks on a cluster, in order, until one fails, and print a summary.

    A testbed in the parameter file is started if it is not up, and stays up. Every executed notebook becomes a
    record: ./runbook records list.

    Exit code: 0 pass, 1 a check failed, 2 bad input, 3 error, 4 interrupted, 5 timeout, 6 kernel died, 7 locked.
    """
    project = project_folder()
    location = records or records_location()
    overrides = parse_overrides(pairs(parameter), plan=plan)
    at_hand(file, overrides)
    earlier = earlier_run(open_archive(location), resume) if resume else None
    if earlier is not None and earlier.cluster == NO_CLUSTER:
        overrides = {**earlier.parameters, **overrides}
    source: Path | Mapping[str, Any] = file or (earlier.parameters if earlier else project / "params" / "testbed.yaml")
    chosen = _choose(notebooks or (earlier.notebooks if earlier else ()), project / "notebooks", undo=undo)
    request = Request(source, overrides)
    prepared = _prepare(chosen, request, earlier, given=file is not None)
    testbed = prepared.parameters.testbed_name if prepared else None
    if prepared is not None:
        _say_cluster(prepared, file, overrides, resumed=earlier is not None)
    reporter = reporter_for(sys.stdout)
    wanted = ClusterRequest(
        tuple(chosen), request, location, timeout, notebook_timeout, output_limit, log_output, earlier
    )
    with Interruption(notify=reporter.note).installed() as interruption:
        result = run_cluster(wanted, prepared, reporter, interruption)
    _conclude(result, testbed, reporter, records)
    raise typer.Exit(result.exit_code)


def _say_cluster(prepared: Run, file: Path | None, overrides: Mapping[str, Any], *, resumed: bool) -> None:
    """Let commands in texts name this run's cluster; a resumed run has it from its record."""
    at_hand(file, overrides, inventory=prepared.parameters.inventory)
    if resumed and file is None:
        at_hand_by_record(prepared.parameters.inventory)


def _choose(names: Sequence[str], folder: Path, *, undo: bool) -> list[Path]:
    if undo:
        return undoing(choose_notebooks(names, folder) if names else ())
    return choose_notebooks(names, folder)


def _prepare(chosen: Sequence[Path], request: Request, earlier: EarlierRun | None, *, given: bool) -> Run | None:
    """Validate everything and start the parameters' testbed; ``None`` if no notebook needs a cluster.

    Args:
        given: the user named the parameter file.
    """
    if not given and not any(works_on_a_cluster(declared_parameters(path)) for path in chosen):
        check_declared(chosen, request.overrides)
        if earlier is not None:
            check_same_run(earlier, chosen, NO_CLUSTER)
        return None
    check_parameters_cells(chosen)
    parameters = request.parameters()
    if earlier is not None:
        check_same_run(earlier, chosen, parameters.name)
    if parameters.testbed_name is not None:
        become_root(parameters.secret_variables)
    return prepare_cluster(request, install_missing_packages)


def _conclude(result: ClusterResult, testbed: str | None, reporter: Reporter, records: str | None) -> None:
    from runbook_lib.execute.run.reporting import conclude

    elsewhere = f" --records {shlex.quote(records)}" if records else ""
    conclude(result.results, result.archive, reporter, elsewhere)
    if left_over(result.results):
        reporter.line(Text(f"go on from there: ./runbook run --resume {result.run}{elsewhere}"))
    if result.exit_code is ExitCode.PASS and testbed is not None:
        reporter.line(Text(_what_next(testbed)))


def _what_next(testbed: str) -> str:
    return (
        f"The testbed '{testbed}' stays up.\n"
        f"  enter a node:  {command_on_testbed('ssh node1', testbed)}\n"
        f"  the notebooks: {notebook_command()}\n"
        f"  remove it:     {command_on_testbed('down', testbed)}"
    )
