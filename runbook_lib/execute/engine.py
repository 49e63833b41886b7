"""The papermill engine ``runbook``: what ``papermill --engine runbook`` finds under this package's entry point."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernels import Kernels
from runbook_lib.execute.validity import check_form, check_is_python, check_kernel, check_language, mend
from runbook_lib.execute.watching import SILENT, Watcher

if TYPE_CHECKING:
    from runbook_lib.execute.recording import Recording

#: Characters of output that a cell keeps in the notebook; the whole is beside it.
OUTPUT_LIMIT = 1_000_000


class RunbookEngine:
    """Executes a notebook in this environment's own Python and leaves an honest record, however it ends.

    It has the three methods that papermill calls. It is no subclass of papermill's ``Engine``: papermill imports
    this module while it is being imported itself.
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
        """Execute ``nb``, finish its record, and return it; the saved states of its cells are what really happened.

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
            watcher: told what happens.
            kernels: started beforehand, perhaps.
            interruption: whose handlers are installed already, perhaps.
            notebook_timeout: for the whole notebook (seconds).
            output_limit: characters of output that a cell keeps.
            recording: the notebook's record. ``None`` is for plain papermill: parameters are checked, the cluster is
                locked and a record is opened here, and errors become those of papermill's command line, if it called.
            options: nbclient's own settings, which count as they do for plain papermill: ``timeout`` where there is no
                ``execution_timeout``, ``allow_errors``, ``iopub_timeout``, ``on_cell_start``, …

        Raises:
            ParameterError, LockedError: there was no record to begin with, and nothing was touched.
            InputError: there was no record to begin with, and a cell refused what it was given; or the notebook is not
                valid or not in Python, or another kernel is asked for, and nothing was touched.
            CellTimeoutError, DeadlineError: a cell, the notebook, or the kernel's start took too long.
            DeadKernelError: the kernel died.
            InterruptedRun: a signal arrived.
            RecordError: the record cannot be written.
        """
        from runbook_lib.execute.client import Surroundings
        from runbook_lib.execute.command_line import errors_for_command_line, raise_for_bad_input
        from runbook_lib.execute.execution import NotebookExecution
        from runbook_lib.execute.keeper import NotebookKeeper
        from runbook_lib.execute.limits import TimeLimits
        from runbook_lib.execute.settings import ClientSettings

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
            keeper = NotebookKeeper(
                nb, recording or _recording(nb, input_path), progress_bar=progress_bar, log_output=log_output, **saving
            )
            around = Surroundings(keeper, limits, watcher, ours, output_limit)
            settings = settings.with_ours(kernel_name=kernel_name, **telling)
            NotebookExecution(around, pool, settings, start_timeout).execute()
            if recording is None:
                raise_for_bad_input(nb)
        return keeper.nb

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel's name for papermill: it picks the language of the injected cell, not the interpreter.

        Raises:
            InputError: another kernel than this environment's Python is asked for.
        """
        from runbook_lib.execute.command_line import errors_for_command_line

        with errors_for_command_line():
            check_kernel(name, nb)
        return str(name or nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language of the injected parameters; the notebooks are Python.

        Raises:
            InputError: another language is asked for, or the notebook is in another.
        """
        from runbook_lib.execute.command_line import errors_for_command_line

        with errors_for_command_line():
            if language:
                check_is_python(language, "--language")
            else:
                check_language(nb, "the notebook")
        return language or "python"


def _check(nb: Any, kernel_name: str, input_path: Any, *, known: bool) -> None:
    """Refuse what cannot be executed as it is meant; whoever began a record (``known``) has looked before that."""
    mend(nb)
    if known:
        return
    place = input_path if isinstance(input_path, str) else "the notebook"
    check_form(nb, place)
    own = nb.metadata.get("kernelspec", {}).get("name")
    if kernel_name in (own, None) or not own:
        check_language(nb, place)  # else the user asked for Python


def _recording(nb: Any, input_path: object) -> Recording:
    from runbook_lib.execute.recording import Recording

    return Recording.for_papermill(nb, input_path)
