"""The supported control planes, and the one that the parameters choose."""

from __future__ import annotations

from runbook_lib.facts.control_planes.base import ControlPlane
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.model.parameters import Parameters


def control_plane_of(parameters: Parameters) -> ControlPlane:
    """The control plane that the parameters name. (Classic Swarm only schedules: its networks are in etcd.)"""
    return SwarmMode(parameters) if parameters.control_plane == "swarm-mode" else EtcdStore(parameters.etcd)
