"""Places and runs containers on the overlay, and removes the runbook's containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineError, EngineNotFound, StoreUnavailable
from runbook_lib.facts.control_planes.base import FULL_ACCESS, ControlPlane, OverlayAccess
from runbook_lib.facts.docker.containers import ContainerFacts, read_container, read_containers
from runbook_lib.facts.docker.networks import LostNetwork, NetworkFacts, lost_networks, read_network
from runbook_lib.model.parameters import ContainerSpec, Overlay
from runbook_lib.steps.base import (
    CONTAINERS_NOTEBOOK,
    OWNER_LABEL,
    Difference,
    Finding,
    Say,
    Step,
    blocked,
    made_by,
    owner_labels,
    pending,
    refused,
    satisfied,
    unequal,
)
from runbook_lib.steps.connections import connect_with_address
from runbook_lib.steps.gossip import retry_while_store_fails, wait_for_gossip
from runbook_lib.steps.leftovers import force_disconnect, stale_endpoints
from runbook_lib.steps.turns import Turns


def place(containers: Sequence[ContainerSpec], loads: Mapping[str, int], existing: Mapping[str, str]) -> dict[str, str]:
    """The node of every container, by its name.

    A container with a ``node`` goes there. Of the others, an existing one stays (``existing``: name to node), and the
    rest go one by one to the node with the fewest containers, equal nodes in the order of
    ``loads`` (the running containers of each node that can take one). The same input always gives the same places.

    Raises:
        ValueError: a container needs a node and no node can take one.
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
    """An image reference with tag: ``alpine`` is ``alpine:latest``."""
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


def has_image(node: Node, image: str) -> bool:
    """Whether the node has an image. Raises ``RunbookError``."""
    try:
        node.engine.image(full_image_name(image))
    except EngineNotFound:
        return False
    return True


def no_image(container: str, image: str) -> tuple[str, str]:
    """The error for a missing image, and the remedy."""
    name = full_image_name(image)
    return f"{container} needs the image {name}, which this node does not have", f"docker pull {name}"


COMMAND = ("/bin/sh",)
STOP_SECONDS = 1
# After a crash while the store kept running, an engine tries at each start to restore the endpoints of its local
# database in a namespace that is gone; from then on no container of that node can join the overlay.
_LOST_SANDBOX = "could not get network sandbox"
_LOCAL_STORE = "/var/lib/docker/network/files/local-kv.db"


@dataclass(frozen=True)
class ContainersReading:
    """A node's containers, the network, its images, and (without the network) its engine's ``access``."""

    containers: tuple[ContainerFacts, ...]
    network: NetworkFacts | None
    images: frozenset[str]
    access: OverlayAccess = FULL_ACCESS

    @property
    def running(self) -> int:
        """How many of its containers run."""
        return sum(item.running for item in self.containers)


@dataclass(frozen=True)
class Job:
    """What one container needs, in this order; ``release`` removes a stale endpoint of its name."""

    spec: ContainerSpec
    release: bool = False
    create: bool = False
    connect: bool = False
    start: bool = False


@dataclass(frozen=True)
class _ClusterView:
    """All readings joined: which containers have a name, which names have stale endpoints."""

    holders: Mapping[str, tuple[ContainerFacts, ...]]
    places: Mapping[str, str]
    stale: frozenset[str]
    missing: frozenset[str]
    network_exists: bool
    lost: Mapping[str, LostNetwork]


