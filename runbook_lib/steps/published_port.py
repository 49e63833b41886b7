"""Makes a container reachable from outside at a published port: it serves its own name at one TCP port."""

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
    owner_labels,
    pending,
    refused,
    satisfied,
    unequal,
)
from runbook_lib.steps.containers import full_image_name, has_image, no_image

RESTART_POLICY = "unless-stopped"
STOP_SECONDS = 1

# One line of busybox. netcat's option for repeated listening is -lk since 1.37, -ll before.
_ANSWER = (
    'while read -r line && [ "${#line}" -gt 1 ]; do :; done; '
    'printf "HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n" "$NAME"'
)
_COMMAND = (
    f"export ANSWER='{_ANSWER}'; "
    f'nc -lk -p {PORT} -e sh -c "$ANSWER" 2>/dev/null || exec nc -ll -p {PORT} -e sh -c "$ANSWER"'
)


def labels(mode: str, owner: str) -> dict[str, str]:
    """The labels of our objects for that mode."""
    return owner_labels(owner, EXTERNAL_NOTEBOOK) | {EXTERNAL_LABEL: mode}


def create(
    node: Node, spec: External, owner: str, *, address: str | None = None, ports: Mapping[int, int] | None = None
) -> None:
    """Create the container; it restarts with its engine. Raises ``RunbookError``."""
    node.engine.create_container(
        spec.container,
        full_image_name(spec.image),
        command=["sh", "-c", _COMMAND],
        environment={"NAME": spec.container},
        network=spec.network,
        address=address,
        ports=ports,
        restart_policy=RESTART_POLICY,
        # a shell as process 1 ignores SIGTERM and would delay the host's shutdown
        stop_timeout=STOP_SECONDS,
        labels=labels(spec.mode, owner),
    )


def changed_since_boot(node: Node, container: str) -> str:
    """The container, if it has not come back from a boot yet; empty without one. Raises ``RunbookError``."""
    found = read_container(node, container)
    if found is None or not read_boot_clock(node).is_text_after_boot(found.created_at):
        return ""
    return container


def differences(found: ContainerFacts, spec: External, owner: str) -> list[Difference]:
    """The settings in which an existing container differs, except its address."""
    return unequal(
        [
            ("image", full_image_name(spec.image), full_image_name(found.image)),
            ("network", spec.network, ", ".join(found.networks).replace("default", "bridge")),
            ("restart policy", RESTART_POLICY, found.restart_policy),
            ("owner", owner, found.labels.get(OWNER_LABEL, "")),
            ("made for", spec.mode, found.labels.get(EXTERNAL_LABEL, "")),
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

    A container of that name that differs is never changed: its differences are listed.
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

    def changed_since_boot(self, node: Node) -> str:
        """The container, if it has not come back from a boot yet."""
        return changed_since_boot(node, self._spec.container) if node.name == self._spec.node else ""

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
                f"{found.full_name} exists with other settings: {'; '.join(map(str, different))}",
                remedy=f"remove it: docker rm -f {name}",
            )
        if not found.running:
            return pending(f"{name} {found.state}", after, PublishedJob(start=True))
        return satisfied(after)
