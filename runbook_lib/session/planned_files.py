"""The files that fixing the addresses writes, or that taking them back restores, as a person would compare them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.session.answers import answers
from runbook_lib.steps.platforms import PlatformRefusal
from runbook_lib.steps.static_addresses import RemoveStaticAddresses, StaticAddresses
from runbook_lib.steps.targets import AddressReading, read_address


def planned_files(cluster: Cluster, step: StaticAddresses | RemoveStaticAddresses, nodes: Sequence[str] = ()) -> str:
    """Unified diffs of each file, node by node: from how it is without the runbook to how the step wants it.

    Of the step that takes addresses back, from how it is now to how it was.

    Args:
        cluster: the nodes, each of which is asked.
        step: the step whose files these are; that some are written already makes no difference.
        nodes: whose files; without names, of the first node of each platform.

    Raises:
        InputError: there is no such node.
        UnreachableError, NodeError: naming every node that gave no answer.
    """
    chosen = [cluster.node(name) for name in nodes] or list(cluster.nodes)
    network = cluster.inventory.network
    readings = answers(cluster.each(lambda node: read_address(node, network, probe=False), nodes=chosen))
    shown = set[str]()
    parts = []
    for node, reading in zip(chosen, readings, strict=True):
        platform = reading.host.platform or ""
        if nodes or platform not in shown:
            parts.append("".join(_of_node(node.name, reading, step)))
        shown.add(platform)
    return "\n".join(parts)


def _of_node(node: str, reading: AddressReading, step: StaticAddresses | RemoveStaticAddresses) -> Iterator[str]:
    try:
        platform, files = step.planned_files(node, reading)
    except PlatformRefusal as refusal:
        yield f"{node}: {refusal.message}\n"
        return
    when = "at once" if platform.live else "from the next boot on"
    yield f"{node}: {platform.name}, {when if files else step.no_files}\n"
    yield from (file.diff for file in files)
