"""Runs a notebook's cells for the engine, and keeps a record that is true at every moment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from runbook_lib.execute.imports import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.watching import Watcher

with without_slow_formats():
    import nbformat
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NotebookExecutionManager
    from papermill.log import logger as log

__all__ = ["RecordKeeper", "RunbookClient", "log"]

_IOPUB_TIMEOUT = 60
_POLL_SECONDS = 0.5
_DISPLAYS = frozenset(("display_data", "update_display_data", "execute_result"))


class RecordKeeper(NotebookExecutionManager):  # type: ignore[misc]  # papermill is not annotated
    """Keeps cell states and saves the notebook: whole files only, once a cell, with no state made up."""

    _held = False

    def save(self, **kwargs: Any) -> None:
        """Write the notebook to its path, replacing the former version at once."""
        if self._held:
            return
        if self.output_path and "://" not in self.output_path and self.output_path != "-":
            text = nbformat.v4.writes_json(self.nb)  # type: ignore[no-untyped-call]
            replace_text(Path(self.output_path), text)
            self.last_save_time = self.now()
        else:
            super().save(**kwargs)

    def pass_over(self, cell: Any) -> None:
        """A cell that is not executed: text is complete as it is, anything else stays pending."""
        if cell.cell_type != "code":
            cell.metadata.papermill["status"] = self.COMPLETED

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note a cell's end; the next cell's start, or the notebook's end, saves it."""
        with self._holding():
            super().cell_complete(cell, cell_index=cell_index, **kwargs)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Note the notebook's end. papermill would call cells completed that never ran; they stay pending."""
        states = [cell.metadata.papermill["status"] for cell in self.nb.cells]
        with self._holding():
            super().notebook_complete(**kwargs)
        for cell, state in zip(self.nb.cells, states, strict=True):
            cell.metadata.papermill["status"] = state
        self.save()

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False


class RunbookClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill is not annotated
    """papermill's client, told of interruptions, timeouts and dead kernels, and telling what arrives."""

    def __init__(self, keeper: RecordKeeper, *, watcher: Watcher, interruption: Interruption, **settings: Any) -> None:
        super().__init__(keeper, iopub_timeout=_IOPUB_TIMEOUT, **settings)
        self.watcher = watcher
        self.interruption = interruption
        self._late: CellTimeoutError | None = None
        interruption.watch(self.km.provisioner.pid)

    def execute(self, **kwargs: Any) -> Any:
        """Execute all cells; the kernel is left to whom it belongs."""
        try:
            return super().execute(**kwargs)
        finally:
            self.interruption.watch(None)
            if self.kc is not None:
                self.kc.stop_channels()

    def papermill_execute_cells(self) -> None:
        """Execute cell by cell until one fails; a failure that is no exception of the cell itself is raised."""
        total = sum(map(self._is_executed, self.nb.cells))
        number = 0
        for index, cell in enumerate(self.nb.cells):
            if not self._is_executed(cell):
                self.nb_man.pass_over(cell)
                continue
            self.interruption.raise_if_received()
            number += 1
            self.watcher.cell_started(number, total, cell.source)
            if not self._execute(cell, index):
                return
        self.interruption.raise_if_received()

    def _is_executed(self, cell: Any) -> bool:
        skipped = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not skipped

    def _execute(self, cell: Any, index: int) -> bool:
        """Execute one cell and note how it ended; False when the cell raised an exception."""
        self.nb_man.cell_start(cell, index)
        try:
            self._execute_in_time(cell, index)
        except BaseException as error:
            cell = self.nb.cells[index]
            if not isinstance(error, CellExecutionError):
                _note_error(cell, error, self._message(error))
            self.nb_man.cell_exception(cell, cell_index=index, exception=error)
            if isinstance(error, CellExecutionError):
                return False
            raise
        finally:
            self.interruption.cell_ended()
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
        return True

    def _execute_in_time(self, cell: Any, index: int) -> None:
        """Execute one cell. Raises ``CellTimeoutError`` also when the cell ended of the interrupt that followed."""
        self._late = None
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as error:
            if self._late is not None:
                raise self._late from error
            raise
        if self._late is not None:
            raise self._late

    async def _async_handle_timeout(self, timeout: int, cell: Any = None) -> Any:
        """Interrupt a cell that is out of time, and give its ``finally`` the grace period to end it."""
        who = "the kernel gave no answer" if cell is None else "the cell did not end"
        self._late = CellTimeoutError(f"{who} within {timeout} s and was interrupted (--timeout)")
        self.interruption.interrupt_kernel()
        deadline = time.monotonic() + self.interruption.grace_seconds
        while time.monotonic() < deadline and await self.km.is_alive():
            with contextlib.suppress(Empty):
                message = await self.kc.shell_channel.get_msg(timeout=_POLL_SECONDS)
                if message["msg_type"] == "execute_reply":
                    return message
        raise self._late

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Keep the output, and pass a display on to the watcher at once."""
        if msg["msg_type"] == "execute_input":
            self.interruption.cell_runs()
        output = super().process_message(msg, cell, cell_index)
        if msg["msg_type"] in _DISPLAYS:
            self.watcher.displayed(msg["content"]["data"], updated=msg["msg_type"] == "update_display_data")
        return output

    def _message(self, error: BaseException) -> str:
        if isinstance(error, DeadKernelError):
            return f"the kernel died{_cause_of_death(self.km)}"
        return str(error)


def _cause_of_death(kernel: Any) -> str:
    process = kernel.provisioner.process if kernel is not None and kernel.provisioner is not None else None
    status = process.poll() if process is not None else None
    if status is None:
        return ""
    if status >= 0:
        return f" with exit status {status}"
    name = signal.Signals(-status).name
    return f" of {name}" + (" (killed by somebody, or the machine ran out of memory)" if name == "SIGKILL" else "")


def _note_error(cell: Any, error: BaseException, message: str) -> None:
    """Put an error that the kernel could not tell of into the cell's outputs, where a reader looks for it."""
    name = type(error).__name__
    trace = [f"{name}: {message}"]
    output = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=trace)  # type: ignore[no-untyped-call]
    cell.outputs.append(output)


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the former version or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
