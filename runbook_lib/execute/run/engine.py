"""The papermill engine ``runbook``, found by ``papermill --engine runbook`` through this package's entry point.

For a plain papermill command ``record_plain`` adds what ``runbook run`` does itself: validation, lock and record.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.kernels import Kernels
from runbook_lib.execute.kernel.settings import SILENT, Watcher
from runbook_lib.execute.recording.recording import Recording, RunFacts
from runbook_lib.execute.run.notebooks import (
    NO_CLUSTER,
    add_display_name,
    check_format,
    check_is_python,
    check_kernel,
    check_language,
    declared_in,
    without_parameters_cell,
    works_on_a_cluster,
)
from runbook_lib.locking import cluster_lock
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.locations import records_location
from runbook_lib.model.redaction import redactor_for
from runbook_lib.records.store import open_archive
from runbook_lib.records.writer import new_record_id
from runbook_lib.redact import Redactor

#: Characters of output that a cell keeps in the notebook; the complete output is in a file beside it.
OUTPUT_LIMIT = 1_000_000


class RunbookEngine:
    """Executes a notebook in this environment's own Python and leaves a record, however it ends.

    It has the three methods that papermill calls, without subclassing papermill's ``Engine``: papermill imports this
    module during its own import.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        *,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        stdout_file: Any = None,
        stderr_file: Any = None,
        input_path: str | None = None,
        watcher: Watcher = SILENT,
        kernels: Kernels | None = None,
        interruption: Interruption | None = None,
        notebook_timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
        recording: Recording | None = None,
        **options: Any,
    ) -> Any:
        """Execute ``nb``, finish its record, and return it with the true states of its cells.

        Args:
            nb: the notebook, as papermill parameterized it.
            kernel_name: papermill's choice; every notebook gets this environment's Python.
            output_path: papermill's output; ``None``: only the record keeps the notebook.
            progress_bar: papermill's progress bar.
            log_output: log what cells put out.
            autosave_cell_every: save this often while a cell runs (seconds).
            start_timeout: for the kernel's start (seconds).
            execution_timeout: for each cell (seconds).
            stdout_file: gets what cells write to standard output.
            stderr_file: gets what cells write to standard error.
            input_path: where the notebook comes from.
            watcher: observes the execution.
            kernels: a source of kernels, some perhaps already started.
            interruption: its signal handlers may already be installed.
            notebook_timeout: for the whole notebook (seconds).
            output_limit: characters of output that a cell keeps.
            recording: the notebook's record. ``None`` is for plain papermill: parameters are checked, the cluster is
                locked and a record is opened here, and errors become those of papermill's command line, if it called.
            options: nbclient's own settings, which count as they do for plain papermill: ``timeout`` where there is no
                ``execution_timeout``, ``allow_errors``, ``iopub_timeout``, ``on_cell_start``, …

        Raises:
            ParameterError, LockedError: called without a record; nothing was changed.
            InputError: called without a record, and a cell rejected its input; or the notebook is invalid or not in
                Python, or another kernel is requested, and nothing was changed.
            CellTimeoutError, DeadlineError: a cell, the notebook, or the kernel's start took too long.
            DeadKernelError: the kernel died.
            InterruptedRun: a signal arrived.
            RecordError: the record cannot be written.
        """
        from runbook_lib.execute.kernel.client import ExecutionContext
        from runbook_lib.execute.kernel.execution import NotebookExecution
        from runbook_lib.execute.kernel.notebook_saver import NotebookSaver
        from runbook_lib.execute.kernel.settings import ClientSettings, TimeLimits
        from runbook_lib.execute.outcome import errors_for_command_line, raise_for_bad_input

        saving = {"output_path": output_path, "autosave_cell_every": autosave_cell_every}
        telling = {"log_output": log_output, "stdout_file": stdout_file, "stderr_file": stderr_file}
        with ExitStack() as stack:
            if recording is None:
                stack.enter_context(errors_for_command_line())
            settings = ClientSettings.of(options)
            _check(nb, kernel_name, input_path, known=recording is not None)
            pool = stack.enter_context((kernels or Kernels()).borrowed())
            ours = stack.enter_context((interruption or Interruption()).installed())
            limits = TimeLimits(execution_timeout or settings.timeout, notebook_timeout)
            record = recording or record_plain(nb, input_path)
            saver = NotebookSaver(nb, record, progress_bar=progress_bar, log_output=log_output, **saving)
            context = ExecutionContext(saver, limits, watcher, ours, output_limit)
            settings = settings.with_ours(kernel_name=kernel_name, **telling)
            NotebookExecution(context, pool, settings, start_timeout).execute()
            if recording is None:
                raise_for_bad_input(nb)
        return saver.nb

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel's name for papermill: it picks the language of the injected cell, not the interpreter.

        Raises:
            InputError: another kernel than this environment's Python is requested.
        """
        from runbook_lib.execute.outcome import errors_for_command_line

        with errors_for_command_line():
            check_kernel(name, nb)
        return str(name or nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language of the injected parameters; the notebooks are Python.

        Raises:
            InputError: another language is requested, or the notebook is in another one.
        """
        from runbook_lib.execute.outcome import errors_for_command_line

        with errors_for_command_line():
            if language:
                check_is_python(language, "--language")
            else:
                check_language(nb, "the notebook")
        return language or "python"


def _check(nb: Any, kernel_name: str, input_path: Any, *, known: bool) -> None:
    """Reject a notebook that cannot be executed as intended, unless it was already checked (``known``)."""
    add_display_name(nb)
    if known:
        return
    place = input_path if isinstance(input_path, str) else "the notebook"
    check_format(nb, place)
    own = nb.metadata.get("kernelspec", {}).get("name")
    if kernel_name in (own, None) or not own:
        check_language(nb, place)  # else the user requested Python


def record_plain(notebook: Any, input_path: object) -> Recording:
    """Validate the parameters that papermill injected, lock the cluster, and open a record in the default archive.

    Args:
        notebook: the notebook from papermill, with injected parameters.
        input_path: the notebook's path or URL; anything else for one without a file.

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
    # papermill passes a notebook object instead of a path if a program created it.
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
    """The content of the notebook's file; for a notebook elsewhere, the content from papermill."""
    path = Path(input_path)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    import nbformat

    return str(nbformat.v4.writes_json(notebook))  # type: ignore[no-untyped-call]
