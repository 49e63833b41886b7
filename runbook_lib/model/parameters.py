"""The parameters of a run: one YAML file, or a notebook's ``parameters`` cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from runbook_lib.model.base import Model
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.names import HostName, ImageReference, NetworkName, ObjectName, Subnet
from runbook_lib.model.numbers import Port, Seconds, WholeNumber
from runbook_lib.model.platforms import ControlPlaneName, PlatformName
from runbook_lib.model.secrets import Secrets


def _option_text(value: Any) -> Any:
    """Driver options are text to Docker; a YAML file says 1400 and true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


DriverOption = Annotated[str, BeforeValidator(_option_text)]


class Addresses(Model):
    """How fixed addresses are chosen."""

    allow_in_dhcp_pool: bool = Field(
        False, description="accept fixed addresses inside the DHCP pool (a warning says what can happen)"
    )
    guard_seconds: Seconds = Field(
        60.0,
        description="how long a systemd host waits to be reached at its new configuration before it takes the old back",
    )


class Etcd(Model):
    """The cluster store."""

    members: tuple[ObjectName, ...] = Field(
        ("etcd1", "etcd2", "etcd3"), min_length=1, description="names of the etcd containers"
    )
    client_port: Port = 2379
    autostart: Literal["auto", "bootlocal", "restart-policy", "systemd-unit"] = Field(
        "bootlocal",
        description="how members start at boot: bootlocal.sh (the article), Docker's restart policy, or, where etcd is"
        " no container, its systemd unit; auto takes what fits each node",
    )


class Overlay(Model):
    """The overlay network."""

    name: NetworkName = "ovr0"
    subnet: Subnet | None = Field("10.0.0.0/24", description="its subnet; null lets Docker choose")
    options: dict[str, DriverOption] = Field(default_factory=dict, description="driver options")
    encrypted: bool = Field(False, description="encrypt what passes between the nodes (Swarm mode only)")


class ContainerSpec(Model):
    """One container on the overlay."""

    name: ObjectName
    image: ImageReference = "alpine"
    node: HostName | None = Field(None, description="where it runs; null spreads over the least loaded nodes")


class Probes(Model):
    """How pings are sent."""

    count: WholeNumber = Field(3, ge=1, le=1000, description="echo requests a pair")
    timeout_seconds: Seconds = Field(1.0, description="how long an answer is waited for")
    may_lose: WholeNumber = Field(
        0,
        ge=0,
        le=49,
        description="how many of 50 echo requests a pair may lose (of fewer in proportion, rounded up); the"
        " first, which may have to wait until the overlay has learned where the peer is, is not counted",
    )


class Timeouts(Model):
    """How long things may take, in seconds."""

    connect: Seconds = 10.0
    command: Seconds = 60.0
    reboot: Seconds = 180.0
    converge: Seconds = Field(120.0, description="a lone etcd member can keep engines waiting for 46 s (measured)")


class Parameters(Model):
    """Everything that a notebook takes. The defaults describe the embedded testbed."""

    name: HostName = Field("testbed", description="name of the cluster, used for its records")
    inventory: str | Inventory = Field(
        "testbed:runbook",
        description="'testbed:NAME', the path of an inventory file, or the nodes themselves",
    )
    platform: Literal["auto", PlatformName] = Field(
        "boot2docker", description="how hosts boot and get their addresses; auto finds it out on each node"
    )
    control_plane: ControlPlaneName = Field("etcd", description="where the engines keep the overlay's state")
    addresses: Addresses = Addresses()
    etcd: Etcd = Etcd()
    overlay: Overlay = Overlay()
    containers: tuple[ContainerSpec, ...] = (
        ContainerSpec(name="alpine1", node="node3"),
        ContainerSpec(name="alpine2", node="node4"),
    )
    probes: Probes = Probes()
    timeouts: Timeouts = Timeouts()
    secrets: Secrets = Field(
        default_factory=dict, description="name -> {env: VARIABLE} or {file: PATH}; never the value itself"
    )
    plan: bool = Field(False, description="show what would change and change nothing")
    show_drift: bool = Field(True, description="on the testbed: reboot in another order to see addresses move")
    power_cycle: bool = Field(True, description="consent to reboot nodes where a notebook proves something by it")

    @property
    def testbed_name(self) -> str | None:
        """The testbed that the inventory names, if it names one."""
        if isinstance(self.inventory, str) and self.inventory.startswith("testbed:"):
            return self.inventory.removeprefix("testbed:")
        return None

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that hold declared secrets."""
        return tuple(reference.env for reference in self.secrets.values() if reference.env is not None)
