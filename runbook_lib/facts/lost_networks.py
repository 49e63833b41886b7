"""Networks that an engine does not find although others know of them.

An engine keeps no list of the cluster's networks: it asks its store anew for every call, and what it cannot read at
that moment it calls *not found*, while its containers are on the network and the other engines have it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.networks import NetworkFacts

# two looks at the store, at an engine's default heartbeat of 20 s
PATIENCE_SECONDS = 45.0


@dataclass(frozen=True)
class LostNetwork:
    """A network that the engine of ``node`` does not find; ``holder`` is who knows of it, in words.

    ``found`` tells whether any engine finds it; else only containers speak for it.
    """

    node: str
    network: str
    id: str
    holder: str
    found: bool

    @property
    def why(self) -> str:
        """What is wrong, in one phrase."""
        return f"{self.node}'s engine does not find {self.network} ({self.id[:12]}), which {self.holder}"

    @property
    def remedy(self) -> str:
        """What to do about it, where it lasts."""
        restart = f"restart dockerd on {self.node}, whose connection to the store fails"
        if self.found:
            return restart
        return f"{restart}; if no engine finds it then, somebody has removed it: notebook 03_create_overlay"


def lost_networks(
    network: str,
    seen: Mapping[str, NetworkFacts | None],
    containers: Iterable[ContainerFacts],
    managers: Collection[str],
) -> dict[str, LostNetwork]:
    """The nodes, by name, whose engine does not find a network although it should.

    ``seen`` is what each node's engine found by the network's name. Of the nodes that found none those should that are
    among the ``managers`` (they see every network) if anybody knows of it; the others if a running container of their
    own is on it. ``containers`` may be those of any node.
    """
    # a bridge of one node that has the same name is another network
    engines = {name: found.id for name, found in seen.items() if found is not None and found.scope != "local"}
    members = [
        item for item in containers if item.running and item.network_ids.get(network) and seen.get(item.node) is None
    ]
    lost = {}
    for node in (name for name, found in seen.items() if found is None):
        own = [item for item in members if item.node == node]
        others = members if node in managers else own
        witnesses = own or others
        if engines and node in managers:
            holder, key = f"{', '.join(engines)} {'has' if len(engines) == 1 else 'have'}", next(iter(engines.values()))
        elif witnesses:
            holder, key = f"{witnesses[0].full_name} is on", witnesses[0].network_ids[network]
        else:
            continue
        lost[node] = LostNetwork(node, network, key, holder, bool(engines))
    return lost
