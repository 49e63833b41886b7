"""The steps that start the control plane's members, now and at boot: which they are depends on what a member is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import Step
from runbook_lib.steps.etcd_autostart import EtcdAutostart, RemoveAutostart, StartMembers
from runbook_lib.steps.managers import ManagersAutostart, StartManagers


@dataclass(frozen=True)
class MemberSteps:
    """Start the members now, make them start at boot, and take that back."""

    start: Step[Any, Any]
    autostart: Step[Any, Any]
    no_autostart: Step[Any, Any]


def member_steps(parameters: Parameters) -> MemberSteps:
    """The steps for the control plane that the parameters name.

    For a swarm's managers there is nothing to take back, but what an etcd of earlier days left there is.
    """
    etcd = parameters.etcd
    if parameters.control_plane == "swarm-mode":
        return MemberSteps(StartManagers(), ManagersAutostart(), RemoveAutostart(etcd))
    return MemberSteps(StartMembers(etcd), EtcdAutostart(etcd), RemoveAutostart(etcd))
