"""The nodes of a classic Swarm manager, from the pairs of text that its ``GET /info`` answers.

The pairs are made in cluster/swarm/cluster.go (``Info``) of docker/classicswarm: one that begins with a space is a
node and its address, those after it that begin with ``└`` tell of that node. They are the only list of nodes there is:
``GET /nodes`` belongs to Swarm mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# cluster/engine.go, stateText; a node in any other state is given no work and listed with what it had last.
HEALTHY = "Healthy"
PENDING = "Pending"
UNNAMED = "(unknown)"
_BRANCH = "└"


@dataclass(frozen=True)
class ManagedNode:
    """One node as the manager knows it.

    ``name`` is the hostname that its engine told, ``(unknown)`` until it has told one; ``address`` is ``host:port`` of
    the engine as the manager reaches it; ``status`` is ``Healthy``, ``Pending``, ``Unhealthy``, …
    """

    name: str
    address: str
    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def get(self, key: str) -> str:
        """What the manager tells of it under a key (``ID``, ``Labels``, ``Reserved CPUs``, …); empty when nothing."""
        return dict(self.pairs).get(key, "")

    @property
    def status(self) -> str:
        """The manager's word for its state."""
        return self.get("Status")

    @property
    def engine_id(self) -> str:
        """The ID that its engine tells; empty while it has told none.

        Since 1.2.7 the manager adds the address (``ID|10.0.0.3:2376``), so that cloned engines are told apart.
        """
        return self.get("ID").partition("|")[0]

    @property
    def registering(self) -> bool:
        """Whether the manager has just heard of it: not tried yet, so that nothing speaks against it."""
        return self.status == PENDING and not self.get("Error")

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.address.rpartition(":")[0]

    def __str__(self) -> str:
        return f"{self.name} ({self.address}, {self.status.lower() or 'state unknown'})"


def parse_system_status(pairs: Sequence[Sequence[str]]) -> tuple[ManagedNode, ...]:
    """The nodes of ``info()["SystemStatus"]``, in the manager's order.

    Raises:
        ValueError: not pairs of text, or something told of a node before any is named.
    """
    nodes: list[ManagedNode] = []
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"not a pair of texts: {pair!r}")
        key, value = pair
        told = key.strip()
        if told.startswith(_BRANCH):
            if not nodes:
                raise ValueError(f"{told!r} before any node")
            last = nodes.pop()
            more = (*last.pairs, (told.removeprefix(_BRANCH).strip(), value))
            nodes.append(ManagedNode(last.name, last.address, more))
        elif key.startswith(" "):
            nodes.append(ManagedNode(told, value))
    return tuple(nodes)
