"""``runbook inventory check``: every node tried, one table, and for each red cell its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runbook_lib.cli.columns import one_line
from runbook_lib.cli.records_options import print_json
from runbook_lib.cluster import Cluster
from runbook_lib.errors import ExitCode
from runbook_lib.model.commands import at_hand
from runbook_lib.model.loading import load_run
from runbook_lib.model.results import Check, Verdict
from runbook_lib.model.secrets import redactor_for
from runbook_lib.verify.nodes import CHECKS, CLOCK, ENGINE, NETWORK, PLATFORM, check_nodes

# A log or a pipe has no width of its own; this one holds every row.
_LOG_WIDTH = 120
_WORDS = {Verdict.PASS: "ok", Verdict.WARN: "look", Verdict.FAIL: "no", Verdict.SKIP: "-"}
_STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIP: "dim"}
# What is worth reading when all is well.
_TELLING = (ENGINE, NETWORK, CLOCK, PLATFORM)


def check(
    file: Annotated[Path, typer.Option("-f", "--file", metavar="FILE", help="The parameter file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try every node, all at once: SSH, sudo, engine, control plane, network, clock, platform; and the Swarm manager.

    It only reads. The exit code is 0 when nothing is red, 1 when something is, 2 for a file that does not validate.
    """
    at_hand(file)
    run = load_run(file)
    at_hand(file, inventory=run.parameters.inventory)
    redact = redactor_for(run)
    with Cluster(run.inventory, run.parameters.timeouts) as cluster:
        found = check_nodes(cluster, run.parameters)
    rows = [replace(row, found=redact(row.found), remedy=redact(row.remedy)) for row in found]
    passed = all(row.verdict is not Verdict.FAIL for row in rows)
    if as_json:
        print_json({"name": run.parameters.name, "passed": passed, "checks": [asdict(row) for row in rows]})
    else:
        _show(run.parameters.name, rows)
    if not passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _show(name: str, rows: Sequence[Check]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    console.print(_table(name, [row for row in rows if row.check in CHECKS]))
    for row in rows:
        if row.check not in CHECKS and row.verdict is Verdict.PASS:
            console.print(f"[{_STYLES[row.verdict]}]{row.check}[/]: {escape(one_line(row.found))}", soft_wrap=True)
        if row.verdict in (Verdict.FAIL, Verdict.WARN):
            style = _STYLES[row.verdict]
            console.print(f"[{style}]{row.node}, {row.check}[/]: {escape(one_line(row.found))}", soft_wrap=True)
            console.print(f"  expected: {escape(row.expected)}", soft_wrap=True)
            console.print(f"  remedy:   {escape(one_line(row.remedy))}", soft_wrap=True)


def _table(name: str, rows: Sequence[Check]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"cluster {name}", title_justify="left")
    for heading in ("node", *CHECKS):
        table.add_column(heading)
    nodes = dict.fromkeys(row.node for row in rows)
    cells = {(row.node, row.check): _cell(row) for row in rows}
    for node in nodes:
        table.add_row(escape(node), *(cells[node, check] for check in CHECKS))
    return table


def _cell(row: Check) -> str:
    text = _WORDS[row.verdict]
    if row.verdict is Verdict.PASS and row.check in _TELLING:
        text = row.found.partition(",")[0].partition(" (")[0]
    return f"[{_STYLES[row.verdict]}]{escape(text)}[/]"
