"""What a notebook needs from earlier notebooks, checked on the live cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from IPython.display import publish_display_data

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import InputError, PreconditionError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import ControlPlane, read_advertised
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.docker.networks import (
    STORE_RECHECK_SECONDS,
    LostNetwork,
    NetworkFacts,
    lost_networks,
    read_network,
)
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.facts.overlay.gossip import GOSSIP_PORT, gossip_faults
from runbook_lib.model.commands import run_command
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Verdict
from runbook_lib.session.claim import answers
from runbook_lib.session.views.display import attended
from runbook_lib.tables.frame import FLAG, Column, Table
from runbook_lib.verify.members import judge_advertised
from runbook_lib.waiting import Deadline

# An engine looks for lost peers every second, one of them at a time (moby, libnetwork/networkdb: reconnectNode).
_REUNION_SECONDS = 20.0
_PAUSE = 0.5

_BELOW = ("_solutions", "_undo")


@dataclass(frozen=True)
class Precondition:
    """One precondition: its faults, or what was found, and the notebook that creates it.

    ``remedy`` is what to do where no notebook can fix it.
    """

    needed: str
    faults: tuple[str, ...]
    good: str
    notebook: str
    remedy: str = ""

    @property
    def there(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    @property
    def found(self) -> str:
        """What was found, in one line."""
        return "; ".join(self.faults) or self.good


TABLE = Table[Precondition](
    "One row per precondition.",
    Column("needed", lambda row: row.needed),
    Column("there", lambda row: row.there, FLAG),
    Column("found", lambda row: row.found, meaning="what was found, or what is wrong with it"),
    Column("made by", lambda row: row.notebook, meaning="the notebook that makes it"),
)


def check_preconditions(cluster: Cluster, parameters: Parameters, names: Iterable[str]) -> tuple[Precondition, ...]:
    """Check each named precondition on the live cluster.

    Raises:
        InputError: an unknown precondition.
        UnreachableError: a node that must be asked does not answer.
    """
    return tuple(_check_of(name)(cluster, parameters) for name in names)


def _show_link(row: Precondition, notebook: str) -> None:
    """Show a link to the notebook to run first."""
    # Solutions and undo notebooks are in a subfolder.
    above = "../" if notebook.endswith(_BELOW) else ""
    after = f"run it first, for this one needs: {row.needed}"
    address = f"{above}{row.notebook}.ipynb"
    text = f"Open {row.notebook} and {after}"
    html = f'<p>Open <a href="{escape(address)}">{escape(row.notebook)}</a> and {escape(after)}</p>'
    publish_display_data({"text/plain": text, "text/html": html})  # type: ignore[no-untyped-call]


def raise_if_missing(rows: Sequence[Precondition], notebook: str = "") -> None:
    """Raise for the first precondition that does not hold; an interactive ``notebook`` also shows a link.

    Raises:
        PreconditionError: the first thing that is missing, with the notebook to run; later things build on it.
    """
    for row in rows:
        if not row.there:
            linked = attended() and not row.remedy
            if linked:
                _show_link(row, notebook)
            raise PreconditionError(
                f"this notebook needs: {row.needed}",
                expected=row.needed,
                found=row.found,
                remedy=row.remedy or _remedy(row.notebook, linked=linked),
            )


def _remedy(notebook: str, *, linked: bool) -> str:
    if linked:
        return f"run the notebook {notebook} first: the link above opens it"
    command = run_command(notebook)
    return f"run the notebook {notebook} first" + (f": {command}" if command else ", with the same parameters")


def _check_of(name: str) -> Callable[[Cluster, Parameters], Precondition]:
    known = {
        "fixed addresses": _fixed_addresses,
        "advertised addresses": _advertised_addresses,
        "cluster store": _cluster_store,
        "overlay": _overlay,
        "containers": _containers,
    }
    if name not in known:
        raise InputError(f"unknown precondition {name!r}", remedy=f"name one of {', '.join(known)}")
    return known[name]


def _fixed_addresses(cluster: Cluster, parameters: Parameters) -> Precondition:
    network = cluster.inventory.network
    found = answers(cluster.each(lambda node: read_cluster_address(node, network)))
    faults = tuple(
        f"{item.node} has {item.address or 'no address'} by {item.assigned_by}, not {item.expected} by static"
        for item in found
        if not item.as_expected or item.assigned_by != "static"
    )
    good = f"{len(found)} nodes at their fixed addresses"
    return Precondition("a fixed address on every node", faults, good, "01_fix_node_ips")


def _advertised_addresses(cluster: Cluster, parameters: Parameters) -> Precondition:
    """No notebook fixes this: the engine's own options set the advertised address."""
    control_plane, network = control_plane_of(parameters), cluster.inventory.network
    found = answers(cluster.each(lambda node: read_advertised(node, network)))
    wrong = [row for row in (judge_advertised(item, control_plane) for item in found) if row.verdict is Verdict.FAIL]
    faults = tuple(f"{row.node} advertises {row.found}, not {row.expected}" for row in wrong)
    needed = f"engines that the others find at {network.interface}"
    remedy = "; ".join(row.remedy for row in wrong)
    return Precondition(needed, faults, f"{len(found)} engines advertise it", "00_meet_the_cluster", remedy)


