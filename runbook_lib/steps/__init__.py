"""Everything that changes a node: check, plan, apply, verify."""

from runbook_lib.steps.base import (
    OWNER_LABEL,
    Finding,
    Reporter,
    Step,
    Verb,
    require_success,
    run_step,
    run_steps,
    silent,
)
from runbook_lib.steps.connections import Connect, Disconnect
from runbook_lib.steps.containers import RemoveContainers, RunContainers
from runbook_lib.steps.etcd_autostart import EtcdAutostart, RemoveAutostart, StartMembers, has_autostart_block
from runbook_lib.steps.external_address import ExternalAddress, RemoveExternals
from runbook_lib.steps.leftovers import RemoveGatewayBridges
from runbook_lib.steps.networks import CreateNetwork, RemoveNetworks
from runbook_lib.steps.published_port import PublishPort
from runbook_lib.steps.reboot import Reboot
from runbook_lib.steps.static_addresses import RemoveStaticAddresses, StaticAddresses, has_address_block
from runbook_lib.steps.targets import check_targets, verify_addresses

__all__ = [
    "OWNER_LABEL",
    "Connect",
    "CreateNetwork",
    "Disconnect",
    "EtcdAutostart",
    "ExternalAddress",
    "Finding",
    "PublishPort",
    "Reboot",
    "RemoveAutostart",
    "RemoveContainers",
    "RemoveExternals",
    "RemoveGatewayBridges",
    "RemoveNetworks",
    "RemoveStaticAddresses",
    "Reporter",
    "RunContainers",
    "StartMembers",
    "StaticAddresses",
    "Step",
    "Verb",
    "check_targets",
    "has_address_block",
    "has_autostart_block",
    "require_success",
    "run_step",
    "run_steps",
    "silent",
    "verify_addresses",
]
