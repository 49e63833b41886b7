"""Everything before the first cell: the parameters are checked, the testbed is there, the inventory is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from runbook_lib.errors import Fault, InputError, ParameterError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.model.documents import read_value
from runbook_lib.model.loading import Document, Run, load_parameters, load_run, read_parameters
from runbook_lib.model.locations import testbed_inventory
from runbook_lib.model.parameters import Parameters


@dataclass(frozen=True)
class Request:
    """What the user asked for: a parameter file or the parameters, and what replaces values in it (dotted keys).

    The file is read once, by whichever method comes first: what is validated, what a testbed is brought up for and what
    a notebook gets are the same, even if somebody edits the file meanwhile. A request that is sent to another process
    takes along what was read.
    """

    source: Path | Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _given(self) -> Document:
        return read_parameters(self.source)

    def parameters(self) -> Parameters:
        """The parameters, validated by themselves. Raises ``ParameterError`` with every fault, or ``InputError``."""
        return load_parameters(self._given, self.overrides)

    def validate(self) -> Run:
        """Check parameters and inventory together. Raises ``ParameterError`` with every fault, or ``InputError``."""
        return load_run(self._given, self.overrides)

    def injected(self) -> dict[str, Any]:
        """What a notebook's injected cell gets: what the user gave, with paths that mean the same from anywhere."""
        return self._given.completed(self.overrides).data


def parse_overrides(pairs: Sequence[tuple[str, str]], *, plan: bool) -> dict[str, Any]:
    """The values of ``-p KEY VALUE``, read as YAML, the last of a key winning; ``plan`` is ``--plan``.

    Raises:
        ParameterError: with every value that is not YAML.
    """
    overrides: dict[str, Any] = {}
    faults = []
    for key, value in pairs:
        try:
            # None is how papermill spells it.
            overrides[key] = None if value == "None" else read_value(value)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or "not valid YAML"
            faults.append(Fault(f"-p {key}", f"its value cannot be read: {problem}"))
    if faults:
        raise ParameterError(faults, place="command line")
    return {**overrides, "plan": True} if plan else overrides


def ensure_testbed(parameters: Parameters, *, plan: bool, before_up: Callable[[], None]) -> None:
    """Bring the testbed up that the parameters name, if they name one, unless it is; in plan mode only make sure of it.

    A new one is of the kind that platform and control plane ask for; one that is up stays what it is.

    Args:
        before_up: called first if there is something to bring up (it installs what the testbed needs).

    Raises:
        InputError: plan mode changes nothing, so it brings no testbed up; or no testbed is of that kind.
        TestbedError: it could not be brought up.
    """
    name = parameters.testbed_name
    if name is None:
        return
    # The testbed's libraries take their time; a cluster of one's own does without them.
    from runbook_lib.testbed import ConsoleReport, Testbed
    from runbook_lib.testbed.machine.kind import choose_kind

    platform = "boot2docker" if parameters.platform == "boot2docker" else "debian"
    kind = choose_kind(platform, None, parameters.control_plane)
    if testbed_inventory(name).is_file() and Testbed.load(name).status().running:
        return
    if plan:
        raise InputError(
            f"the testbed '{name}' is not up, and --plan changes nothing, so it does not bring it up",
            place="--plan",
            remedy=f"bring it up first: {command_on_testbed('up', name)}",
        )
    before_up()
    try:
        with ConsoleReport() as report:
            Testbed.up(name, kind=kind, report=report)
    except InputError as error:
        if error.place == "--subnet":
            # That option belongs to another command, which then is the one to call.
            error.remedy = f"{command_on_testbed('up', name)} --subnet auto, and then run again"
        raise
