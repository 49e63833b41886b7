"""What a plain ``papermill --engine runbook`` lacks: checked parameters, the lock, the record."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runbook_lib.execute.declared import NO_CLUSTER, declared_in, without_parameters_cell, works_on_a_cluster
from runbook_lib.execute.recording import Recording, RunFacts
from runbook_lib.locking import cluster_lock
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.locations import records_location
from runbook_lib.model.secrets import redactor_for
from runbook_lib.records.archive import open_archive
from runbook_lib.records.writer import new_record_id
from runbook_lib.redact import Redactor


def record_plain(notebook: Any, input_path: object) -> Recording:
    """Check the parameters that papermill injected, lock the cluster, and open a record in the usual archive.

    Args:
        notebook: as papermill hands it to the engine, its parameters injected.
        input_path: the notebook's file, or its address; anything else for one that has none.

    Raises:
        ParameterError: with every fault of the parameters; no kernel was started and nothing written.
        InputError: an inventory that cannot be found, an archive that cannot be written; parameters for a notebook
            without a cell for them.
        LockedError: another run holds the cluster.
    """
    given = dict(notebook.metadata.get("papermill", {}).get("parameters", {}))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    declared = declared_in((cell.metadata.get("tags", []), cell.source) for cell in code)
    if given and not any("parameters" in cell.metadata.get("tags", []) for cell in code):
        raise without_parameters_cell(input_path if isinstance(input_path, str) else "the notebook")
    # papermill hands a notebook on that a program made, instead of a path.
    path = input_path if isinstance(input_path, str) else ""
    name = Path(path).stem or "notebook"
    run = load_run({**declared, **given}) if works_on_a_cluster(declared) else None
    with ExitStack() as stack:
        if run is not None:
            stack.enter_context(cluster_lock(run.inventory, f"papermill, notebook {name}"))
        facts = RunFacts(
            archive=open_archive(records_location(), refresh=False),
            run=new_record_id(),
            cluster=run.parameters.name if run else NO_CLUSTER,
            notebooks=(name,),
            plan=run.parameters.plan if run else False,
            parameters=run.parameters.model_dump(mode="json") if run else given,
            redactor=_redactor(run),
        )
        recording = Recording.begin(name, _source(notebook, path), facts)
        recording.at_end.push(stack.pop_all())
    return recording


def _redactor(run: Run | None) -> Redactor:
    return redactor_for(run) if run is not None else Redactor()


def _source(notebook: Any, input_path: str) -> str:
    """The text of the notebook's file; of one that is elsewhere, what papermill made of it."""
    path = Path(input_path)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    import nbformat

    return str(nbformat.v4.writes_json(notebook))  # type: ignore[no-untyped-call]
