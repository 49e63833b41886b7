"""Creates the overlay network, and removes the runbook's networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes.base import FULL_ACCESS, ControlPlane, OverlayAccess
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.docker.networks import (
    GATEWAY_BRIDGE,
    LostNetwork,
    NetworkFacts,
    lost_networks,
    read_network,
    read_networks,
)
from runbook_lib.facts.host.host import REMEDY, read_encryption
from runbook_lib.model.parameters import Overlay
from runbook_lib.steps.base import (
    CONTAINERS_NOTEBOOK,
    OVERLAY_NOTEBOOK,
    OWNER_LABEL,
    Difference,
    Finding,
    Say,
    Step,
    Verb,
    blocked,
    made_by,
    owner_labels,
    pending,
    refused,
    satisfied,
    skipped,
    unequal,
)
from runbook_lib.steps.leftovers import bridge_labels, force_disconnect, stale_endpoints

OVERLAY_DRIVER = "overlay"
# Set by Docker itself in Swarm mode.
_DOCKERS_OWN_OPTIONS = ("com.docker.network.driver.overlay.vxlanid_list",)
_ENCRYPTED = "encrypted"


@dataclass(frozen=True)
class NetworkReading:
    """The networks of one name that a node's engine lists; if none, its access to overlays.

    ``containers`` (of the node, read only then) may be on it nevertheless.
    ``cannot_encrypt`` is why the node's kernel cannot, if encryption is wanted; ``bridged``: the node already has
    docker_gwbridge.
    """

    networks: tuple[NetworkFacts, ...]
    access: OverlayAccess = FULL_ACCESS
    cannot_encrypt: str = ""
    bridged: bool = False
    containers: tuple[ContainerFacts, ...] = ()


def differences(overlay: Overlay, network: NetworkFacts, control_plane: ControlPlane) -> list[Difference]:
    """The settings in which an existing network differs from the wanted overlay. An unset subnet matches any."""
    options = {key: value for key, value in network.options.items() if key not in _DOCKERS_OWN_OPTIONS}
    rows = [("driver", OVERLAY_DRIVER, network.driver), ("scope", control_plane.scope, network.scope)]
    if overlay.subnet is not None:
        rows.append(("subnet", overlay.subnet, network.subnet))
    wanted = driver_options(overlay)
    rows += [(f"option {key}", _shown(wanted, key), _shown(options, key)) for key in sorted({*wanted, *options})]
    rows.append(("internal", "no", "yes" if network.internal else "no"))
    if control_plane.attachable and not network.attachable:
        rows.append(("attachable", "yes", f"no (network {network.name} not manually attachable)"))
    return unequal(rows)


def driver_options(overlay: Overlay) -> dict[str, str]:
    """The overlay's driver options, with ``encrypted`` if wanted."""
    return {**overlay.options, **({_ENCRYPTED: ""} if overlay.encrypted else {})}


def _shown(options: Mapping[str, str], key: str) -> str:
    """An option's value, or "set" without a value."""
    return options[key] or "set" if key in options else ""


