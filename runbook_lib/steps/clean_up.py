"""Takes back what the runbook has made, and nothing else."""

from __future__ import annotations

from typing import Any

from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import Step
from runbook_lib.steps.containers import RemoveContainers
from runbook_lib.steps.etcd_autostart import RemoveAutostart
from runbook_lib.steps.gateway_bridges import RemoveGatewayBridges
from runbook_lib.steps.networks import RemoveNetworks
from runbook_lib.steps.static_addresses import RemoveStaticAddresses


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
