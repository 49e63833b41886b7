"""The names of what a node's host and a cluster's control plane can be."""

from __future__ import annotations

from typing import Literal

PlatformName = Literal["boot2docker", "systemd-networkd", "netplan", "NetworkManager", "ifupdown"]
"""How a host boots and gets its addresses."""

ControlPlaneName = Literal["etcd", "swarm-mode", "classic-swarm"]
"""Where engines keep an overlay's state: a store of their own making, Swarm mode's raft, or etcd below a manager that
schedules over all engines."""
