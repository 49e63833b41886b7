"""Validates parameters and the inventory that they lead to, and reports every fault at once with its place.

``explain`` says what pydantic found wrong, so that a person can correct it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from runbook_lib.errors import Fault, InputError, ParameterError
from runbook_lib.model import cross_checks
from runbook_lib.model.base import Model, is_host_name
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.model.documents import Document, KeyPath, Source, read_document
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.keyfiles import check_files
from runbook_lib.model.locations import testbed_inventory
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.secrets import redactor_of
from runbook_lib.redact import Redactor

__all__ = ["Document", "Run", "explain", "load_parameters", "load_run", "read_document", "read_parameters"]

M = TypeVar("M", bound=Model)

_NO_INVENTORY = "this must be testbed:NAME, the path of an inventory file, or the nodes themselves"
_KIND_NEEDED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list (lines that begin with '- ')",
    "list_type": "a list (lines that begin with '- ')",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}


def explain(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One sentence for one pydantic error of a model: what is wrong, and what would be right."""
    kind = str(item["type"])
    if kind in ("extra_forbidden", "invalid_key"):
        return f"unknown parameter (known: {', '.join(_fields_at(model, item['loc'][:-1]))})"
    if kind == "missing":
        return "this is required, and is missing"
    if kind in _KIND_NEEDED:
        return _wrong_kind(item["input"], _KIND_NEEDED[kind])
    context = item.get("ctx", {})
    others: dict[str, Callable[[], str]] = {
        "literal_error": lambda: f"{item['input']!r} is not one of {context['expected']}",
        "greater_than": lambda: f"{item['input']} must be more than {context['gt']:g}",
        "greater_than_equal": lambda: f"{item['input']} must be at least {context['ge']:g}",
        "less_than_equal": lambda: f"{item['input']} must be at most {context['le']:g}",
        "too_short": lambda: "this list must not be empty",
        "string_too_short": lambda: "this must not be empty",
    }
    if kind in others:
        return others[kind]()
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _wrong_kind(found: Any, needed: str) -> str:
    if found is None:
        return f"this must be {needed}, and is empty"
    if needed == "text" and isinstance(found, bool):
        return (
            f"this must be text, and YAML reads it as {str(found).lower()} "
            "(as it does yes, no, on and off): put it in quotes"
        )
    if needed == "text" and isinstance(found, int | float):
        return f"this must be text, and is read as the number {found}: put it in quotes"
    shown = repr(found)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not {needed}"