class CreateNetwork(Step[NetworkReading, dict[str, str]]):
    """Makes every node list the same overlay network with the wanted settings.

    It is created once, on the first possible node; new readings verify that the others list it through the control
    plane. A swarm worker lists it from its first container on. An existing network with other settings is never
    changed: its differences are listed. The work is its labels, which also name the nodes without docker_gwbridge:
    clean-up removes the bridges that came with the overlay.
    """

    settle_seconds = 5.0

    def __init__(self, overlay: Overlay, control_plane: ControlPlane, owner: str) -> None:
        self.name = f"create network {overlay.name}"
        self._overlay = overlay
        self._control_plane = control_plane
        self._owner = owner

    def read(self, node: Node) -> NetworkReading:
        """The networks of that name; if none, whether the engine can create one."""
        everything = read_networks(node)
        found = tuple(item for item in everything if item.name == self._overlay.name)
        if found:
            return NetworkReading(found)
        cannot_encrypt = read_encryption(node) if self._overlay.encrypted else ""
        bridged = any(item.name == GATEWAY_BRIDGE for item in everything)
        access = self._control_plane.read_overlay_access(node)
        return NetworkReading((), access, cannot_encrypt, bridged, read_containers(node))

    def contradicted(self, readings: Mapping[str, NetworkReading]) -> Collection[str]:
        """The nodes whose engine does not list the network, while another does or a container is on it."""
        return self._lost(readings)

    def _lost(self, readings: Mapping[str, NetworkReading]) -> dict[str, LostNetwork]:
        able = {name: reading for name, reading in readings.items() if not reading.access.trouble}
        return lost_networks(
            self._overlay.name,
            {name: next(iter(reading.networks), None) for name, reading in able.items()},
            [item for reading in readings.values() for item in reading.containers],
            [name for name, reading in able.items() if reading.access.manages],
        )

    def assess(
        self, readings: Mapping[str, NetworkReading], missing: frozenset[str]
    ) -> Mapping[str, Finding[dict[str, str]]]:
        """The same ID and the wanted settings on every node."""
        ids = sorted({network.id for reading in readings.values() for network in reading.networks})
        if len(ids) > 1:
            return {name: self._ambiguous(reading, ids) for name, reading in readings.items()}
        plain = {name: reading.cannot_encrypt for name, reading in readings.items() if reading.cannot_encrypt}
        if plain:
            return {name: self._unencrypted(plain.get(name, ""), plain) for name in readings}
        able = [name for name, reading in readings.items() if reading.access == FULL_ACCESS]
        lost = self._lost(readings)
        creator = able[0] if able and not ids and not lost else ""
        if not ids and not able and not missing and not lost:
            return {name: self._no_creator(reading) for name, reading in readings.items()}
        labels = self._labels(readings)
        return {
            name: self._finding(name, reading, creator, labels, lost.get(name)) for name, reading in readings.items()
        }

    def apply(self, cluster: Cluster, node: Node, work: dict[str, str], say: Say) -> None:
        """Create it."""
        node.engine.create_network(
            self._overlay.name,
            driver=OVERLAY_DRIVER,
            subnet=self._overlay.subnet,
            options=driver_options(self._overlay),
            labels=work,
            attachable=self._control_plane.attachable or None,
        )

    def _labels(self, readings: Mapping[str, NetworkReading]) -> dict[str, str]:
        labels = owner_labels(self._owner, OVERLAY_NOTEBOOK)
        if self._control_plane.bridges_every_node:
            return labels
        return labels | bridge_labels({name: reading.bridged for name, reading in readings.items()})

    def _finding(
        self,
        node: str,
        reading: NetworkReading,
        creator: str,
        labels: dict[str, str],
        lost: LostNetwork | None,
    ) -> Finding[dict[str, str]]:
        wanted = self._wanted
        if reading.access.trouble:
            return blocked("not known", wanted, reading.access.trouble, remedy=self._control_plane.remedy)
        if lost is not None:  # nothing to do on this node
            return pending("no such network", wanted, None, f"{lost.why}; remedy: {lost.remedy}")
        if not reading.networks and not reading.access.manages:
            return satisfied("not seen yet", "a worker lists it from its first container on")
        if not reading.networks:
            if not creator:
                return pending("no such network", wanted, None, "another node lists it, this one does not")
            detail = "created here" if node == creator else f"created on {creator}, listed here"
            return pending("no such network", wanted, labels if node == creator else None, detail)
        network = reading.networks[0]
        if not network.driver:
            return pending("being created", wanted, None, "a manager is still creating it")
        different = differences(self._overlay, network, self._control_plane)
        if different:
            return refused(
                _describe(network),
                f"{self._overlay.name} exists with other settings: {'; '.join(map(str, different))}",
                remedy=f"rename the overlay, or remove the empty network: docker network rm {self._overlay.name}",
            )
        return satisfied(_describe(network), self._owner_detail(network))

    @property
    def _wanted(self) -> str:
        return f"{OVERLAY_DRIVER} {self._overlay.subnet or '(subnet by Docker)'}"

    def _no_creator(self, reading: NetworkReading) -> Finding[dict[str, str]]:
        access = reading.access
        if access.trouble:
            return blocked("not known", self._wanted, access.trouble, remedy=self._control_plane.remedy)
        why, remedy = "only a manager can create networks, this node is a worker", "add a manager to the inventory"
        return blocked("no such network", self._wanted, why, remedy=remedy)

    def _unencrypted(self, why: str, plain: Mapping[str, str]) -> Finding[dict[str, str]]:
        """All nodes or none: packets between an encrypting and a plain node are lost."""
        why = why or f"not supported by {', '.join(plain)}, so not used on this node either"
        return refused("no such network", f"it cannot be encrypted: {why}", remedy=REMEDY)

    def _ambiguous(self, reading: NetworkReading, ids: list[str]) -> Finding[dict[str, str]]:
        seen = ", ".join(network.id[:12] for network in reading.networks) or "no such network"
        return refused(
            seen,
            f"there is more than one network named {self._overlay.name}: {', '.join(key[:12] for key in ids)}",
            remedy="remove the wrong one by its ID: docker network rm ID",
        )

    def _owner_detail(self, network: NetworkFacts) -> str:
        owner = network.labels.get(OWNER_LABEL, "")
        if owner == self._owner:
            return ""
        return f"it is {f'owned by {owner}' if owner else 'not ours'}: clean-up will leave it"


