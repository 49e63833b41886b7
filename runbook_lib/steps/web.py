"""The containers that are looked at from outside: each serves its own name at one TCP port."""

from __future__ import annotations

from collections.abc import Mapping

from runbook_lib.cluster import Node
from runbook_lib.errors import EngineNotFound
from runbook_lib.facts.boot import read_boot_clock
from runbook_lib.facts.containers import ContainerFacts, read_container
from runbook_lib.model.external import PORT, External
from runbook_lib.steps.base import EXTERNAL_LABEL, EXTERNAL_NOTEBOOK, OWNER_LABEL, our_labels
from runbook_lib.steps.networks import Difference
from runbook_lib.steps.placement import full_image_name

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


def has_image(node: Node, spec: External) -> bool:
    """Whether the node has the container's image. Raises ``RunbookError``."""
    try:
        node.engine.image(full_image_name(spec.image))
    except EngineNotFound:
        return False
    return True


def no_image(spec: External) -> tuple[str, str]:
    """Why a container cannot be made without its image, and the remedy."""
    image = full_image_name(spec.image)
    return f"{spec.container} needs the image {image}, which this node does not have", f"docker pull {image}"


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
    if found is None or not read_boot_clock(node).is_since_text(found.created_at):
        return ""
    return container


def differences(found: ContainerFacts, spec: External, owner: str) -> list[Difference]:
    """In what an existing container is not the wanted one, whatever its address."""
    pairs = [
        ("image", full_image_name(spec.image), full_image_name(found.image)),
        ("network", spec.network, ", ".join(found.networks).replace("default", "bridge")),
        ("restart policy", RESTART_POLICY, found.restart_policy),
        ("owner", owner, found.labels.get(OWNER_LABEL, "")),
        ("made for", spec.way, found.labels.get(EXTERNAL_LABEL, "")),
    ]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]
