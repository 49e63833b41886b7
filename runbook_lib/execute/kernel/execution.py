"""Executes one notebook: its cells in order until it ends or fails, and then the cells that always run."""

from __future__ import annotations

from typing import Any

from runbook_lib.errors import DeadlineError
from runbook_lib.execute import without_slow_formats
from runbook_lib.execute.kernel.client import ExecutionContext, RunbookClient
from runbook_lib.execute.kernel.kernels import Kernels, ProjectKernelManager
from runbook_lib.execute.kernel.notebook_saver import (
    is_always,
    is_executed,
    is_parameters,
    show_error,
    state_of,
    tell_errors_as_text,
)
from runbook_lib.execute.kernel.settings import ClientSettings
from runbook_lib.model.record import CellState

with without_slow_formats():
    from nbclient.exceptions import CellExecutionError
    from papermill.log import logger as log


class NotebookExecution:
    """One execution of a notebook.

    Args:
        context: the notebook, its limits, and the observers of its execution.
        kernels: the source of kernels.
        settings: papermill's and nbclient's own, for each client and its kernel.
        start_seconds: how long a kernel may take to start.
    """

    def __init__(
        self, context: ExecutionContext, kernels: Kernels, settings: ClientSettings, start_seconds: float
    ) -> None:
        self._context = context
        self._kernels = kernels
        self._settings = settings
        self._start_seconds = start_seconds
        self._cells = context.saver.nb.cells
        self._indices = [index for index, cell in enumerate(self._cells) if self._is_executed(cell)]
        self._kernel: ProjectKernelManager | None = None
        self._client: RunbookClient | None = None

    def execute(self) -> None:
        """Execute the notebook, finish its record and end its kernel.

        Raises:
            CellTimeoutError, DeadlineError, DeadKernelError, InterruptedRun: why it ended early. The exception of a
                cell is not raised: papermill finds it in the notebook.
            RecordError, OSError: the record cannot be written.
        """
        saver = self._context.saver
        try:
            error = self._ended_by()
            self._close()
            own = isinstance(error, CellExecutionError)
            unsaved = saver.notebook_ended(failed=error is not None)
            error = unsaved if error is None else None if own else error
            saver.recording.finish(saver.nb, error, self._context.interruption)
        except BaseException:
            self._close()
            saver.recording.abandon()
            raise
        finally:
            self._context.interruption.reset()
        log.info("Record: %s", saver.recording.folder)
        if error is not None:
            raise error

    def _ended_by(self) -> BaseException | None:
        """Execute the notebook, and return the error that ended it early; ``None`` if there was none."""
        error: BaseException | None = None
        try:
            try:
                self._take_kernel()
            finally:
                self._context.saver.notebook_start()
            self._run_in_order()
        except BaseException as raised:  # noqa: BLE001 - returned, and raised after the clean-up
            error = raised
        self._clean_up()
        return error

    def _is_executed(self, cell: Any) -> bool:
        return is_executed(cell, self._settings.skipped_tag)

    def _take_kernel(self) -> ProjectKernelManager:
        """Take a kernel, without waiting for its answer."""
        self._kernel = self._kernels.take(self._settings.kernel_arguments, self._settings.kernel_folder)
        self._context.saver.recording.listen(self._kernel.journal)
        return self._kernel

    def _close(self) -> None:
        """End the kernel, and wait for its end."""
        answers = self._client is not None and self._client.answers
        if self._client is not None:
            self._client.conclude()
            self._client = None
        if self._kernel is not None:
            self._kernels.shut_down(self._kernel, kill=not answers or self._settings.ends_at_once)
            self._kernel = None
        self._kernels.wait_for_shutdown()

    def _run_in_order(self) -> None:
        saver, interruption, limits = self._context.saver, self._context.interruption, self._context.limits
        for cell in self._cells:
            saver.mark_skipped(cell)
        client = self._started()
        client.begin_notebook()
        for index in self._indices:
            interruption.raise_if_received()
            if limits.notebook_is_over:
                raise DeadlineError(limits.complaint_of_notebook())
            client.raise_if_dead()
            self._execute(client, index)
        interruption.raise_if_received()

    def _clean_up(self) -> None:
        """Execute the cells that always run, unless they have run; each shows its own failure."""
        always = [index for index in self._indices if is_always(self._cells[index])]
        left = [index for index in always if state_of(self._cells[index]) is CellState.NEVER_RUN]
        if not left:
            return
        self._context.interruption.clean_up()
        self._context.limits.clean_up()
        for index in left:
            if self._context.interruption.force_killed:
                return
            try:
                self._execute(self._usable_client(), index)
            except Exception as error:  # noqa: BLE001 - shown in the cell; the first failure is the notebook's
                if state_of(self._cells[index]) is CellState.NEVER_RUN:
                    show_error(self._cells[index], type(error).__name__, f"this cell could not be run: {error}")
                tell_errors_as_text(self._cells[index])

    def _execute(self, client: RunbookClient, index: int) -> None:
        number = self._indices.index(index) + 1
        self._context.watcher.cell_started(number, len(self._indices), self._cells[index].source)
        client.execute_at(index)

    def _started(self) -> RunbookClient:
        """A client of the kernel, after that answers."""
        kernel = self._kernel or self._take_kernel()
        self._client = RunbookClient(self._context, kernel, log=log, **self._settings.traits)
        self._client.start(self._context.limits.of_start(self._start_seconds))
        return self._client

    def _usable_client(self) -> RunbookClient:
        """The notebook's client, or that of a new kernel in which the parameters were set."""
        if self._client is not None and self._client.usable:
            return self._client
        self._close()
        client = self._started()
        for index, cell in enumerate(self._cells):
            if is_parameters(cell) and self._is_executed(cell):
                client.execute_quietly(self._context.saver.source_of(index), self._start_seconds)
        return client
