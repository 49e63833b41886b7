"""Makes a container reachable from outside in the simple way: at a port of its node.

The containers that are looked at from outside: each serves its own name at one TCP port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.containers import ContainerFacts, read_container
from runbook_lib.facts.host.host import read_boot_clock
from runbook_lib.model.parameters import PORT, External
from runbook_lib.steps.base import (
    EXTERNAL_LABEL,
    EXTERNAL_NOTEBOOK,
    OWNER_LABEL,
    Difference,
    Finding,
    Say,
    Step,
    blocked,
    our_labels,
    pending,
    refused,
    satisfied,
    unequal,
)
from runbook_lib.steps.containers import full_image_name, has_image, no_image

RESTART_POLICY = "unless-stopped"
STOP_SECONDS = 1

# One line of busybox, as every alpine has it. netcat's word for "go on listening" is -lk since 1.37, -ll before.
_ANSWER = (
    'while read -r line && [ "${#line}" -gt 1 ]; do :; done; '
    'printf "HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n" "$NAME"'
)
_COMMAND = (
    f"export ANSWER='{_ANSWER}'; "
    f'nc -lk -p {PORT} -e sh -c "$ANSWER" 2>/dev/null || exec nc -ll -p {PORT} -e sh -c "$ANSWER"'
)


def labels(way: str, owner: str) -> dict[str, str]:
    """What marks an object as ours, and as made for that way."""
    return our_labels(owner, EXTERNAL_NOTEBOOK) | {EXTERNAL_LABEL: way}


def create(
    node: Node, spec: External, owner: str, *, address: str | None = None, ports: Mapping[int, int] | None = None
) -> None:
    """Make the container: it comes back by itself whenever its engine starts. Raises ``RunbookError``."""
    node.engine.create_container(
        spec.container,
        full_image_name(spec.image),
        command=["sh", "-c", _COMMAND],
        environment={"NAME": spec.container},
        network=spec.network,
        address=address,
        ports=ports,
        restart_policy=RESTART_POLICY,
        # a shell that is the first process ignores SIGTERM, and a host that goes down would wait for it
        stop_timeout=STOP_SECONDS,
        labels=labels(spec.way, owner),
    )


def unproved(node: Node, container: str) -> str:
    """The container, as long as no boot of its node has brought it back; empty without one. Raises ``RunbookError``."""
    found = read_container(node, container)
    if found is None or not read_boot_clock(node).is_text_after_boot(found.created_at):
        return ""
    return container


def differences(found: ContainerFacts, spec: External, owner: str) -> list[Difference]:
    """In what an existing container is not the wanted one, whatever its address."""
    return unequal(
        [
            ("image", full_image_name(spec.image), full_image_name(found.image)),
            ("network", spec.network, ", ".join(found.networks).replace("default", "bridge")),
            ("restart policy", RESTART_POLICY, found.restart_policy),
            ("owner", owner, found.labels.get(OWNER_LABEL, "")),
            ("made for", spec.way, found.labels.get(EXTERNAL_LABEL, "")),
        ]
    )


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
        return PublishedReading(read_container(node, self._spec.container), has_image(node, self._spec.image))

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
                why, remedy = no_image(self._spec.container, self._spec.image)
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
