"""``runbook inventory``: import, trust and check your own cluster.

``check`` tests every node and shows one table, with a remedy for each red cell. ``trust`` shows the host keys of the
cluster's machines and records those that the user accepts. ``import-…`` writes a parameter file from other tools' data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runbook_lib.cli.arguments import columns, one_line, print_json
from runbook_lib.cluster import Cluster
from runbook_lib.errors import ExitCode, InputError, RunbookError
from runbook_lib.model.commands import at_hand
from runbook_lib.model.imports.docker_machine import default_store, read_store
from runbook_lib.model.imports.draft import Draft, parameter_file
from runbook_lib.model.imports.hosts import Context, Host, default_config, draft_of_hosts, read_context
from runbook_lib.model.imports.machine_cluster import draft_of_machines
from runbook_lib.model.loading import load_run
from runbook_lib.model.redaction import redactor_for
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.nodes import CHECKS, CLOCK, ENGINE, NETWORK, PLATFORM, check_nodes

if TYPE_CHECKING:
    from runbook_lib.transport.ssh import OfferedKey
    from runbook_lib.transport.ssh.endpoint import Machine


# The width for a log or a pipe, enough for every row.
_LOG_WIDTH = 120
_WORDS = {Verdict.PASS: "ok", Verdict.WARN: "look", Verdict.FAIL: "no", Verdict.SKIP: "-"}
_STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIP: "dim"}
# Rows that are shown even if all is well.
_TELLING = (ENGINE, NETWORK, CLOCK, PLATFORM)


def check(
    file: Annotated[Path, typer.Option("-f", "--file", metavar="FILE", help="The parameter file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test all nodes in parallel: SSH, sudo, engine, control plane, network, clock, platform; and the Swarm manager.

    It only reads. The exit code is 0 if nothing is red, 1 if something is, 2 for an invalid file.
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


trust_app = typer.Typer(add_completion=False)

# sshd drops clients at random when more than ten log in at once (MaxStartups).
_AT_ONCE = 8


@dataclass
class _Tally:
    """The counts of the machines' keys by result."""

    known: int = 0
    recorded: int = 0
    refused: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        if self.refused:
            return ExitCode.BAD_INPUT
        return ExitCode.ERROR if self.silent else ExitCode.PASS


@trust_app.command()
def trust(
    file: Annotated[
        Path, typer.Option("-f", "--file", metavar="FILE", help="The parameter file that names the nodes.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Record unknown keys without asking.")] = False,
) -> None:
    """Show the host keys of nodes and jump hosts, and record the unknown ones after your confirmation.

    Compare each fingerprint with what 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' prints on the machine itself.
    A key that differs from a recorded one is never replaced. Exit code: 0 all are known now, 2 a key was refused,
    3 a machine does not answer.
    """
    from runbook_lib.transport.ssh import machines_by_depth

    run = load_run(file, known_hosts=False)
    seconds = run.parameters.timeouts.connect
    tally = _Tally()
    for level in machines_by_depth(run.inventory):
        # Machines behind a jump host can be reached only after the jump host's key is recorded.
        _record(_ask(level, seconds, tally), yes, tally)
    counts = f"{tally.recorded} recorded, {tally.known} known before, {len(tally.refused)} refused"
    print(f"{counts}, {len(tally.silent)} without an answer")
    for line in (*tally.refused, *tally.silent):
        print(f"runbook: {line}", file=sys.stderr)
    raise typer.Exit(int(tally.exit_code))


def _ask(machines: Sequence[Machine], seconds: float, tally: _Tally) -> list[OfferedKey]:
    """The unknown keys; all others are counted."""
    from runbook_lib.transport.ssh import TrustState, ask_for_key

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
        elif answer.trust is TrustState.KNOWN:
            tally.known += 1
        elif answer.trust is TrustState.UNKNOWN:
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
        f"{told} ({offered.trust.value}): it is not recorded. Find out why it changed; only if that is right, remove"
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
    # Never cut: all characters of a fingerprint are compared.
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
            f"cannot ask whether to accept {'this key' if count == 1 else f'these {count} keys'}: stdin is no terminal",
            place="inventory trust",
            remedy="compare the fingerprints above with the machines' own, then add --yes",
        )
    return typer.confirm("Are these the machines' own keys? Record them", default=False)


KnownHosts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The file for the nodes' host keys (default ~/.ssh/known_hosts)."),
]
SshConfigFile = Annotated[
    Path | None, typer.Option("--ssh-config", metavar="FILE", help="Another configuration file, as with ssh -F.")
]
ClusterName = Annotated[str, typer.Option("--name", help="The cluster's name in its records.")]


