"""What a plain ``papermill --engine runbook`` lacks: checked parameters, the lock, the record."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runbook_lib.execute.locking import cluster_lock
from runbook_lib.execute.recording import Recording, RunFacts
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.locations import records_location
from runbook_lib.model.secrets import redactor_for
from runbook_lib.records.archive import open_archive
from runbook_lib.records.writer import new_record_id
from runbook_lib.redact import Redactor

# A notebook that takes this parameter works on a cluster; any other is only executed and recorded.
_TELLING = "inventory"
_NO_CLUSTER = "local"


def record_plain(notebook: Any, input_path: str | None) -> Recording:
    """Check the parameters that papermill injected, lock the cluster, and open a record in the usual archive.

    Args:
        notebook: as papermill hands it to the engine, its parameters injected.
        input_path: the notebook's file, or its address.

    Raises:
        ParameterError: with every fault of the parameters; no kernel was started and nothing written.
        InputError: an inventory that cannot be found, an archive that cannot be written.
        LockedError: another run holds the cluster.
    """
    given = dict(notebook.metadata.get("papermill", {}).get("parameters", {}))
    values = {**_declared(notebook), **given}
    name = Path(input_path or "notebook").stem
    run = load_run(values) if _TELLING in values else None
    with ExitStack() as stack:
        if run is not None:
            stack.enter_context(cluster_lock(run.inventory, f"papermill, notebook {name}"))
        facts = RunFacts(
            archive=open_archive(records_location(), refresh=False),
            run=new_record_id(),
            cluster=run.parameters.name if run else _NO_CLUSTER,
            notebooks=(name,),
            plan=run.parameters.plan if run else False,
            parameters=run.parameters.model_dump(mode="json") if run else given,
            redactor=_redactor(run),
        )
        recording = Recording.begin(name, _source(notebook, input_path), facts)
        recording.at_end.push(stack.pop_all())
    return recording


def _redactor(run: Run | None) -> Redactor:
    return redactor_for(run) if run is not None else Redactor()


def _source(notebook: Any, input_path: str | None) -> str:
    """The text of the notebook's file; of one that is elsewhere, what papermill made of it."""
    path = Path(input_path or "")
    if path.is_file():
        return path.read_text(encoding="utf-8")
    import nbformat

    return str(nbformat.v4.writes_json(notebook))  # type: ignore[no-untyped-call]


def _declared(notebook: Any) -> Mapping[str, Any]:
    """The parameters that the cell tagged ``parameters`` declares, with those defaults that are literals."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            found |= _assignments(cell.source)
    return found


def _assignments(source: str) -> Mapping[str, Any]:
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}  # the cell itself will tell, with the line
    found = {}
    for statement in statements:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    found[name] = ast.literal_eval(value)
                except ValueError:
                    continue  # computed: only the kernel can know it
    return found
