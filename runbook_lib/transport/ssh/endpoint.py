"""The machine that a connection leads to, its name in errors, its ``ssh`` command line, and the time budget."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from runbook_lib.errors import UnreachableError
from runbook_lib.model.commands import command_on_testbed, testbed_at_hand
from runbook_lib.model.inventory import NodeSpec, SshAccess, SshHop
from runbook_lib.waiting import Deadline

_JUMP_HOST_REMEDY = "check that the jump host is on and its address is right: the nodes behind it need it"


def _node_remedy() -> str:
    remedy = "check that the node is on and its address is right"
    return f"{remedy}: '{command_on_testbed('status')}' shows it for a testbed" if testbed_at_hand() else remedy


@dataclass(frozen=True)
class Machine:
    """A node or a jump host: its name in errors, how to log in there, and the jump hosts before it."""

    name: str
    hop: SshHop
    jump: tuple[SshHop, ...] = ()
    is_jump_host: bool = False

    @property
    def address(self) -> str:
        """Where to log in and as whom."""
        return f"{self.hop.user}@{self.hop.host}:{self.hop.port}"

    @property
    def before(self) -> Machine | None:
        """The jump host that the connection comes from; ``None`` where it comes from here."""
        return machine_of_jump(self.jump) if self.jump else None

    def unreachable(self, why: str, remedy: str = "") -> UnreachableError:
        """The error for a machine that SSH does not reach."""
        through = f" through {', '.join(f'{hop.user}@{hop.host}:{hop.port}' for hop in self.jump)}" if self.jump else ""
        return UnreachableError(
            self.name,
            f"no SSH connection to {self.address}{through} ({why})",
            remedy=remedy or (_JUMP_HOST_REMEDY if self.is_jump_host else _node_remedy()),
        )


def machine_of_node(node: NodeSpec) -> Machine:
    """A node as a machine."""
    return Machine(node.name, node.ssh, node.ssh.jump)


def machine_of_jump(path: tuple[SshHop, ...]) -> Machine:
    """The last jump host of a path; many nodes may share it, so that errors name it and none of them."""
    return Machine(f"jump host {path[-1].host}", path[-1], path[:-1], is_jump_host=True)


class Budget(Deadline):
    """The seconds that a connection may take to open, all hops and logins together."""

    @property
    def left(self) -> float:
        """The seconds left, at least a tenth of a second."""
        return max(0.1, super().left)


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