def import_docker_machine(
    machines: Annotated[
        list[str] | None, typer.Argument(metavar="MACHINE", help="Only these machines (default: all).")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The store (default $MACHINE_STORAGE_PATH, or ~/.docker/machine)."),
    ] = None,
    known_hosts: KnownHosts = None,
    name: ClusterName = "docker-machine",
) -> None:
    """Write a parameter file (to stdout) from a docker-machine store."""
    folder = (store or default_store()).absolute()
    found = read_store(folder, machines or ())
    origin = f"Imported from the docker-machine store {folder}"
    file = str((known_hosts or Path("~/.ssh/known_hosts")).expanduser().absolute())
    _write(draft_of_machines(found, origin, name, file))


def import_ssh_config(
    hosts: Annotated[
        list[str], typer.Argument(metavar="HOST", help="Hosts in ssh's configuration.", show_default=False)
    ],
    ssh_config: SshConfigFile = None,
    known_hosts: KnownHosts = None,
    name: ClusterName = "ssh-hosts",
) -> None:
    """Write a parameter file from hosts and jump hosts in OpenSSH's configuration."""
    contexts = [Context(host, host, None, None, {"via": "ssh"}) for host in hosts]
    _write(_draft(contexts, "OpenSSH's configuration", name, ssh_config, known_hosts))


def import_docker_context(
    contexts: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Names of Docker contexts.", show_default=False)
    ],
    config: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Docker's folder (default $DOCKER_CONFIG, or ~/.docker).")
    ] = None,
    ssh_config: SshConfigFile = None,
    known_hosts: KnownHosts = None,
    name: ClusterName = "docker-contexts",
) -> None:
    """Write a parameter file from Docker contexts, whose hosts must also be reachable by ssh."""
    folder = config or default_config()
    found = [read_context(folder, context) for context in contexts]
    _write(_draft(found, f"Docker's contexts in {folder}", name, ssh_config, known_hosts))


def _draft(
    contexts: Sequence[Context], source: str, name: str, ssh_config: Path | None, known_hosts: Path | None
) -> Draft:
    from runbook_lib.transport.ssh.config import SshConfig

    if ssh_config is not None and not ssh_config.is_file():
        raise InputError("there is no such file", place=str(ssh_config), remedy="name an OpenSSH configuration")
    configuration = SshConfig(ssh_config)
    hosts = []
    for context in contexts:
        found = configuration.host(context.host, user=context.user, port=context.port)
        access = found.access
        if known_hosts is not None:
            file = {"known_hosts": str(known_hosts.expanduser().absolute())}
            access = access.model_copy(
                update={**file, "jump": tuple(hop.model_copy(update=file) for hop in access.jump)}
            )
        hosts.append(Host(context.name, access, context.docker, (*context.notes, *found.notes)))
    names = ", ".join(context.name for context in contexts)
    return draft_of_hosts(hosts, f"Imported from {source}: {names}", name)


def _write(draft: Draft) -> None:
    """Write the file to stdout, and missing values and the next commands to stderr."""
    for path in dict.fromkeys(file for node in draft.nodes for file in _known_hosts_files(node.ssh)):
        _make_known_hosts(Path(path))
    text = parameter_file(draft)
    for note in draft.unknown:
        print(f"runbook: {note.place}: {note.text}", file=sys.stderr)
    count = len(draft.nodes)
    print(
        f"runbook: {count} node{'s' if count > 1 else ''}, control plane {draft.control_plane}. Next, with FILE as you"
        " call this output:\n"
        "  ./runbook inventory trust -f FILE    shows the nodes' host keys, and records them\n"
        "  ./runbook inventory check -f FILE    tries every node",
        file=sys.stderr,
    )
    sys.stdout.write(text)


def _known_hosts_files(ssh: object) -> list[str]:
    hops = [ssh, *ssh.get("jump", ())] if isinstance(ssh, dict) else []
    return [str(hop["known_hosts"]) for hop in hops]


def _make_known_hosts(path: Path) -> None:
    """Create a missing host key file, empty: it trusts no host, and makes the parameter file valid."""
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise InputError(
            f"the file for host keys cannot be made ({error.strerror})", place=str(path), remedy="name another one"
        ) from error
    print(f"runbook: {path}: created, empty; for the nodes' host keys", file=sys.stderr)


app = typer.Typer(
    help="Your own cluster: import it, trust its host keys, check that everything can be reached.",
    no_args_is_help=True,
    add_completion=False,
)

app.command("import-docker-machine")(import_docker_machine)
app.command("import-ssh-config")(import_ssh_config)
app.command("import-docker-context")(import_docker_context)
app.command()(trust)
app.command()(check)
