"""The machine that a connection leads to, as errors name it, and the time that reaching it may take."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runbook_lib.errors import UnreachableError
from runbook_lib.model.commands import command_on_testbed, testbed_at_hand
from runbook_lib.model.inventory import NodeSpec, SshHop

_JUMP_HOST_REMEDY = (
    "is the jump host on, and does its address still hold? the nodes behind it are reached through it only"
)


def _node_remedy() -> str:
    question = "is the node on, and does its address still hold?"
    return f"{question} '{command_on_testbed('status')}' tells for a testbed" if testbed_at_hand() else question


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


class Budget:
    """The seconds that a connection may take to open, all hops and logins together."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """What is left of it, a tenth of a second at least: no call here understands less."""
        return max(0.1, self._deadline - time.monotonic())

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._deadline