def _fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The names of the fields that may stand at a path of the model."""
    current: Any = model
    for part in path:
        if isinstance(part, int) or part == getattr(current, "__name__", ""):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is not None:
            current = _model_in(field.annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The model inside an annotation such as ``tuple[NodeSpec, ...]`` or ``str | Inventory``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class Run:
    """A validated run: its parameters and the inventory that they lead to."""

    parameters: Parameters
    inventory: Inventory


@dataclass
class _Findings:
    faults: list[Fault] = field(default_factory=list)
    # A single error that says more than a fault could; raised alone when nothing else is wrong.
    error: InputError | None = None

    def raise_all(self, source: str, redact: Redactor) -> None:
        """Raise what was found; where a secret was given as some other value, without the secret."""
        error = self.error
        if error is not None and redact(str(error)) != str(error):
            self.error = InputError(redact(error.message), place=redact(error.place), remedy=redact(error.remedy))
        self.faults = [Fault(redact(fault.place), redact(fault.message)) for fault in self.faults]
        if self.error is not None and not self.faults:
            raise self.error
        if self.error is not None:
            remedy = f" ({self.error.remedy})" if self.error.remedy else ""
            self.faults.append(Fault(self.error.place, f"{self.error.message}{remedy}"))
        if self.faults:
            raise ParameterError(self.faults, place=source)


def read_parameters(source: Path | Mapping[str, Any]) -> Document:
    """The parameters as somebody gave them, read but not validated yet: the file's content, or the mapping.

    Raises:
        ParameterError: keys that stand twice.
        InputError: a file that cannot be read at all.
    """
    return read_document(source) if isinstance(source, Path) else Document(dict(source), {}, "parameters")


def load_parameters(
    source: Path | Mapping[str, Any] | Document, overrides: Mapping[str, Any] | None = None
) -> Parameters:
    """Validate a parameter file (or a mapping) by itself, before the inventory that it names exists.

    Args:
        source: the file, or the parameters themselves, or what ``read_parameters`` returned for either.
        overrides: values that replace those of the file, by dotted key (``overlay.name``, ``containers.0.node``).

    Raises:
        ParameterError: with every fault of the parameters, each with its place.
        InputError: a file that cannot be read at all.
    """
    document = (source if isinstance(source, Document) else read_parameters(source)).completed(overrides)
    found = _Findings()
    parameters = _validate(Parameters, document, found)
    if parameters is not None:
        found.faults += cross_checks.of_parameters(parameters, None, document)
    found.raise_all(document.source, redactor_of(document.data))
    assert parameters is not None  # else there would be a fault
    return parameters


def load_run(
    source: Path | Mapping[str, Any] | Document,
    overrides: Mapping[str, Any] | None = None,
    *,
    known_hosts: bool = True,
) -> Run:
    """Validate a parameter file (or a mapping) and the inventory that it leads to.

    Args:
        source: the file, or the parameters themselves, or what ``read_parameters`` returned for either. Relative paths
            in a file are relative to its folder.
        overrides: values that replace those of the file, by dotted key (``overlay.name``, ``containers.0.node``).
        known_hosts: whether the known_hosts files have to exist.

    Raises:
        ParameterError: with every fault of parameters and inventory, each with its place.
        InputError: a file that cannot be read at all, or a testbed that is not up.
        KeyFileError: private keys that are missing, or that others may read.
    """
    document = (source if isinstance(source, Document) else read_parameters(source)).completed(overrides)
    found = _Findings()
    parameters = _validate(Parameters, document, found)
    inventory, origin = _inventory(parameters, document, found)
    if inventory is not None:
        found.faults += cross_checks.of_inventory(inventory, origin)
        if parameters is not None:
            found.faults += cross_checks.of_both(parameters, inventory, document, origin)
    if parameters is not None:
        found.faults += cross_checks.of_parameters(parameters, inventory, document)
    found.raise_all(document.source, redactor_of(document.data))
    assert parameters is not None  # else there would be a fault
    assert inventory is not None
    check_files(inventory, origin, known_hosts=known_hosts)
    return Run(parameters, inventory)


def _validate(model: type[M], document: Document, found: _Findings) -> M | None:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        complaints = []
        for item in error.errors():
            if item["loc"][:1] == ("inventory",) and _other_branch(item["loc"], document.data.get("inventory")):
                continue
            if item["type"] == "too_short" and item["input"]:
                continue  # pydantic counts only the items without a fault of their own
            path = [part for part in item["loc"] if part not in ("str", "Inventory", "[key]")]
            message = _NO_INVENTORY if item["loc"] == ("inventory", "str") else explain(item, model)
            complaints.append((document.line(path), Fault(document.place(path), message)))
        found.faults += [fault for _, fault in sorted(complaints, key=lambda pair: pair[0])]
        return None


def _other_branch(loc: KeyPath, given: Any) -> bool:
    """True for the complaints of the form of inventory (reference or nodes) that the user did not choose."""
    return loc[1:2] == (("str",) if isinstance(given, Mapping) else ("Inventory",))


def _inventory(parameters: Parameters | None, document: Document, found: _Findings) -> tuple[Inventory | None, Source]:
    """The inventory and where it stands; ``None`` when it has faults, which are found then."""
    own = Source(document, ("inventory",))
    reference = document.data.get("inventory", Parameters.model_fields["inventory"].default)
    if isinstance(reference, Inventory):
        return reference, own
    if not isinstance(reference, str):
        inline = parameters.inventory if parameters is not None else None
        if inline is None and isinstance(reference, Mapping):
            # Other parameters are at fault; the inventory is still checked, so that all is said at once.
            try:
                inline = Inventory.model_validate(reference)
            except ValidationError:
                return None, own
        return (inline if isinstance(inline, Inventory) else None), own
    try:
        inventory_document = read_document(_inventory_path(reference, own)).completed()
    except InputError as error:
        found.error = error
        return None, own
    return _validate(Inventory, inventory_document, found), Source(inventory_document)


def _inventory_path(reference: str, source: Source) -> Path:
    if not reference.startswith("testbed:"):
        path = Path(reference)
        if not path.exists():
            raise InputError(
                f"the inventory file does not exist: {path}",
                place=source.place(),
                remedy="name an inventory file, or testbed:NAME",
            )
        return path
    name = reference.removeprefix("testbed:")
    if not is_host_name(name):
        raise InputError(
            f"{name!r} is not a testbed name: lower-case letters, digits and inner '-' only",
            place=source.place(),
            remedy="write testbed:NAME, such as testbed:runbook",
        )
    path = testbed_inventory(name)
    if not path.is_file():
        raise InputError(
            f"the testbed '{name}' is not up",
            place=source.place(),
            remedy=f"bring it up: {command_on_testbed('up', name)}",
        )
    return path