@dataclass(frozen=True)
class OwnedNetworks:
    """The networks of one owner that a node lists, with their endpoints, and all containers of the node.

    ``manages``: its engine may remove cluster-wide networks. ``unread`` are those that it lists but does not find by
    name.
    """

    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]
    manages: bool = True
    unread: tuple[LostNetwork, ...] = ()


@dataclass(frozen=True)
class NetworkRemoval:
    """Networks to remove on one node, each with the stale endpoints to remove before."""

    networks: tuple[tuple[str, tuple[str, ...]], ...]


class RemoveNetworks(Step[OwnedNetworks, NetworkRemoval]):
    """Removes the networks with our owner label, and no others.

    A network with other containers on it is refused, naming them. Stale endpoints (after a crash) are removed first. A
    cluster-wide network is removed once, from the first node that may. With ``notebook`` only the networks that it
    created are removed, and our containers on them, which no earlier step removes then, are a refusal too.
    """

    name = "remove networks"
    settle_seconds = 5.0

    def __init__(self, owner: str, control_plane: ControlPlane, notebook: str = "") -> None:
        self._owner = owner
        self._control_plane = control_plane
        self._notebook = notebook

    def read(self, node: Node) -> OwnedNetworks:
        """Our networks with their endpoints, and all containers."""
        own = [item for item in read_networks(node) if self._is_to_go(item)]
        detailed = [(item, read_network(node, item.id)) for item in own]
        networks = tuple(found for _, found in detailed if found is not None)
        unread = tuple(
            LostNetwork(node.name, item.name, item.id, "it lists itself", found=True)
            for item, found in detailed
            if found is None
        )
        manages = not networks or self._control_plane.read_manages(node)
        return OwnedNetworks(networks, read_containers(node), manages, unread)

    def contradicted(self, readings: Mapping[str, OwnedNetworks]) -> Collection[str]:
        """The nodes whose engine lists a network of ours but does not find it by name."""
        return [name for name, reading in readings.items() if reading.unread]

    def assess(
        self, readings: Mapping[str, OwnedNetworks], missing: frozenset[str]
    ) -> Mapping[str, Finding[NetworkRemoval]]:
        """Pending on every node that lists one; the first possible node removes a cluster-wide one."""
        containers = [item for reading in readings.values() for item in reading.containers]
        removers: dict[str, str] = {}
        tellers: dict[str, str] = {}  # a cluster-wide network is refused once, not by every node
        for name, reading in readings.items():
            for network in reading.networks:
                tellers.setdefault(name if network.scope == "local" else network.id, name)
                if reading.manages or network.scope == "local":
                    removers.setdefault(network.id, name)
        findings: dict[str, Finding[NetworkRemoval]] = {}
        for name, reading in readings.items():
            finding = self._finding(name, reading, containers, removers, missing)
            told = [tellers[name if item.scope == "local" else item.id] for item in reading.networks]
            said = name not in told and all(findings[teller].verb is Verb.REFUSED for teller in told)
            if finding.verb is Verb.REFUSED and said:
                finding = skipped(f"stays: see {', '.join(dict.fromkeys(told))}", finding.before)
            findings[name] = finding
        return findings

    def apply(self, cluster: Cluster, node: Node, work: NetworkRemoval, say: Say) -> None:
        """Remove stale endpoints, then the networks."""
        for network, stale in work.networks:
            for endpoint in stale:
                force_disconnect(cluster, node, self._control_plane, network, endpoint)
            node.engine.remove_network(network)

    def _finding(
        self,
        node: str,
        reading: OwnedNetworks,
        containers: list[ContainerFacts],
        removers: Mapping[str, str],
        missing: frozenset[str],
    ) -> Finding[NetworkRemoval]:
        for lost in reading.unread:
            return pending(lost.network, "none of ours", None, f"{lost.why}; remedy: {lost.remedy}")
        if not reading.networks:
            return satisfied("none of ours")
        names = ", ".join(network.name for network in reading.networks)
        guests = [
            item
            for item in containers
            if any(
                network.name in item.networks and (network.scope != "local" or item.node == node)
                for network in reading.networks
            )
        ]
        refusal = self._held_by(reading.networks, guests)
        if refusal is not None:
            return refusal
        work: list[tuple[str, tuple[str, ...]]] = []
        stale_names: list[str] = []
        for network in reading.networks:
            if removers.get(network.id) != node:
                continue
            stale = stale_endpoints(network, containers)
            if stale and missing:
                return refused(
                    names,
                    f"endpoints {', '.join(stale)} may belong to containers on {', '.join(sorted(missing))}",
                    remedy="bring that node back first",
                )
            work.append((network.id, stale))
            stale_names += stale
        detail = f"removes stale endpoints: {', '.join(stale_names)}" if stale_names else ""
        return pending(names, "none of ours", NetworkRemoval(tuple(work)) if work else None, detail)

    def _is_to_go(self, network: NetworkFacts) -> bool:
        ours = network.labels.get(OWNER_LABEL) == self._owner
        return ours and self._notebook in ("", made_by(network.labels, OVERLAY_NOTEBOOK))

    def _held_by(
        self, networks: Sequence[NetworkFacts], guests: list[ContainerFacts]
    ) -> Finding[NetworkRemoval] | None:
        """Why networks stay because of containers on them, running or not; else ``None``."""
        unknown_peers = [item for item in guests if item.labels.get(OWNER_LABEL) != self._owner]
        foreign = [item.full_name for item in unknown_peers]
        ours: dict[str, list[str]] = {}
        for item in guests:
            if self._notebook and item.full_name not in foreign:
                ours.setdefault(made_by(item.labels, CONTAINERS_NOTEBOOK), []).append(item.full_name)
        if not foreign and not ours:
            return None
        whys = [f"other owners' containers are on it: {', '.join(foreign)}"] if foreign else []
        whys += [f"containers of notebook {maker} are on it: {', '.join(own)}" for maker, own in ours.items()]
        # a restarting container has no endpoint between two starts
        commands = [
            f"'{f'docker stop {item.name}; ' if item.state == 'restarting' else ''}"
            f"docker network disconnect {network.name} {item.name}' on {item.node}"
            for item in unknown_peers
            for network in networks
            if network.name in item.networks
        ]
        theirs = f"ask their owner to disconnect them ({', '.join(commands)}): the runbook changes only its own objects"
        remedies = [theirs] if foreign else []
        remedies += [f"undo notebook {maker} first" for maker in ours]
        names = ", ".join(network.name for network in networks)
        return refused(names, "; ".join(whys), remedy=", ".join(remedies))


def _describe(network: NetworkFacts) -> str:
    return f"{network.driver} {network.subnet} {network.id[:12]}".replace("  ", " ")