class RunContainers(Step[ContainersReading, tuple[Job, ...]]):
    """Makes every container run on its node and on the overlay, as ``docker run -dti NAME IMAGE /bin/sh``.

    A stopped one is started; one of the runbook's that lost its network is connected again. A container of that name
    with
    another image, network or node is never changed: its differences are listed. Names are unique in the cluster. A
    stale endpoint of the name (after a crash) is removed first.

    Engines assign the lowest free address when a container starts. So containers start in the order of the parameters,
    whatever their nodes; all else runs in parallel.
    """

    name = "run containers"
    settle_seconds = 5.0

    def __init__(
        self, containers: Sequence[ContainerSpec], overlay: Overlay, control_plane: ControlPlane, owner: str
    ) -> None:
        self._containers = tuple(containers)
        self._network = overlay.name
        self._control_plane = control_plane
        self._owner = owner
        self._turns = Turns()

    def read(self, node: Node) -> ContainersReading:
        """Containers, network and images of one node."""
        network = read_network(node, self._network)
        access = self._control_plane.read_overlay_access(node) if network is None else FULL_ACCESS
        wanted = {full_image_name(item.image) for item in self._containers}
        images = frozenset(name for name in wanted if has_image(node, name))
        return ContainersReading(read_containers(node), network, images, access)

    def assess(
        self, readings: Mapping[str, ContainersReading], missing: frozenset[str]
    ) -> Mapping[str, Finding[tuple[Job, ...]]]:
        """Place the containers, then compare each node with what it should run."""
        view = self._view(readings, missing)
        return {name: self._finding(name, reading, view) for name, reading in readings.items()}

    def contradicted(self, readings: Mapping[str, ContainersReading]) -> Collection[str]:
        """The nodes whose engine does not find a network that others list."""
        return self._lost(readings)

    def _lost(self, readings: Mapping[str, ContainersReading]) -> dict[str, LostNetwork]:
        able = {name: reading for name, reading in readings.items() if not reading.access.trouble}
        return lost_networks(
            self._network,
            {name: reading.network for name, reading in able.items()},
            [item for reading in readings.values() for item in reading.containers],
            [name for name, reading in able.items() if reading.access.manages],
        )

    def begin(self, work: Mapping[str, tuple[Job, ...]]) -> Turns:
        """Containers get their addresses in the order of the parameters."""
        nodes = {job.spec.name: node for node, jobs in work.items() for job in jobs}
        self._turns = Turns([(nodes[spec.name], spec.name) for spec in self._containers if spec.name in nodes])
        return self._turns

    def apply(self, cluster: Cluster, node: Node, work: tuple[Job, ...], say: Say) -> None:
        """Do the jobs of one node, one after the other."""
        wait_for_gossip(node, self._control_plane, say)
        for job in work:
            name = job.spec.name
            say(f"running {name}")
            if job.release:
                force_disconnect(cluster, node, self._control_plane, self._network, name)
            if job.create:
                node.engine.create_container(
                    name,
                    full_image_name(job.spec.image),
                    command=COMMAND,
                    network=self._network,
                    tty=True,
                    # a shell on a terminal ignores SIGTERM and would delay the host's shutdown
                    stop_timeout=STOP_SECONDS,
                    labels=owner_labels(self._owner, CONTAINERS_NOTEBOOK),
                )
            with self._turns.take(node.name, name):
                attach = partial(self._attach, cluster, node, job)
                retry_while_store_fails(node, self._control_plane, self._network, attach, say)

    def _attach(self, cluster: Cluster, node: Node, job: Job) -> None:
        """Connect or start a container, which assigns its address.

        Raises:
            StoreUnavailable: it runs, but the engine recorded no address: retry.
            RunbookError: the node does not answer, or its engine refuses.
        """
        name = job.spec.name
        if job.connect or self._is_forgotten(node, name):
            connect_with_address(cluster, node, self._control_plane, name, self._network)
        if job.start:
            _start(node, name)
        if self._is_forgotten(node, name):
            why = f"the engine has recorded no address for {name} on {self._network}"
            raise StoreUnavailable(node.name, f"start {name}", why, remedy=self._control_plane.remedy)

    def _is_forgotten(self, node: Node, name: str) -> bool:
        """Whether a container runs on the network but Docker does not know its address (see connect_with_address)."""
        found = read_container(node, name)
        return found is not None and self._forgets(found)

    def _forgets(self, found: ContainerFacts) -> bool:
        return found.running and self._network in found.networks and not found.addresses.get(self._network)

    def _view(self, readings: Mapping[str, ContainersReading], missing: frozenset[str]) -> _ClusterView:
        everything = [item for reading in readings.values() for item in reading.containers]
        holders = {spec.name: tuple(item for item in everything if item.name == spec.name) for spec in self._containers}
        networks = [reading.network for reading in readings.values() if reading.network is not None]
        # a swarm worker lists the network from its first container on
        loads = {
            name: reading.running
            for name, reading in readings.items()
            if reading.network is not None or (networks and not reading.access.manages)
        }
        stale = [endpoint for network in networks for endpoint in stale_endpoints(network, everything)]
        return _ClusterView(
            holders,
            place(
                self._containers, loads or dict.fromkeys(readings, 0), {k: v[0].node for k, v in holders.items() if v}
            )
            if readings
            else {},
            frozenset(stale),
            missing,
            bool(networks),
            self._lost(readings),
        )

    def _finding(self, node: str, reading: ContainersReading, view: _ClusterView) -> Finding[tuple[Job, ...]]:
        own = [spec for spec in self._containers if view.places[spec.name] == node]
        if not own:
            return satisfied("", "nothing is placed here")
        before = ", ".join(_describe(spec.name, node, view, self._network) for spec in own)
        after = ", ".join(f"{spec.name} running on {self._network}" for spec in own)
        if reading.access.trouble:
            return blocked(before, after, reading.access.trouble, remedy=self._control_plane.remedy)
        if node in view.lost:
            return blocked(before, after, view.lost[node].why, remedy=view.lost[node].remedy)
        if reading.network is None and (reading.access.manages or not view.network_exists):
            no_network, remedy = f"there is no network {self._network}", "notebook 03_create_overlay creates it"
            return blocked(before, after, no_network, remedy=remedy)
        jobs, details = [], []
        for spec in own:
            refusal = self._refusal(spec, node, reading, view)
            if refusal is not None:
                return refused(before, refusal[0], remedy=refusal[1])
            job = self._job(spec, view)
            if job.release:
                details.append(f"removes the stale endpoint {spec.name} from {self._network}")
            if job != Job(spec):
                jobs.append(job)
        if not jobs:
            return satisfied(before)
        return pending(before, after, tuple(jobs), "; ".join(details))

    def _job(self, spec: ContainerSpec, view: _ClusterView) -> Job:
        holders, stale = view.holders[spec.name], spec.name in view.stale
        if not holders:
            return Job(spec, release=stale, create=True, start=True)
        attached = self._network in holders[0].networks
        running = holders[0].running
        forgotten = self._forgets(holders[0])
        return Job(
            spec, release=stale and not (running and attached), connect=not attached or forgotten, start=not running
        )

    def _refusal(
        self, spec: ContainerSpec, node: str, reading: ContainersReading, view: _ClusterView
    ) -> tuple[str, str] | None:
        """Why a container cannot be run as wanted, and the remedy."""
        name, holders, missing = spec.name, view.holders[spec.name], ", ".join(sorted(view.missing))
        if len(holders) > 1:
            where = ", ".join(item.full_name for item in holders)
            return f"there is more than one container named {name}: {where}", f"remove one: docker rm -f {name}"
        if holders:
            remedy = f"on {holders[0].node}: docker rm -f {name}"
            different = self._differences(spec, node, holders[0])
            if different:
                return (
                    f"{holders[0].full_name} exists with other settings: {'; '.join(map(str, different))}",
                    f"remove it ({remedy}), or give the container another name",
                )
            return None
        if missing and spec.node is None:
            return f"{missing} did not answer, so it is unknown whether {name} runs there", "bring that node back"
        if missing and name in view.stale:
            return f"the network has an endpoint {name}, which may belong to {missing}", "bring that node back"
        if full_image_name(spec.image) not in reading.images:
            why, remedy = no_image(name, spec.image)
            return why, f"on {node}: {remedy}"
        return None

    def _owns(self, container: ContainerFacts) -> bool:
        return container.labels.get(OWNER_LABEL) == self._owner

    def _differences(self, spec: ContainerSpec, node: str, found: ContainerFacts) -> list[Difference]:
        rows = [("image", full_image_name(spec.image), full_image_name(found.image)), ("node", node, found.node)]
        ours = self._owns(found)
        others = [name for name in found.networks if name != "none"]
        if self._network not in found.networks and (others or not ours):
            rows.insert(1, ("network", self._network, ", ".join(others)))
        return unequal(rows)


