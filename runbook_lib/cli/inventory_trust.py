"""``runbook inventory trust``: shows the host keys of a cluster's machines and records those that a person accepts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.columns import columns, one_line
from runbook_lib.errors import ExitCode, InputError, RunbookError
from runbook_lib.model.loading import load_run

if TYPE_CHECKING:
    from runbook_lib.transport.ssh import OfferedKey
    from runbook_lib.transport.ssh.machine import Machine

app = typer.Typer(add_completion=False)

# sshd drops clients at random when more than ten log in at once (MaxStartups).
_AT_ONCE = 8


@dataclass
class _Tally:
    """What became of the machines' keys."""

    known: int = 0
    recorded: int = 0
    refused: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        if self.refused:
            return ExitCode.BAD_INPUT
        return ExitCode.ERROR if self.silent else ExitCode.PASS


@app.command()
def trust(
    file: Annotated[
        Path, typer.Option("-f", "--file", metavar="FILE", help="The parameter file that names the nodes.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Record unknown keys without a question.")] = False,
) -> None:
    """Show the host keys of nodes and jump hosts, and record those that are unknown once you said yes.

    Compare each fingerprint with what 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' prints on the machine itself.
    A key that differs from a recorded one is never replaced. Exit code: 0 all are known now, 2 a key was refused,
    3 a machine does not answer.
    """
    from runbook_lib.transport.ssh import machines_by_depth

    run = load_run(file, known_hosts=False)
    seconds = run.parameters.timeouts.connect
    tally = _Tally()
    for level in machines_by_depth(run.inventory):
        # What is behind a jump host can be asked only when the jump host's key is recorded.
        _record(_ask(level, seconds, tally), yes, tally)
    counts = f"{tally.recorded} recorded, {tally.known} known before, {len(tally.refused)} refused"
    print(f"{counts}, {len(tally.silent)} without an answer")
    for line in (*tally.refused, *tally.silent):
        print(f"runbook: {line}", file=sys.stderr)
    raise typer.Exit(int(tally.exit_code))


def _ask(machines: Sequence[Machine], seconds: float, tally: _Tally) -> list[OfferedKey]:
    """The keys of machines that are unknown; all others are counted."""
    from runbook_lib.transport.ssh import Standing, ask_for_key

    def ask(machine: Machine) -> OfferedKey | RunbookError:
        try:
            return ask_for_key(machine, seconds)
        except RunbookError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(ask, machines))
    unknown = []
    for answer in answers:
        if isinstance(answer, RunbookError):
            (tally.refused if isinstance(answer, InputError) else tally.silent).append(one_line(str(answer)))
        elif answer.standing is Standing.KNOWN:
            tally.known += 1
        elif answer.standing is Standing.UNKNOWN:
            unknown.append(answer)
        else:
            tally.refused.append(_different(answer))
    return unknown


def _different(offered: OfferedKey) -> str:
    machine = offered.machine
    told = f"{machine.name}: {machine.hop.host}:{machine.hop.port} offers {offered.type} {offered.fingerprint}"
    if offered.expected:
        told += f", but {machine.hop.known_hosts} has {', '.join(offered.expected)}"
    return (
        f"{told} ({offered.standing.value}): it is not recorded. Find out why it changed; only if that is right, remove"
        " the old key (ssh-keygen -R) and run this again"
    )


def _record(unknown: Sequence[OfferedKey], yes: bool, tally: _Tally) -> None:
    if not unknown:
        return
    rows = [
        (
            offered.machine.name,
            f"{offered.machine.hop.host}:{offered.machine.hop.port}",
            offered.type,
            offered.fingerprint,
            offered.machine.hop.known_hosts,
        )
        for offered in unknown
    ]
    # Never cut: a fingerprint is compared to its last letter.
    print("\n".join(columns(("MACHINE", "HOST", "TYPE", "FINGERPRINT", "INTO"), rows)), flush=True)
    if not yes and not _accepted(len(unknown)):
        tally.refused += [
            f"{offered.machine.name}: its key was not accepted, and is not recorded" for offered in unknown
        ]
        return
    for offered in unknown:
        offered.record()
        tally.recorded += 1


def _accepted(count: int) -> bool:
    if not sys.stdin.isatty():
        raise InputError(
            f"nobody is there to accept {'this key' if count == 1 else f'these {count} keys'}: stdin is no terminal",
            place="inventory trust",
            remedy="compare the fingerprints above with the machines' own, then say --yes",
        )
    return typer.confirm("Are these the machines' own keys? Record them", default=False)