def _cluster_store(cluster: Cluster, parameters: Parameters) -> Precondition:
    """Check the store, again for a short time: engines that were disconnected need a moment to reconnect."""
    advertised = _advertised_addresses(cluster, parameters)
    if not advertised.there:
        return advertised
    deadline = Deadline(0.0 if parameters.plan else _REUNION_SECONDS)
    while True:
        found, passing = _cluster_store_now(cluster, parameters)
        if found.there or not passing or deadline.passed:
            return found
        time.sleep(_PAUSE)


def _cluster_store_now(cluster: Cluster, parameters: Parameters) -> tuple[Precondition, bool]:
    """The store's state now, and whether all faults may be temporary."""
    # asked first: a node that is down is a different error, which no notebook fixes
    control_plane = control_plane_of(parameters)
    gossip = answers(cluster.each(control_plane.read_gossip))
    rows = control_plane.read_registrations(cluster)
    faults = [f"{row.node}: {row.detail}" for row in rows if not row.connected]
    passing = not faults  # an engine that does not answer may be starting, or busy for a moment
    quiet = {row.node for row in gossip if not row.address}
    faults += [f"{row.node}: not in the engines' gossip yet" for row in rows if row.connected and row.node in quiet]
    faults += [f"{row.node}: {row.trouble}" for row in gossip if row.trouble]
    faults += gossip_faults(gossip)
    needed = "a control plane that connects every engine with every other"
    deaf = ", ".join(row.node for row in gossip if row.trouble)
    remedy = (
        f"open tcp {GOSSIP_PORT} on {deaf}, if its engine runs (notebook 00_meet_the_cluster tries every port)"
        if deaf
        else ""
    )
    good = f"{len(rows)} engines connected"
    return Precondition(needed, tuple(faults), good, "02_autostart_etcd", remedy), passing


def _overlay(cluster: Cluster, parameters: Parameters) -> Precondition:
    name = parameters.overlay.name
    patience = 0.0 if parameters.plan else STORE_RECHECK_SECONDS
    seen, blind, lost = sight(cluster, control_plane_of(parameters), name, patience)
    found = [network for network in seen.values() if network is not None]
    missing = sorted((blind if found or lost else set(seen)) - set(lost))
    faults = [item.why for item in lost.values()]
    faults += [f"no network {name} on {', '.join(missing)}"] if missing else []
    good = f"{found[0].driver} {found[0].id[:12]}, {found[0].subnet}" if found else ""
    remedy = "; ".join(item.remedy for item in lost.values())
    return Precondition(f"the network {name} on every node", tuple(faults), good, "03_create_overlay", remedy)


def nodes_missing_network(cluster: Cluster, control_plane: ControlPlane, network: str) -> set[str]:
    """The nodes whose engine should list a network of the whole cluster and does not.

    One that does not find it although others know of it is asked again, for at most ``STORE_RECHECK_SECONDS``.

    Raises:
        UnreachableError, NodeError: naming every node that gave no answer.
    """
    _, blind, lost = sight(cluster, control_plane, network, STORE_RECHECK_SECONDS)
    return blind | set(lost)


def sight(
    cluster: Cluster, control_plane: ControlPlane, network: str, patience: float
) -> tuple[dict[str, NetworkFacts | None], set[str], dict[str, LostNetwork]]:
    """Look from every node for a network of the whole cluster, again for ``patience`` seconds while one has lost it.

    Returns what each node's engine finds by the name, the nodes whose engine should list it and does not, and what is
    known of those that do not find it although others know of it.

    Raises:
        UnreachableError, NodeError: naming every node that gave no answer.
    """

    def ask(node: Node) -> tuple[NetworkFacts | None, bool, tuple[ContainerFacts, ...]]:
        found = read_network(node, network)
        if found is not None:
            return found, False, ()
        return None, control_plane.read_manages(node), read_containers(node)

    deadline = Deadline(patience)
    while True:
        rows = dict(zip((node.name for node in cluster), answers(cluster.each(ask)), strict=True))
        seen = {name: found for name, (found, _, _) in rows.items()}
        blind = {name for name, (_, is_blind, _) in rows.items() if is_blind}
        containers = [item for _, _, items in rows.values() for item in items]
        lost = lost_networks(network, seen, containers, blind)
        if not lost or deadline.passed:
            return seen, blind, lost
        time.sleep(_PAUSE)


def _containers(cluster: Cluster, parameters: Parameters) -> Precondition:
    overlay, wanted = parameters.overlay.name, [container.name for container in parameters.containers]
    every = {item.name: item for items in answers(cluster.each(read_containers)) for item in items}
    faults = []
    for name in wanted:
        item = every.get(name)
        if item is None:
            faults.append(f"{name}: no such container")
        elif not item.running:
            faults.append(f"{item.full_name}: {item.status}")
        elif overlay not in item.networks:
            faults.append(f"{item.full_name}: not on {overlay}")
        elif not item.addresses.get(overlay):
            faults.append(f"{item.full_name}: its engine has forgotten its address on {overlay}")
    names = ", ".join(wanted) or "the wanted containers (the parameters name none)"
    good = ", ".join(every[name].full_name for name in wanted if name in every)
    return Precondition(f"{names} running on {overlay}", tuple(faults), good, "04_run_containers")
