"""``runbook testbed``: a real Docker cluster on this machine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from runbook_lib.cli.privileges import asks_for_help, become_root
from runbook_lib.errors import RequirementError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed import ConsoleReport, Testbed, TestbedStatus
from runbook_lib.testbed.machine.kind import Kind, choose_kind
from runbook_lib.testbed.machine.layout import DEFAULT_NAME, DEFAULT_NODES, DEFAULT_SUBNET, ENGINE_PORT
from runbook_lib.testbed.system_packages import install_missing_packages

app = typer.Typer(help="A real Docker cluster on this machine.", no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Option("--name", help="The testbed's name.")]
Nodes = Annotated[list[str] | None, typer.Argument(help="Nodes such as node1; none means all of them.")]
OneNode = Annotated[str, typer.Argument(metavar="NODE", help="A node such as node1.")]
Hard = Annotated[bool, typer.Option("--hard", help="Cut the power instead of shutting down.")]

# The width for a log or a pipe, enough for every row.
_LOG_WIDTH = 120
_STYLES = {"running": "green", "booting": "yellow", "no engine": "red", "off": "dim"}


def _command(name: str, node: str, testbed: str) -> str:
    return command_on_testbed(f"{name} {node}", testbed)


@app.callback()
def _as_root() -> None:
    """A real Docker cluster on this machine."""
    if not asks_for_help(sys.argv):
        become_root()


@app.command()
def up(
    name: Name = DEFAULT_NAME,
    nodes: Annotated[int | None, typer.Option(help=f"How many nodes, 1 to 32 (default {DEFAULT_NODES}).")] = None,
    subnet: Annotated[
        str | None, typer.Option(help=f"The cluster's subnet, or 'auto' (default {DEFAULT_SUBNET}).")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="How nodes boot: boot2docker (default), or debian with systemd.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="The engine's series: 20.10 (default) or 26.1.")] = None,
    control_plane: Annotated[
        str | None, typer.Option(help="Where engines keep an overlay: etcd (default) or swarm-mode.")
    ] = None,
) -> None:
    """Create or start the testbed; running nodes are unchanged."""
    said = any(option is not None for option in (platform, engine, control_plane))
    kind = choose_kind(platform, engine, control_plane) if said else None
    install_missing_packages(kind or Kind())
    begun = time.monotonic()
    with ConsoleReport() as report:
        testbed = Testbed.up(name, nodes=nodes, subnet=subnet, kind=kind, report=report)
    count = len(testbed.node_names)
    typer.echo(f"testbed '{name}' is up: {count} node{'s' if count > 1 else ''}, {time.monotonic() - begun:.1f} s")
    typer.echo(f"  enter a node: {_command('ssh', 'node1', name)}")
    typer.echo(f'  docker on it: eval "$({_command("env", "node1", name)})"')
    typer.echo(f"  remove it:    {_command('down', '', name)}")


@app.command()
def status(
    name: Name = DEFAULT_NAME, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show every node: its state, its addresses now, its engine."""
    found = Testbed.load(name).status()
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _LOG_WIDTH
        console.print(_table(found))


def _table(found: TestbedStatus) -> Table:
    title = f"testbed {found.name}: {found.kind}, cluster network {found.cluster_subnet}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    in_swarm = any(node.swarm for node in found.nodes)
    headings = ("node", "platform", "state", "management", "cluster (eth1)", "engine")
    for heading in (*headings, *(["swarm"] if in_swarm else [])):
        table.add_column(heading, no_wrap=True)
    for node in found.nodes:
        here = node.cluster_address or "-"
        if node.cluster_address not in (None, node.inventory_address):
            here = f"[yellow]{here}, not {node.inventory_address}[/]"
        table.add_row(
            node.name,
            node.platform,
            f"[{_STYLES[node.state]}]{node.state}[/]",
            node.management_address,
            here,
            node.engine_version or "-",
            *([node.swarm or "-"] if in_swarm else []),
        )
    return table


@app.command()
def start(nodes: Nodes = None, name: Name = DEFAULT_NAME) -> None:
    """Switch on nodes that are off."""
    with ConsoleReport() as report:
        Testbed.load(name, report).start(nodes)


@app.command()
def reboot(
    nodes: Nodes = None,
    name: Name = DEFAULT_NAME,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Make DHCP give every rebooted node another address.")
    ] = False,
    hard: Hard = False,
) -> None:
    """Reboot nodes and wait until they are ready."""
    with ConsoleReport() as report:
        Testbed.load(name, report).reboot(nodes, shuffle=shuffle, hard=hard)


@app.command()
def poweroff(nodes: Nodes = None, name: Name = DEFAULT_NAME, hard: Hard = False) -> None:
    """Switch nodes off."""
    with ConsoleReport() as report:
        Testbed.load(name, report).poweroff(nodes, hard=hard)


@app.command()
def cut(
    node: OneNode,
    name: Name = DEFAULT_NAME,
    management: Annotated[
        bool, typer.Option("--management", help="Disconnect the management network as well.")
    ] = False,
) -> None:
    """Disconnect a node from the cluster network."""
    Testbed.load(name).cut(node, management=management)


@app.command()
def restore(node: OneNode, name: Name = DEFAULT_NAME) -> None:
    """Connect a node to its networks again."""
    Testbed.load(name).restore(node)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    node: OneNode,
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- CMD...]", help="What to run there.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Enter a node, or run a command on it, as ssh does."""
    testbed = Testbed.load(name)
    address = testbed.node(node).management_address
    program = shutil.which("ssh")
    if program is None:
        raise RequirementError(
            "there is no ssh client on this machine", remedy="install it: apt-get install -y openssh-client"
        )
    layout = testbed.layout
    argv = [program, "-F", "/dev/null", "-i", str(layout.key_file), "-o", "IdentitiesOnly=yes"]
    argv += ["-o", f"UserKnownHostsFile={layout.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    words = command or []
    # The options end at the node, so that a "--" after it is still among the words.
    words = words[1:] if words[:1] == ["--"] else words
    argv += ["--", f"docker@{address}", *words]
    sys.stdout.flush()
    os.execv(program, argv)


@app.command()
def env(node: OneNode, name: Name = DEFAULT_NAME) -> None:
    """Print shell lines after which the plain docker command talks to a node."""
    testbed = Testbed.load(name)
    values = {
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_HOST": f"tcp://{testbed.node(node).management_address}:{ENGINE_PORT}",
        "DOCKER_CERT_PATH": str(testbed.layout.certificates),
        "DOCKER_MACHINE_NAME": node,
    }
    for key, value in values.items():
        typer.echo(f"export {key}={shlex.quote(value)}")
    typer.echo("# Run this command to point the docker command at the node:")
    typer.echo(f'# eval "$({_command("env", node, name)})"')


@app.command()
def down(name: Name = DEFAULT_NAME) -> None:
    """Remove the testbed and everything that it owns."""
    with ConsoleReport() as report:
        existed = Testbed.remove(name, report)
    typer.echo(f"testbed '{name}' is removed" if existed else f"there is no testbed '{name}': nothing to remove")
