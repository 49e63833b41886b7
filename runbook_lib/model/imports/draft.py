"""What an import knows of a cluster, and what it could not know: the same for every kind of source.

Writes a draft as a parameter file with comments, and makes sure that it validates.

A template, since PyYAML writes no comments and a file of this form needs no library that can also read them back.
"""

from __future__ import annotations

import ipaddress
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.model.base import ControlPlaneName, is_host_name
from runbook_lib.model.loading import load_run

#: Documentation addresses (RFC 5737): placeholders until the real ones are filled in.
PLACEHOLDER_SUBNET = ipaddress.IPv4Network("192.0.2.0/24")
# A range of this many addresses or more is not a single network of hosts: use a placeholder.
_WIDEST_PREFIX = 16
_USUAL_PREFIX = 24
_OVERLAYS = ("10.0.0.0/24", "172.30.0.0/24", "10.99.0.0/24")


@dataclass(frozen=True)
class Note:
    """A comment of the file, above the key at ``place`` (``network.subnet``, ``nodes.node1``).

    ``fill_in`` marks what the source does not tell and a person has to look at: it is also told on stderr.
    """

    place: str
    text: str
    fill_in: bool = False


@dataclass
class Notes:
    """The notes that come up while a draft is made."""

    taken: list[Note] = field(default_factory=list)

    def say(self, place: str, text: str) -> None:
        """A comment that explains."""
        self.taken.append(Note(place, text))

    def ask(self, place: str, text: str) -> None:
        """A comment that says what to fill in or to look at."""
        self.taken.append(Note(place, text, fill_in=True))


@dataclass(frozen=True)
class DraftNode:
    """One node: ``ssh`` and ``docker`` as the inventory wants them."""

    name: str
    cluster_address: str
    ssh: Mapping[str, Any]
    docker: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """A cluster as it will stand in a parameter file.

    ``origin`` says in one sentence where it comes from. ``network`` and ``swarm_manager`` are as in the inventory,
    ``etcd`` as in the parameters (empty where the control plane has no etcd).
    """

    origin: str
    name: str
    platform: str
    control_plane: ControlPlaneName
    network: Mapping[str, Any]
    nodes: tuple[DraftNode, ...]
    swarm_manager: Mapping[str, Any] | None = None
    etcd: Mapping[str, Any] = field(default_factory=dict)
    allow_in_dhcp_pool: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def overlay_subnet(self) -> str:
        """The first usual subnet of an overlay that does not overlap with the network between the nodes."""
        below = ipaddress.IPv4Network(self.network["subnet"])
        return next(subnet for subnet in _OVERLAYS if not ipaddress.IPv4Network(subnet).overlaps(below))

    @property
    def unknown(self) -> tuple[Note, ...]:
        """What a person has to fill in or look at."""
        return tuple(note for note in self.notes if note.fill_in)


def node_names(given: Sequence[str]) -> dict[str, str]:
    """Names of nodes (one label of DNS each) by the names that the source gives them.

    Raises:
        InputError: a name that cannot be made one, or two that become the same.
    """
    names: dict[str, str] = {}
    for source in given:
        name = source.lower().replace(".", "-").replace("_", "-").strip("-")[:63]
        if not is_host_name(name):
            raise InputError(
                f"{source!r} cannot be made a node's name", remedy="rename it: letters, digits and inner '-' only"
            )
        twin = next((other for other, taken in names.items() if taken == name), None)
        if twin is not None:
            raise InputError(
                f"{twin!r} and {source!r} would both be the node {name}", remedy="rename one, or name only one of them"
            )
        names[source] = name
    return names


def subnet_around(addresses: Collection[str]) -> ipaddress.IPv4Network | None:
    """The smallest network, of 256 addresses or more, with all of them; ``None`` for none, and when it is too wide."""
    if not addresses:
        return None
    for length in range(_USUAL_PREFIX, _WIDEST_PREFIX - 1, -1):
        networks = {ipaddress.IPv4Network((address, length), strict=False) for address in addresses}
        if len(networks) == 1:
            return networks.pop()
    return None


def free_address(subnet: ipaddress.IPv4Network, taken: Collection[str], first: int = 25) -> str:
    """An address of the subnet that no node has, from the ``first`` on.

    .25 to .99 are outside the range that VirtualBox's DHCP server gives out.
    """
    start = first if subnet.num_addresses > first + 1 else 1
    hosts = (str(subnet[index]) for index in range(start, subnet.num_addresses - 1))
    return next(address for address in hosts if address not in taken)


def refuse_twins(nodes: Sequence[DraftNode], remedy: str) -> None:
    """Make sure that no two nodes have one address, or are reached at one place.

    Raises:
        InputError: naming both.
    """
    owners: dict[str, str] = {}
    for node in nodes:
        # behind different jump hosts one address can be two machines
        reached = "" if node.ssh.get("jump") else f"{node.ssh['host']}:{node.ssh.get('port', 22)}"
        for what in filter(None, dict.fromkeys((node.cluster_address, reached))):
            if what in owners:
                raise InputError(f"{owners[what]} and {node.name} have the same address {what}", remedy=remedy)
            owners[what] = node.name


_WIDTH = 116
_NEVER_FOLDED = 1_000_000


def parameter_file(draft: Draft) -> str:
    """The text of the parameter file, the same for the same draft.

    Raises:
        ParameterError: the source describes something that cannot be a cluster, such as a name that no node can have.
        KeyFileError: private keys that others may read, or other files that are missing.
    """
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.filters |= {"yaml": _scalar, "block": _block}
    template = resources.files(__package__).joinpath("files", "parameters.yaml.j2").read_text(encoding="utf-8")

    def comment(place: str, indent: int = 0) -> str:
        lines = [line for note in draft.notes if note.place == place for line in _wrapped(note.text, indent)]
        return "".join(f"{line}\n" for line in lines)

    text = environment.from_string(template).render(draft=draft, comment=comment)
    try:
        load_run(yaml.safe_load(text))
    except ParameterError as error:
        # these places are in a file that is not written
        remedy = f"no file was written. {draft.origin}: correct there what these lines name, and import again"
        raise ParameterError(error.faults, place="what was imported", remedy=remedy) from error
    return text


def _wrapped(text: str, indent: int) -> list[str]:
    prefix = " " * indent + "# "
    return textwrap.wrap(
        text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False
    )


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=_NEVER_FOLDED).removesuffix("...\n").strip()


def _block(value: Any, indent: int) -> str:
    text = yaml.safe_dump(dict(value), default_flow_style=False, sort_keys=False, width=_NEVER_FOLDED)
    return textwrap.indent(text.rstrip(), " " * indent)
