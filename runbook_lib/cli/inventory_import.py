"""``runbook inventory import-…``: other tools' descriptions of a cluster, as a parameter file on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from runbook_lib.errors import InputError
from runbook_lib.model.imports.docker_context import Context, default_config, read_context
from runbook_lib.model.imports.docker_machine import default_store, read_store
from runbook_lib.model.imports.draft import Draft
from runbook_lib.model.imports.hosts import Host, draft_of_hosts
from runbook_lib.model.imports.machine_cluster import draft_of_machines
from runbook_lib.model.imports.parameter_file import parameter_file

KnownHosts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where the nodes' host keys are, or shall be (default ~/.ssh/known_hosts)."),
]
SshConfigFile = Annotated[
    Path | None, typer.Option("--ssh-config", metavar="FILE", help="Another configuration, as ssh -F takes it.")
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
    hosts: Annotated[list[str], typer.Argument(metavar="HOST", help="Hosts as ssh knows them.", show_default=False)],
    ssh_config: SshConfigFile = None,
    known_hosts: KnownHosts = None,
    name: ClusterName = "ssh-hosts",
) -> None:
    """Write a parameter file from what OpenSSH's configuration says of hosts, jump hosts included."""
    contexts = [Context(host, host, None, None, {"via": "ssh"}) for host in hosts]
    _write(_draft(contexts, "OpenSSH's configuration", name, ssh_config, known_hosts))


def import_docker_context(
    contexts: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Contexts as docker knows them.", show_default=False)
    ],
    config: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Docker's folder (default $DOCKER_CONFIG, or ~/.docker).")
    ] = None,
    ssh_config: SshConfigFile = None,
    known_hosts: KnownHosts = None,
    name: ClusterName = "docker-contexts",
) -> None:
    """Write a parameter file from Docker's contexts, whose hosts ssh reaches as well."""
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
    """The file to stdout; to stderr what it does not know, and what comes next."""
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
    """An empty file where there is none yet: it trusts nobody, and the parameter file that names it is valid."""
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise InputError(
            f"the file for host keys cannot be made ({error.strerror})", place=str(path), remedy="name another one"
        ) from error
    print(f"runbook: {path}: made, empty; it is where the nodes' host keys will be", file=sys.stderr)
