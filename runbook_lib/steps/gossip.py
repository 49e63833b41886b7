"""Waiting until an engine has joined its peers' gossip, before its first container enters an overlay."""

from __future__ import annotations

import time

from runbook_lib.cluster import Node
from runbook_lib.errors import DeadlineError
from runbook_lib.facts.gossip import GOSSIP_PORT, read_gossip
from runbook_lib.steps.base import Say

# two looks at the store, at an engine's default heartbeat of 20 s
PATIENCE_SECONDS = 45.0
_PAUSE = 0.25


def wait_for_gossip(node: Node, say: Say, patience: float = PATIENCE_SECONDS) -> None:
    """Wait, bounded, until the node's engine gossips.

    An overlay namespace made earlier would never learn where its peers are (see ``facts.gossip``).

    Raises:
        DeadlineError: it did not within ``patience`` seconds.
        RunbookError: the node cannot be asked.
    """
    deadline = time.monotonic() + patience
    told = False
    while not read_gossip(node):
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"the engine has not joined the other engines' gossip (TCP {GOSSIP_PORT}) within {patience:.0f} s, "
                "and a container started now would never find its peers",
                place=node.name,
                remedy="it joins once its cluster store answers: see notebook 02_autostart_etcd",
            )
        if not told:
            say("waiting until the engine gossips")
            told = True
        time.sleep(_PAUSE)
