"""The steps of this project, built from a run's parameters. The clean-up removes only what the runbook created."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import MODES, ExternalMode, Overlay, Parameters, external
from runbook_lib.steps.base import CONTAINERS_NOTEBOOK, OVERLAY_NOTEBOOK, Step
from runbook_lib.steps.connections import Connect, Disconnect
from runbook_lib.steps.containers import RemoveContainers, RunContainers
from runbook_lib.steps.etcd_autostart import RemoveAutostart
from runbook_lib.steps.external_address import ExternalAddress, RemoveExternals
from runbook_lib.steps.gossip import JoinGossip
from runbook_lib.steps.leftovers import RemoveGatewayBridges
from runbook_lib.steps.members import member_steps
from runbook_lib.steps.networks import CreateNetwork, RemoveNetworks
from runbook_lib.steps.published_port import PublishPort
from runbook_lib.steps.static_addresses import RemoveStaticAddresses, StaticAddresses


def clean_up_steps(parameters: Parameters, *, boot_scripts_of: Inventory | None = None) -> tuple[Step[Any, Any], ...]:
    """The steps that clean up, in their order: containers on all nodes, what Docker made for them, then networks.

    Only objects that carry this cluster's owner label are removed, and docker_gwbridge where it came with them. With
    ``boot_scripts_of`` the fixed addresses and etcd's autostart of this inventory's nodes go as well: they get their
    addresses as before (boot2docker's from their next boot on), and etcd stays down.
    """
    steps: tuple[Step[Any, Any], ...] = (
        RemoveContainers(parameters.name),
        RemoveGatewayBridges(parameters.name, control_plane_of(parameters)),
        RemoveNetworks(parameters.name, control_plane_of(parameters)),
    )
    if boot_scripts_of is not None:
        steps += (RemoveAutostart(parameters.etcd), RemoveStaticAddresses(boot_scripts_of, parameters.addresses))
    return steps


class StepCatalog:
    """``run.steps``: what can be planned and applied. Making a step changes nothing."""

    def __init__(self, inventory: Inventory, parameters: Parameters) -> None:
        self._inventory = inventory
        self._parameters = parameters
        self._control_plane = control_plane_of(parameters)

    def static_addresses(self) -> StaticAddresses:
        """Fix every node's address on the cluster's network as its platform does."""
        return StaticAddresses(self._inventory, self._parameters.addresses, self._parameters.platform)

    def release_addresses(self) -> RemoveStaticAddresses:
        """Remove the fixed addresses and restore every file. On boot2docker DHCP returns with the next restart."""
        return RemoveStaticAddresses(self._inventory, self._parameters.addresses)

    def start_members(self) -> Step[Any, Any]:
        """Start the control plane's members now."""
        return member_steps(self._parameters).start

    def etcd_autostart(self) -> Step[Any, Any]:
        """Make the members start at boot."""
        return member_steps(self._parameters).autostart

    def no_autostart(self) -> Step[Any, Any]:
        """Undo ``etcd_autostart``."""
        return member_steps(self._parameters).no_autostart

    def join_gossip(self) -> JoinGossip:
        """Join engines that do not know each other into one gossip cluster."""
        return JoinGossip(self._control_plane)

    def create_network(self, *, subnet: str = "") -> CreateNetwork:
        """Create the overlay, with the subnet of the parameters unless another is named."""
        overlay = self._parameters.overlay
        wanted = Overlay.model_validate(overlay.model_dump() | {"subnet": subnet}) if subnet else overlay
        return CreateNetwork(wanted, self._control_plane, self._parameters.name)

    def remove_network(self) -> RemoveNetworks:
        """Remove the overlay that notebook 03 created; fails while a container is connected to it."""
        return RemoveNetworks(self._parameters.name, self._control_plane, OVERLAY_NOTEBOOK)

    def run_containers(self) -> RunContainers:
        """Run the wanted containers on the overlay."""
        parameters = self._parameters
        return RunContainers(parameters.containers, parameters.overlay, self._control_plane, parameters.name)

    def remove_containers(self) -> RemoveContainers:
        """Remove only the containers that notebook 04 created."""
        return RemoveContainers(self._parameters.name, CONTAINERS_NOTEBOOK)

    def disconnect(self) -> Disconnect:
        """Disconnect the first wanted container from the overlay."""
        parameters = self._parameters
        return Disconnect(wanted_container(parameters, 0), parameters.overlay.name, self._control_plane)

    def connect(self) -> Connect:
        """Connect the first wanted container to the overlay."""
        parameters = self._parameters
        return Connect(wanted_container(parameters, 0), parameters.overlay.name, self._control_plane)

    def clean_up(self, *, boot_scripts: bool) -> tuple[Step[Any, Any], ...]:
        """The steps that undo what this cluster's runs created, in order.

        ``boot_scripts`` includes the fixed addresses and etcd's autostart.
        """
        return clean_up_steps(self._parameters, boot_scripts_of=self._inventory if boot_scripts else None)

    def external_address(self, mode: ExternalMode) -> PublishPort | ExternalAddress:
        """Make a container reachable from outside the overlay: ``published``, ``macvlan`` or ``ipvlan``.

        Raises ``InputError`` for an unknown mode, or when the cluster's network has no free address block.
        """
        spec = external(self._inventory, self._parameters, mode)
        if mode == "published":
            return PublishPort(spec, self._parameters.name)
        return ExternalAddress(spec, self._inventory, self._parameters.name)

    def remove_external_addresses(self) -> RemoveExternals:
        """Remove the containers and networks that ``external_address`` created."""
        return RemoveExternals(self._parameters.name)

    def left_by(self, notebook: str) -> tuple[Step[Any, Any], ...]:
        """The steps that are satisfied after a notebook (by name) has passed; none for one that changes nothing."""
        made: dict[str, tuple[Callable[[], Step[Any, Any]], ...]] = {
            "01_fix_node_ips": (self.static_addresses,),
            "02_autostart_etcd": (self.start_members, self.etcd_autostart, self.join_gossip),
            "03_create_overlay": (self.create_network,),
            "04_run_containers": (self.run_containers,),
            "06_disconnect_connect": (self.connect,),
            "08_fixed_external_address": tuple(partial(self.external_address, mode) for mode in MODES),
        }
        return tuple(make() for make in made.get(notebook, ()))

    def proved_by_restart(self, notebook: str) -> tuple[Step[Any, Any], ...]:
        """The steps of a notebook (by name) whose result a restart of the nodes proves; none for most notebooks."""
        made: dict[str, tuple[Callable[[], Step[Any, Any]], ...]] = {
            "01_fix_node_ips": (self.static_addresses,),
            "02_autostart_etcd": (self.etcd_autostart,),
            "08_fixed_external_address": tuple(partial(self.external_address, mode) for mode in MODES),
        }
        return tuple(make() for make in made.get(notebook, ()))


def wanted_container(parameters: Parameters, place: int) -> str:
    """The name of a wanted container, by its position in the parameters.

    Raises:
        InputError: the parameters want fewer.
    """
    if place >= len(parameters.containers):
        raise InputError(
            f"{place + 1} containers are needed here, the parameters name {len(parameters.containers)}",
            place="containers",
            remedy="name two or more containers",
        )
    return parameters.containers[place].name
