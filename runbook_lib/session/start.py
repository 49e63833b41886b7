"""Opens a notebook's session: validates its parameters and shows the cluster.

In interactive use papermill injects nothing, and the parameters cell has the testbed's defaults. ``runbook notebook
-f FILE`` names the file in the kernels' environment; its values replace those that the cell leaves at the defaults.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import display
from pydantic import ValidationError

from runbook_lib import journal
from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import InputError, NodeError
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.journal import NodeFacts
from runbook_lib.model.commands import at_hand_by_inventory, command_on_testbed, run_command
from runbook_lib.model.events import StartEvent
from runbook_lib.model.inventory import ClusterNetwork, NodeSpec
from runbook_lib.model.loading import load_run, read_document
from runbook_lib.model.locations import PARAMETER_FILE_VARIABLE
from runbook_lib.model.parameters import Addresses, Parameters
from runbook_lib.session.expectations import publish
from runbook_lib.session.session import Session
from runbook_lib.session.views.tables import register_table_formatter
from runbook_lib.tables.frame import Column, Table, document_columns
from runbook_lib.verify.members import ASIDE

#: The unedited values of every notebook's parameters cell.
CELL_DEFAULTS = Parameters(addresses=Addresses(allow_in_dhcp_pool=True))


def with_parameter_file(cell: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Use the parameter file's values where the cell has its defaults; a value edited in the cell stays.

    Args:
        cell: the parameters as the notebook's namespace has them, by name.

    Returns:
        The parameters of the run, and a line about the origin of the values; the line is empty without a file.

    Raises:
        InputError: the file cannot be read.
    """
    named = os.environ.get(PARAMETER_FILE_VARIABLE)
    if not named:
        return dict(cell), ""
    path = Path(named)
    given = read_document(path).completed().data
    edited = [name for name in given if name in cell and not _same(name, cell[name], _default(name))]
    taken = {name: value for name, value in given.items() if name not in edited}
    changed = [name for name, value in taken.items() if name not in cell or not _same(name, value, cell[name])]
    stays = [name for name in edited if not _same(name, given[name], cell[name])]
    line = f"parameters from {path}: {', '.join(changed) or 'none'}" if changed or stays else ""
    return {**cell, **taken}, line + (f"; set in the cell above: {', '.join(stays)}" if stays else "")


def _default(name: str) -> object:
    return getattr(CELL_DEFAULTS, name, None)


def _same(name: str, one: object, other: object) -> bool:
    """Whether two values of a parameter mean the same; an unreadable value equals nothing."""
    try:
        left, right = (getattr(Parameters.model_validate({name: value}), name) for value in (one, other))
    except ValidationError:
        return False
    return bool(left == right)


# papermill puts this line at the top of the cell that it injects.
_INJECTED = "# Parameters"
# Notebooks whose text mentions commands that depend on the parameters or the testbed.
_UNDONE = ("01_fix_node_ips", "02_autostart_etcd")
_LAST = "09_clean_up"


class _NodeRow(NamedTuple):
    spec: NodeSpec
    interface: str
    engine: str
    answers: str


NODES = Table[_NodeRow](
    "One row per node.",
    Column("node", lambda row: row.spec.name),
    Column("reached at", lambda row: f"{row.spec.ssh.user}@{row.spec.ssh.host}:{row.spec.ssh.port}"),
    Column("fixed address", lambda row: row.spec.cluster_address, meaning="the one in the inventory"),
    Column("interface", lambda row: row.interface, meaning="the one on the cluster's network"),
    Column("engine", lambda row: row.engine, meaning="its version"),
    Column("answers", lambda row: row.answers, meaning="``yes``, or ``no`` and why"),
)


@document_columns(NODES)
def start(notebook: str, namespace: Mapping[str, Any]) -> Session:
    """Open the session of a notebook and show its cluster.

    Args:
        notebook: the notebook's name, such as ``05_ping_tests``.
        namespace: the notebook's ``globals()`` with its parameters. For one left at its default, the file of
            ``runbook notebook -f FILE`` is used, and a line says so.

    Returns:
        The session. A table of the nodes is shown, with the columns above.

    Raises:
        ParameterError: with every fault, including unknown parameters; no node was contacted.
        InputError: parameters that were given and that a later cell sets again, an inventory that cannot be found, a
            key that others may read, a refused host key, engines that have another control plane than the parameters
            name.

    A node that does not answer raises no error yet: the table shows it, and a reading that needs it fails.
    """
    names = [*Parameters.model_fields, *_unknown_parameters(namespace)]
    given = {name: namespace[name] for name in names if name in namespace}
    _refuse_if_overruled(namespace)
    # The injected parameters are the user's request.
    values, origin = (given, "") if _injected(namespace) else with_parameter_file(given)
    at_hand_by_inventory(values.get("inventory", Parameters.model_fields["inventory"].default))
    run = load_run(values)
    session = Session(notebook, run, Cluster(run.inventory, run.parameters.timeouts), started=time.monotonic())
    parameters = run.parameters
    for told in filter(None, (origin, _by_command(notebook, testbed=parameters.testbed_name))):
        print(told)
    line = f"{notebook} on cluster '{parameters.name}', {len(run.inventory.nodes)} nodes"
    if parameters.plan:
        line += " (plan mode: nothing is changed)"
    publish([StartEvent(notebook=notebook, cluster=parameters.name, plan=parameters.plan)], text=line)
    session.kept.watch_displays()
    register_table_formatter()
    table = _cluster_table(session)
    session.kept.keep("cluster", table)
    display(table)  # type: ignore[no-untyped-call]
    return session


