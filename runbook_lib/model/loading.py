"""Reads and validates parameters and inventories, and reports every fault at once with its place."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from runbook_lib.errors import Fault, InputError, ParameterError
from runbook_lib.model.inventory import Inventory, Model
from runbook_lib.model.keyfiles import check_key_file
from runbook_lib.model.locations import testbed_inventory
from runbook_lib.model.parameters import Parameters

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Run:
    """A validated run: its parameters and the inventory that they lead to."""

    parameters: Parameters
    inventory: Inventory


@dataclass(frozen=True)
class Document:
    """A YAML file as data, and the line at which each key path stands."""

    data: dict[str, Any]
    lines: Mapping[tuple[str | int, ...], int]
    source: str
    overridden: frozenset[str] = frozenset()

    def place(self, path: Sequence[str | int]) -> str:
        """``file:line: key.path`` of a path, or of its nearest parent that the file has; ``-p key`` if overridden."""
        key = ".".join(str(part) for part in path) or "(top level)"
        for length in range(len(path), 0, -1):
            option = ".".join(str(part) for part in path[:length])
            if option in self.overridden:
                return f"-p {option}" if option == key else f"-p {option}: {key}"
        for length in range(len(path), -1, -1):
            line = self.lines.get(tuple(path[:length]))
            if line is not None:
                return f"{self.source}:{line}: {key}"
        return f"{self.source}: {key}"


def read_document(path: Path) -> Document:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: no such file, a directory, not YAML (with line and column), or not a mapping.
    """
    remedy = "name a YAML file with the keys of params/testbed.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("there is no such file", place=str(path), remedy=remedy) from error
    except IsADirectoryError as error:
        raise InputError("this is a folder, not a parameter file", place=str(path), remedy=remedy) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the file cannot be read ({error})", place=str(path), remedy=remedy) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"not valid YAML: {problem}", place=where, remedy="mend the YAML at that place") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise InputError("the file must hold keys and values", place=f"{path}:1", remedy=remedy)
    return Document(data, dict(_lines(root, ())) if root is not None else {}, str(path))


