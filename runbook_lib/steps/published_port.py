"""Makes a container reachable from outside in the simple way: at a port of its node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.containers import ContainerFacts, read_container
from runbook_lib.model.external import PORT, External
from runbook_lib.steps.base import Finding, Say, Step, blocked, pending, refused, satisfied
from runbook_lib.steps.networks import Difference
from runbook_lib.steps.web import create, differences, has_image, no_image, unproved


@dataclass(frozen=True)
class PublishedReading:
    """The container of the wanted name, if there is one, and whether the node has its image."""

    container: ContainerFacts | None
    has_image: bool


@dataclass(frozen=True)
class PublishedJob:
    """What is left to do, in this order."""

    create: bool = False
    start: bool = False


class PublishPort(Step[PublishedReading, PublishedJob]):
    """Runs a container whose port is published on its node: ``docker run -d -p 8080:8080 --restart unless-stopped``.

    A container of that name which is not as wanted is never touched: its differences are listed.
    """

    name = "publish a port"
    settle_seconds = 5.0

    def __init__(self, spec: External, owner: str) -> None:
        self._spec = spec
        self._owner = owner

    def nodes(self, cluster: Cluster) -> tuple[Node, ...]:
        """The container's node."""
        return (cluster.node(self._spec.node),)

    def read(self, node: Node) -> PublishedReading:
        """The container and its image."""
        return PublishedReading(read_container(node, self._spec.container), has_image(node, self._spec))

    def assess(
        self, readings: Mapping[str, PublishedReading], missing: frozenset[str]
    ) -> Mapping[str, Finding[PublishedJob]]:
        """Running, with its port published."""
        return {name: self._finding(reading) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: PublishedJob, say: Say) -> None:
        """Create and start it."""
        if work.create:
            create(node, self._spec, self._owner, ports={PORT: PORT})
        if work.start:
            node.engine.start(self._spec.container)

    def unproved(self, node: Node) -> str:
        """The container, as long as no boot has brought it back."""
        return unproved(node, self._spec.container) if node.name == self._spec.node else ""

    def _finding(self, reading: PublishedReading) -> Finding[PublishedJob]:
        name, found = self._spec.container, reading.container
        after = f"{name} running, port {PORT} published"
        if found is None:
            if not reading.has_image:
                why, remedy = no_image(self._spec)
                return blocked(f"{name} absent", after, why, remedy=remedy)
            return pending(f"{name} absent", after, PublishedJob(create=True, start=True))
        different = differences(found, self._spec, self._owner)
        port = found.published.get(f"{PORT}/tcp", "")
        if port != str(PORT):
            different.append(Difference("published port", str(PORT), port))
        if different:
            return refused(
                f"{name} {found.state}",
                f"{found.full_name} exists and is not as wanted: {'; '.join(map(str, different))}",
                remedy=f"remove it: docker rm -f {name}",
            )
        if not found.running:
            return pending(f"{name} {found.state}", after, PublishedJob(start=True))
        return satisfied(after)