class RemoveContainers(Step[tuple[ContainerFacts, ...], tuple[str, ...]]):
    """Removes the containers with our owner label, running or not, and no others.

    With ``notebook`` only those that it created; our others stay, and the row reports them.
    """

    name = "remove containers"

    def __init__(self, owner: str, notebook: str = "") -> None:
        self._owner = owner
        self._notebook = notebook

    def read(self, node: Node) -> tuple[ContainerFacts, ...]:
        """Our containers on the node."""
        return tuple(item for item in read_containers(node) if item.labels.get(OWNER_LABEL) == self._owner)

    def assess(
        self, readings: Mapping[str, tuple[ContainerFacts, ...]], missing: frozenset[str]
    ) -> Mapping[str, Finding[tuple[str, ...]]]:
        """Pending where there is one."""
        return {name: self._finding(own) for name, own in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: tuple[str, ...], say: Say) -> None:
        """Remove them by their IDs."""
        for container in work:
            node.engine.remove_container(container, force=True)

    def _finding(self, own: tuple[ContainerFacts, ...]) -> Finding[tuple[str, ...]]:
        makers = {item.name: made_by(item.labels, CONTAINERS_NOTEBOOK) for item in own}
        mine = [item for item in own if self._notebook in ("", makers[item.name])]
        stay = [
            f"{name} stays: notebook {maker} created it" for name, maker in makers.items() if maker != self._notebook
        ]
        detail = "; ".join(stay) if self._notebook else ""
        none = f"none created by {self._notebook}" if detail else "none of ours"
        if not mine:
            return satisfied(none, detail)
        return pending(", ".join(item.name for item in mine), none, tuple(item.id for item in mine), detail)


def _start(node: Node, name: str) -> None:
    """Start a container; adds the remedy if the engine cannot join overlays since a crash."""
    try:
        node.engine.start(name)
    except EngineError as error:
        if _LOST_SANDBOX not in error.explanation:
            raise
        raise EngineError(
            node.name,
            error.call,
            f"since a crash this engine cannot join the network ({_LOST_SANDBOX}, moby#25215)",
            status=error.status,
            remedy=f"on {node.name}: stop the engine, delete {_LOCAL_STORE} (it recreates local networks), start it",
        ) from error


def _describe(name: str, node: str, view: _ClusterView, network: str) -> str:
    found = view.holders[name]
    if not found:
        return f"{name} absent"
    item = found[0]
    where = f" on {item.node}" if item.node != node else ""
    address = item.addresses.get(network)
    at = f" {address}" if address else (f" on {', '.join(item.networks)}" if item.networks else " on no network")
    return f"{name} {item.state}{where}{at}"