def _lines(node: yaml.Node, path: tuple[str | int, ...]) -> Iterable[tuple[tuple[str | int, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), key.start_mark.line + 1
            yield from _lines(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))


def override(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the data in which each override, its key dotted (``overlay.name``), replaces one value."""
    result = dict(data)
    for key, value in overrides.items():
        head, _, rest = key.partition(".")
        if rest:
            inner = result.get(head)
            result[head] = override(inner if isinstance(inner, Mapping) else {}, {rest: value})
        else:
            result[head] = value
    return result


def load_parameters(source: Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Parameters:
    """Validate a parameter file (or a mapping) by itself, before the inventory that it names exists.

    Raises:
        ParameterError: with every fault of the parameters, each with its place.
        InputError: a file that cannot be read at all.
    """
    document = _document(source, overrides)
    faults: list[Fault] = []
    parameters = _validate(Parameters, document, faults)
    if parameters is None:
        raise ParameterError(faults, place=document.source)
    return parameters


def _document(source: Path | Mapping[str, Any], overrides: Mapping[str, Any] | None) -> Document:
    document = read_document(source) if isinstance(source, Path) else Document(dict(source), {}, "parameters")
    data = override(document.data, overrides or {})
    return Document(data, document.lines, document.source, frozenset(overrides or ()))


def load_run(source: Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Run:
    """Validate a parameter file (or a mapping) and the inventory that it leads to.

    Raises:
        ParameterError: with every fault of parameters and inventory, each with its place.
        InputError: a file that cannot be read at all, or a testbed that is not up.
        KeyFileError: a private key that is missing, or that others may read.
    """
    document = _document(source, overrides)
    faults: list[Fault] = []
    parameters = _validate(Parameters, document, faults)
    inventory, inventory_document = _inventory(parameters, document, faults)
    if inventory is not None:
        base: tuple[str, ...] = ("inventory",) if inventory_document is document else ()
        faults += _inventory_faults(inventory, inventory_document, base)
        if parameters is not None:
            faults += _placement_faults(parameters, inventory, document)
    if faults or parameters is None or inventory is None:
        raise ParameterError(faults, place=document.source)
    for node in inventory.nodes:
        check_key_file(node.ssh.key_file, f"{inventory_document.source}: ssh.key_file of {node.name}")
        if node.docker.key is not None:
            check_key_file(node.docker.key, f"{inventory_document.source}: docker.key of {node.name}")
    return Run(parameters, inventory)


def _validate(model: type[M], document: Document, faults: list[Fault]) -> M | None:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        for item in error.errors():
            path = [part for part in item["loc"] if part not in ("str", "Inventory")]
            if item["loc"][:2] == ("inventory", "str") and isinstance(document.data.get("inventory"), Mapping):
                continue  # the union's other branch: the user gave nodes, not a reference
            if item["loc"][:2] == ("inventory", "Inventory") and isinstance(document.data.get("inventory"), str):
                continue
            faults.append(Fault(document.place(path), _plain(item, model)))
        return None


def _plain(item: Any, model: type[Model]) -> str:
    if item["type"] == "extra_forbidden":
        hint = f" (known: {', '.join(model.model_fields)})" if len(item["loc"]) == 1 else ""
        return f"unknown parameter{hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _inventory(
    parameters: Parameters | None, document: Document, faults: list[Fault]
) -> tuple[Inventory | None, Document]:
    reference = document.data.get("inventory", Parameters.model_fields["inventory"].default)
    if not isinstance(reference, str):
        if parameters is None or isinstance(parameters.inventory, str):
            return None, document
        return parameters.inventory, document
    if reference.startswith("testbed:"):
        name = reference.removeprefix("testbed:")
        path = testbed_inventory(name)
        if not path.is_file():
            option = "" if name == "runbook" else f" --name {name}"
            raise InputError(
                f"the testbed '{name}' is not up",
                place=document.place(["inventory"]),
                remedy=f"bring it up: ./runbook testbed up{option}",
            )
    else:
        path = Path(reference)
        if not path.is_absolute() and document.source != "parameters":
            path = Path(document.source).parent / path
    inventory_document = read_document(path)
    return _validate(Inventory, inventory_document, faults), inventory_document


def _inventory_faults(inventory: Inventory, document: Document, base: tuple[str, ...]) -> Iterable[Fault]:
    network, names, addresses = inventory.network.prefix, dict[str, int](), dict[str, str]()
    for index, node in enumerate(inventory.nodes):
        place = document.place([*base, "nodes", index, "cluster_address"])
        if node.name in names:
            yield Fault(document.place([*base, "nodes", index, "name"]), f"the name {node.name!r} is used twice")
        names[node.name] = index
        address = node.cluster_address
        if address in addresses:
            yield Fault(place, f"{node.name} and {addresses[address]} have the same address {address}")
        addresses[address] = node.name
        parsed = ipaddress.IPv4Address(address)
        if parsed not in network:
            yield Fault(place, f"{address} of {node.name} is outside the subnet {network}")
        elif parsed in (network.network_address, network.broadcast_address):
            yield Fault(place, f"{address} of {node.name} is the network or broadcast address of {network}")
        if address == inventory.network.gateway:
            yield Fault(place, f"{address} of {node.name} is the gateway's address")


def _placement_faults(parameters: Parameters, inventory: Inventory, document: Document) -> Iterable[Fault]:
    seen: set[str] = set()
    for index, container in enumerate(parameters.containers):
        if container.node is not None and container.node not in inventory.names:
            known = ", ".join(inventory.names)
            yield Fault(
                document.place(["containers", index, "node"]),
                f"{container.name} is placed on {container.node!r}, which is no node of the inventory ({known})",
            )
        if container.name in seen:
            yield Fault(document.place(["containers", index, "name"]), f"the name {container.name!r} is used twice")
        seen.add(container.name)
