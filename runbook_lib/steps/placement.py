"""Which container belongs on which node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbook_lib.model.parameters import ContainerSpec


def place(containers: Sequence[ContainerSpec], loads: Mapping[str, int], existing: Mapping[str, str]) -> dict[str, str]:
    """The node of every container, by its name.

    A container with a ``node`` goes there. Of the others, one that exists stays where it is (``existing``: its name
    to its node), and the rest go one by one to the node with the fewest containers, equal ones in the order of
    ``loads`` (the running containers of each node that can take one). The same input always gives the same places.

    Raises:
        ValueError: a container has to be spread and there is no node that can take one.
    """
    placed = {item.name: item.node or existing.get(item.name) for item in containers}
    counts = dict(loads)
    for name, node in placed.items():
        if node in counts and name not in existing:
            counts[node] += 1
    result: dict[str, str] = {}
    for name, node in placed.items():
        if node is None:
            if not counts:
                raise ValueError(f"no node can take {name}")
            node = min(counts, key=lambda candidate: counts[candidate])
            counts[node] += 1
        result[name] = node
    return result


def full_image_name(reference: str) -> str:
    """An image reference with its tag: ``alpine`` is ``alpine:latest``."""
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"
