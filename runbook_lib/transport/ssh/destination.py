"""What a person would type after ``ssh`` to get where a connection gets."""

from __future__ import annotations

import shlex

from runbook_lib.model.inventory import SshAccess, SshHop


def destination(access: SshAccess) -> str:
    """The same keys, known hosts and jump hosts, as words for a POSIX shell.

    ``ssh -J`` would not do: keys and known hosts of the command line are those of the destination only (ssh(1)), so
    that each jump host gets a command of its own, which is what ``-J`` is short for.
    """
    options = _options(access)
    through = _through(access.jump)
    if through:
        options.append(f"-o {shlex.quote(f'ProxyCommand={through}')}")
    return " ".join([*options, f"{access.user}@{access.host}"])


def _through(jump: tuple[SshHop, ...]) -> str:
    """The command whose input and output are the connection that the last jump host makes."""
    if not jump:
        return ""
    last, before = jump[-1], _through(jump[:-1])
    words = ["ssh", *_options(last)]
    if before:
        # Each level of ssh expands the '%' of its own ProxyCommand.
        words.append(f"-o {shlex.quote('ProxyCommand=' + before.replace('%', '%%'))}")
    return " ".join([*words, "-W", "[%h]:%p", f"{last.user}@{last.host}"])


def _options(hop: SshHop) -> list[str]:
    options = []
    if hop.key_file is not None:
        options.append(f"-i {shlex.quote(hop.key_file)}")
        if not hop.agent:
            options.append("-o IdentitiesOnly=yes")
    known_hosts = f'UserKnownHostsFile="{hop.known_hosts}"'
    options.append(f"-o {shlex.quote(known_hosts)}")
    if hop.port != 22:
        options.append(f"-p {hop.port}")
    return options