def _by_command(notebook: str, *, testbed: str | None) -> str:
    """The commands that a notebook's text mentions, for this cluster; empty if it mentions none."""
    number = notebook[:2]
    if notebook.endswith("_undo"):
        return _told("this notebook by command", run_command(number, "--undo"))
    if notebook in _UNDONE:
        return _told("to undo it by command", run_command(number, "--undo"))
    if notebook == _LAST:
        lines = [_told("this notebook by command", run_command(number)), _told("all others again", run_command())]
        lines += [f"to remove the testbed: {command_on_testbed('down', testbed)}"] if testbed else []
        return "\n".join(filter(None, lines))
    return ""


def _told(what: str, command: str) -> str:
    return command and f"{what}: {command}"


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """The source of the cells that papermill injected."""
    cells = namespace.get("In", [])
    return [source for source in cells if isinstance(source, str) and source.startswith(_INJECTED)]


def _refuse_if_overruled(namespace: Mapping[str, Any]) -> None:
    """Check that no later cell overwrites injected parameters: papermill injects first without a ``parameters`` tag.

    Raises:
        InputError: a cell after the injected one sets a parameter to something else than was given.
    """
    cells = [source for source in namespace.get("In", []) if isinstance(source, str)]
    places = [place for place, source in enumerate(cells) if source.startswith(_INJECTED)]
    if not places:
        return
    before, given, later = (
        {name: value for source in part for name, value in _literals(source).items()}
        for part in (cells[: places[0]], [cells[place] for place in places], cells[places[-1] + 1 :])
    )
    overruled = [name for name in given if name not in before and name in later and later[name] != given[name]]
    if overruled:
        names = ", ".join(overruled)
        raise InputError(
            f"{names} was given, but a later cell of the notebook overwrites it",
            place="parameters",
            remedy="give the cell with the parameters the tag 'parameters' (JupyterLab: Property Inspector, "
            "Cell Tags), or remove the assignment there",
        )


def _literals(source: str) -> dict[str, Any]:
    """The literal assignments at a cell's top level, by name; empty for a cell that is not plain Python."""
    found: dict[str, Any] = {}
    with suppress(SyntaxError):
        for statement in ast.parse(source).body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    with suppress(ValueError):
                        found[name] = ast.literal_eval(value)
    return found


def _unknown_parameters(namespace: Mapping[str, Any]) -> list[str]:
    """Injected names that are not parameters; papermill itself only warns of them."""
    names: list[str] = []
    for source in _injected(namespace):
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign):
                names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name for name in names if name not in Parameters.model_fields]


def _cluster_table(session: Session) -> pd.DataFrame:
    cluster = session.cluster
    network = cluster.inventory.network
    rows = []
    infos: dict[str, Mapping[str, Any]] = {}
    for node, outcome in zip(cluster.nodes, cluster.each(lambda node: _look_at(node, network)), strict=True):
        if isinstance(outcome.error, InputError):
            raise outcome.error
        info = outcome.value.info if outcome.value else {}
        facts = outcome.value.facts if outcome.value else NodeFacts(node.name, answers=False)
        if info:
            infos[node.name] = info
        session.kept.node(facts)
        answer = f"no: {outcome.error.message}" if outcome.error else _answers(node, info)
        rows.append(_NodeRow(node.spec, network.interface, facts.engine, answer))
    refusal = session.control_plane.refusal(infos)
    if refusal is not None:
        raise refusal
    return NODES(rows)


def _answers(node: Node, info: Mapping[str, Any]) -> str:
    aside = node.manager is not None and not info.get("SystemStatus")
    return f"yes; {ASIDE}" if aside else "yes"


@dataclass(frozen=True)
class _Found:
    facts: NodeFacts
    info: Mapping[str, Any]


def _look_at(node: Node, network: ClusterNetwork) -> _Found:
    """The node's engine, and for a record also its address on the cluster's network."""
    node.ssh.transport()
    info = node.engine.info()
    address = None
    if journal.wanted():
        # A node whose address cannot be read does not end the session; the record then lacks it.
        with suppress(NodeError):
            address = read_cluster_address(node, network).address
    facts = NodeFacts(node.name, address or "", str(info["ServerVersion"]), str(info.get("ID") or ""))
    return _Found(facts, info)
