"""Takes back what the runbook has made, and nothing else."""

from __future__ import annotations

from typing import Any

from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import Step
from runbook_lib.steps.containers import RemoveContainers
from runbook_lib.steps.etcd_autostart import RemoveAutostart
from runbook_lib.steps.networks import RemoveNetworks
from runbook_lib.steps.static_addresses import RemoveStaticAddresses


def clean_up_steps(parameters: Parameters, *, boot_scripts: bool = False) -> tuple[Step[Any, Any], ...]:
    """The steps that clean up, in their order: containers on all nodes, then networks.

    Only objects that carry this cluster's owner label are removed. With ``boot_scripts`` the blocks in ``bootsync.sh``
    and ``bootlocal.sh`` go as well: from their next boot on, nodes get their addresses by DHCP and etcd stays down.
    """
    steps: tuple[Step[Any, Any], ...] = (
        RemoveContainers(parameters.name),
        RemoveNetworks(parameters.name, control_plane_of(parameters)),
    )
    if boot_scripts:
        steps += (RemoveAutostart(parameters.etcd), RemoveStaticAddresses())
    return steps
