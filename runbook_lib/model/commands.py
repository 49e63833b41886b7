"""Commands as texts for users name them: complete with what says which cluster they are for.

Whoever knows how the cluster at hand is named says so once (``at_hand``): a command line by the options that it was
given, a kernel by what its runner left in its environment, and a notebook that no command started by the
inventory that its parameters name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from runbook_lib.model.inventory import Inventory

VARIABLE = "OVERLAY_RUNBOOK_CLUSTER_AT_HAND"
DEFAULT_TESTBED = "runbook"
_TESTBED = "testbed:"


@dataclass(frozen=True)
class AtHand:
    """How the cluster is named: by a parameter file (as it was typed), values that replace some of it, its testbed.

    ``known`` is false where its parameters cannot be typed, such as an inventory that stands in a notebook's cell.
    ``inventory`` is which one those parameters name, as ``_identity`` returns; empty if unknown.
    """

    file: str = ""
    overrides: tuple[tuple[str, str], ...] = ()
    testbed: str = ""
    known: bool = True
    inventory: str = ""


_said: AtHand | None = None


def at_hand(
    file: Path | None,
    overrides: Mapping[str, Any] | None = None,
    testbed: str | None = None,
    inventory: object = None,
) -> None:
    """Say by which options this process, and each kernel that it starts, got its cluster.

    Args:
        file: the parameter file as it was typed; ``None`` for the default one.
        overrides: values that replace those of the file, by dotted key.
        testbed: the name of the testbed, if the cluster is one.
        inventory: what the parameters name as the inventory, once they are read; it tells the testbed, too.
    """
    global _said
    typed = {key: value for key, value in (overrides or {}).items() if (key, value) != ("plan", True)}
    words = tuple((key, _as_typed(value)) for key, value in typed.items())
    name = testbed or _testbed(inventory)
    told = inventory if inventory is not None or not name else f"{_TESTBED}{name}"
    _said = AtHand("" if file is None else str(file), words, name, inventory=_identity(told))


def at_hand_by_inventory(inventory: object) -> None:
    """Say which inventory the parameters name, where nothing better is known or that is of another one."""
    global _said
    reference = str(inventory) if isinstance(inventory, str | Path) else ""
    testbed, identity = _testbed(inventory), _identity(inventory)
    found = _found()
    if found is not None and found.testbed == testbed and found.inventory in ("", identity):
        return
    overrides = (("inventory", reference),) if reference and testbed != DEFAULT_TESTBED else ()
    _said = AtHand("", overrides, testbed, known=bool(reference), inventory=identity)


def at_hand_by_record(inventory: object) -> None:
    """Say which inventory the parameters of a record name, which then are the only thing that names the cluster."""
    global _said
    _said = None
    at_hand_by_inventory(inventory)


def environment() -> dict[str, str]:
    """What a kernel, or a JupyterLab, needs in its environment to name the cluster as this process does."""
    found = _found()
    return {} if found is None else {VARIABLE: json.dumps(asdict(found))}


def run_command(*notebooks: str) -> str:
    """The command that runs notebooks on the cluster at hand; empty where its parameters cannot be typed."""
    found = _found() or AtHand()
    return _line("run", *notebooks, *_file(found), *_overrides(found)) if found.known else ""


def notebook_command() -> str:
    """The command that opens the notebooks on the cluster at hand."""
    return _line("notebook", *_file(_found() or AtHand()))


def inventory_command(command: str) -> str:
    """A command on the inventory of the cluster at hand, such as ``trust``; ``FILE`` where no file is known."""
    return _line("inventory", command, *(_file(_found() or AtHand()) or ("-f", "FILE")))


def command_on_testbed(command: str, name: str = "") -> str:
    """A command on a testbed, such as ``down`` or ``ssh node1``: the one of that name, or else the one at hand."""
    head, *rest = command.split()
    name = name or (_found() or AtHand()).testbed or DEFAULT_TESTBED
    return _line("testbed", head, *(() if name == DEFAULT_TESTBED else ("--name", name)), *rest)


def testbed_at_hand() -> bool:
    """Whether the cluster at hand is a testbed, or may be one for all that is known."""
    found = _found()
    return found is None or bool(found.testbed)


def _testbed(inventory: object) -> str:
    reference = str(inventory) if isinstance(inventory, str | Path) else ""
    return reference.removeprefix(_TESTBED) if reference.startswith(_TESTBED) else ""


def _identity(inventory: object) -> str:
    """The same text for the same inventory: a testbed's name, a file's whole path, or a sum over the nodes' own text.

    Empty where there is none, or none that can be read.
    """
    if isinstance(inventory, str | Path):
        return str(inventory) if _testbed(inventory) else os.path.realpath(Path(inventory).expanduser())
    try:
        text = "" if inventory is None else Inventory.model_validate(inventory).model_dump_json()
    except ValidationError:
        text = ""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _found() -> AtHand | None:
    if _said is not None or VARIABLE not in os.environ:
        return _said
    try:
        left = json.loads(os.environ[VARIABLE])
        pairs = tuple((str(key), str(value)) for key, value in left["overrides"])
        return AtHand(str(left["file"]), pairs, str(left["testbed"]), bool(left["known"]), str(left["inventory"]))
    except (ValueError, KeyError, TypeError):
        return None  # of another version of this program: as good as nothing


def _file(found: AtHand) -> tuple[str, ...]:
    return ("-f", found.file) if found.file else ()


def _overrides(found: AtHand) -> tuple[str, ...]:
    return tuple(word for key, value in found.overrides for word in ("-p", key, value))


def _as_typed(value: object) -> str:
    """A value as ``-p`` reads it."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, default=str)
    try:
        plain = yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def _line(*words: str) -> str:
    return f"./runbook {shlex.join(words)}"
