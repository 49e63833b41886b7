"""Runs a notebook's cells in order in one kernel, and records their final states."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import run_sync

from runbook_lib.errors import DeadlineError, InterruptedRun, RunbookError
from runbook_lib.execute import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.notebook_saver import NotebookSaver, join_streams, show_error
from runbook_lib.execute.kernel.outputs import CellOutputs, MessageClient
from runbook_lib.execute.kernel.settings import TimeLimits, Watcher
from runbook_lib.model.record import CellState

with without_slow_formats():
    from nbclient.client import timestamp
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbclient.util import run_hook

if TYPE_CHECKING:
    from runbook_lib.execute.kernel.kernels import ProjectKernelManager

_IOPUB_TIMEOUT = 60
_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class ExecutionContext:
    """Shared by all kernels of one notebook; ``output_limit`` is in characters per cell."""

    saver: NotebookSaver
    limits: TimeLimits
    watcher: Watcher
    interruption: Interruption
    output_limit: int


class RunbookClient(MessageClient):
    """papermill's client, with its own loop that handles interruptions, time limits and dead kernels.

    The loop takes the kernel's messages with ``jupyter_client``'s public methods. nbclient's own loop could handle this
    only by overriding private methods, which change from version to version. Callers of papermill see the same as with
    nbclient: its settings, its hooks and their order, the timing in the cells' metadata.

    Args:
        context: the notebook, and everything that all its kernels share.
        kernel: the kernel, which its owner shuts down.
        settings: papermill's and nbclient's own.
    """

    def __init__(self, context: ExecutionContext, kernel: ProjectKernelManager, **settings: Any) -> None:
        settings = {"iopub_timeout": _IOPUB_TIMEOUT, **settings}
        super().__init__(context.saver, context.watcher, context.interruption, km=kernel, **settings)
        self._limits = context.limits
        self._output_limit = context.output_limit
        self._late: CellTimeoutError | None = None
        self._answers = False
        self._exits = False
        self._interruption.watch(kernel.process)

    @property
    def answers(self) -> bool:
        """Whether the kernel does what it is asked; it may be about to end."""
        return self._answers and self._is_alive()

    @property
    def usable(self) -> bool:
        """Whether the kernel can take another cell."""
        return self.answers and not self._exits

    def start(self, seconds: float) -> None:
        """Wait until the kernel answers.

        Raises:
            DeadKernelError: it died.
            DeadlineError: it did not answer within that time.
            InterruptedRun: a signal arrived.
        """
        self.reset_execution_trackers()
        self.kc = self.km.client()
        self.kc.start_channels()
        self.kc.allow_stdin = False
        info = run_sync(self._answer)(seconds)
        self.nb.metadata["language_info"] = info["language_info"]
        self._answers = True

    def begin_notebook(self) -> None:
        """Tell the caller, if that is wanted, that the first cell is about to be executed."""
        run_sync(run_hook)(self.on_notebook_start, notebook=self.nb)

    def conclude(self) -> None:
        """Put into the notebook what belongs to no single cell, the state of its widgets, and let go of the kernel."""
        self._interruption.watch(None)
        self.set_widgets_metadata()
        if self.kc is not None:
            self.kc.stop_channels()

    def raise_if_dead(self) -> None:
        """Raise ``DeadKernelError`` if the kernel died since the last cell."""
        if not self._is_alive():
            raise self._death("between two cells")

    def execute_quietly(self, source: str, seconds: float) -> None:
        """Execute code that is no cell of its own, and keep nothing of it. Raises ``RunbookError`` if it fails."""
        reply = run_sync(self.kc.execute_interactive)(
            source, store_history=False, timeout=seconds, output_hook=lambda message: None
        )
        if reply["content"]["status"] != "ok":
            problem = self._recording.redact(f"{reply['content'].get('ename')}: {reply['content'].get('evalue')}")
            raise RunbookError(f"the parameters could not be set in a fresh kernel ({problem})")

    def execute_at(self, index: int) -> None:
        """Execute one cell and note how it ended.

        Raises:
            CellExecutionError: it raised an exception.
            CellTimeoutError: it ran out of its time, or the notebook did.
            DeadKernelError: the kernel died.
            InterruptedRun: a signal interrupted it.
            RecordError, OSError: the record cannot be written any more; the cell was interrupted.
        """
        cell = self.nb.cells[index]
        self._saver.cell_start(cell, index)
        cell.outputs = []
        self._late = self._unkept = None
        keep_whole = partial(self._recording.overflow, cell.get("id") or f"cell_{index}")
        self._outputs = CellOutputs(cell, self._recording.redactor, self._output_limit, keep_whole)
        self._saver.before_save = self._outputs.join
        self._interruption.cell_sent()
        began = time.monotonic()
        try:
            error = self._attempt(cell, index)
            seconds = time.monotonic() - began
        finally:
            self._interruption.cell_ended()
            self._saver.before_save = lambda: None
        state, error = self._judge(error)
        if error is not None and not isinstance(error, CellExecutionError):
            show_error(cell, type(error).__name__, str(error))
        self._saver.cell_ended(cell, index, state, seconds)
        if error is not None:
            raise error

    def _attempt(self, cell: Any, index: int) -> BaseException | None:
        """Execute a cell; what it, or the attempt, raised."""
        error: BaseException | None = None
        try:
            run_sync(self._execute)(cell, index)
        except BaseException as raised:  # noqa: BLE001 - the caller notes it in the record, and raises it again
            error = raised
        try:
            self._release({"parent_header": {}, "header": {}}, index)
            self._outputs.close()
            if self.coalesce_streams:
                join_streams(cell)
        except (OSError, RunbookError) as unkept:
            if self._saver.failure is None:
                self._saver.failure = self._unkept = unkept
        return error

    def _judge(self, error: BaseException | None) -> tuple[CellState, BaseException | None]:
        """How the cell that just ended has ended, and what to raise for it."""
        if self._unkept is not None:
            return CellState.INTERRUPTED, self._unkept
        if self._late is not None:
            return CellState.TIMED_OUT, self._late
        if self._interruption.interrupted_cell and self._interruption.received is not None:
            return CellState.INTERRUPTED, InterruptedRun(f"interrupted by {self._interruption.received.name}")
        if isinstance(error, DeadKernelError):
            return CellState.FAILED, self._death()
        if isinstance(error, CellExecutionError) and error.ename == "KeyboardInterrupt":
            return CellState.INTERRUPTED, error
        return (CellState.COMPLETED if error is None else CellState.FAILED), error

    def _is_alive(self) -> bool:
        return bool(run_sync(self.km.is_alive)())

    def _death(self, when: str = "") -> DeadKernelError:
        """What to say of a kernel that died: when, of what, and what its process said at last."""
        told = self._recording.redact(self.km.stderr_tail)
        lines = [f"the kernel died {when}".rstrip() + _cause_of_death(self.km), *told.splitlines()]
        return DeadKernelError("\n  | ".join(lines))

    async def _answer(self, seconds: float) -> Any:
        """The kernel's first answer: what it is. nbclient would wait another 0.2 s for nothing to come after it."""
        deadline = time.monotonic() + seconds
        self.kc.kernel_info()
        while True:
            message = await self._shell_message()
            if message is not None:
                with contextlib.suppress(Empty):
                    # Output may still be unconnected when the kernel already answers.
                    await self.kc.get_iopub_msg(timeout=_POLL_SECONDS)
                    return message["content"]
                self.kc.kernel_info()
            if not await self.km.is_alive():
                raise self._death("while it started")
            self._interruption.raise_if_received()
            if time.monotonic() > deadline:
                raise DeadlineError(f"the kernel did not start within {seconds:g} s")

    async def _execute(self, cell: Any, index: int) -> None:
        """Send a cell to the kernel, take what it puts out, and wait until it is done.

        The caller's hooks see the cell as the record shows it, without secrets.
        """
        hooked = {"cell": cell, "cell_index": index}
        await run_hook(self.on_cell_start, **hooked)
        if self.record_timing:
            cell.metadata["execution"] = {}
        stops = not self._allows_error(cell)
        await run_hook(self.on_cell_execute, **hooked)
        request = self.kc.execute(self._saver.source_of(index), store_history=True, stop_on_error=stops)
        await run_hook(self.on_cell_complete, **hooked)
        self.code_cells_executed += 1
        cell.outputs = []
        self.clear_before_next_output = False
        reply = await self._until_done(request, cell, index)
        await run_hook(self.on_cell_executed, **hooked, execute_reply=reply)
        await self._raise_for_error(cell, index, reply)

    async def _until_done(self, request: str, cell: Any, index: int) -> Any:
        """Wait for the kernel's reply to a cell, and for all of its output; returns the reply."""
        seconds = self._limit_of(cell)
        output = self._reading = asyncio.ensure_future(self.take_output(request, cell, index))
        try:
            reply = await self._reply(request, seconds)
            if self.record_timing:
                cell.metadata["execution"]["shell.execute_reply"] = timestamp(reply)
            await self._rest_of(output, cell)
        finally:
            output.cancel()
            await asyncio.wait([output])
        return reply

    def _limit_of(self, cell: Any) -> float | None:
        if self.timeout_func is None:
            return self._limits.of_next_cell()
        seconds = self.timeout_func(cell)
        return self._limits.of_next_cell(seconds if seconds and seconds > 0 else None)

    async def _shell_message(self, seconds: float = _POLL_SECONDS) -> Any:
        """The next message of the shell channel; ``None`` if there is none within a moment, and the kernel lives.

        Never one long wait: what is sent on this channel meanwhile (a widget's state) takes the only sign of a message
        that has just arrived, so that it would not be seen (https://github.com/jupyter/nbclient/issues/312).
        """
        with contextlib.suppress(Empty):
            return await self.kc.get_shell_msg(timeout=max(0.0, min(seconds, _POLL_SECONDS)))
        return None

    async def _reply(self, request: str, seconds: float | None) -> Any:
        """The kernel's reply to a request, which it has ``seconds`` for."""
        limit = float("inf") if seconds is None else seconds
        deadline = time.monotonic() + limit
        while True:
            message = await self._shell_message(deadline - time.monotonic())
            if message is not None and message["parent_header"].get("msg_id") == request:
                return message
            if message is None:
                await self._raise_if_gone()
            if time.monotonic() >= deadline:
                reply = await self._out_of_time(limit)
                if reply is not None:
                    return reply
                deadline = time.monotonic() + limit

    async def _out_of_time(self, seconds: float) -> Any:
        """Interrupt a cell that is out of time; its reply, or ``None`` if it has as much time again."""
        if self.interrupt_on_timeout and not (self._interruption.interrupted_cell or self._limits.notebook_is_over):
            self.log.error("no reply within %g s: the kernel is interrupted", seconds)
            await self.km.interrupt_kernel()
            return {"content": {**self.error_on_timeout, "status": "error"}} if self.error_on_timeout else None
        if not self._interruption.interrupted_cell:
            self._late = CellTimeoutError(self._limits.complaint(seconds))
            self._interruption.interrupt_kernel()
        return await self._reply_in_grace()

    async def _reply_in_grace(self) -> Any:
        """The reply of a cell that was interrupted, whose ``finally`` has the grace period to end it."""
        deadline = time.monotonic() + self._interruption.grace_seconds
        while time.monotonic() < deadline:
            message = await self._shell_message()
            if message is not None and message["msg_type"] == "execute_reply":
                return message
            await self._raise_if_gone()
        self._answers = False
        raise self._late or DeadKernelError("Kernel died")

    async def _rest_of(self, output: asyncio.Future[None], cell: Any) -> None:
        """Wait for what a cell has put out before its reply."""
        deadline = time.monotonic() + self.iopub_timeout
        while not output.done():
            left = deadline - time.monotonic()
            if left <= 0:
                told = "Timeout waiting for IOPub output"
                if self.raise_on_iopub_timeout:
                    raise CellTimeoutError.error_from_timeout_and_cell(told, self.iopub_timeout, cell)
                self.log.warning(told)
                return
            await asyncio.wait([output], timeout=min(left, _POLL_SECONDS))
            if not output.done():
                await self._raise_if_gone()
        output.result()

    async def _raise_if_gone(self) -> None:
        """Raise if the kernel is dead, or if nobody reads its output any more: then it may wait for that for ever."""
        if not await self.km.is_alive():
            raise DeadKernelError("Kernel died")
        if self._reading.done():
            self._reading.result()

    def _allows_error(self, cell: Any, name: str | None = None) -> bool:
        """Whether the notebook goes on after an exception of a cell, by the caller's settings and the cell's tags."""
        if self.force_raise_errors:
            return False
        by_tag = "raises-exception" in cell.metadata.get("tags", ())
        return bool(self.allow_errors or by_tag or name in self.allow_error_names)

    async def _raise_for_error(self, cell: Any, index: int, reply: Any) -> None:
        content = reply["content"] = self._recording.redact_json(reply["content"])
        if any(payload.get("source") == "ask_exit" for payload in content.get("payload", ())):
            self._exits = True
            self._fail_for_exit(cell, "exit()")
        if content.get("ename") == "SystemExit":
            self._fail_for_exit(cell, f"sys.exit({content.get('evalue', '')})")
        if content["status"] != "error":
            return
        await run_hook(self.on_cell_error, cell=cell, cell_index=index, execute_reply=reply)
        if not self._allows_error(cell, content.get("ename")):
            raise CellExecutionError.from_cell_and_msg(cell, content)

    def _fail_for_exit(self, cell: Any, call: str) -> None:
        """A cell that ends the notebook has not done what comes after it; papermill would take it for a good end."""
        message = f"{call} in a cell ends the notebook as failed: what comes after it was not run"
        show_error(cell, "SystemExit", message)
        raise CellExecutionError(f"SystemExit: {message}", "SystemExit", message)


def _cause_of_death(kernel: Any) -> str:
    process = kernel.provisioner.process if kernel is not None and kernel.provisioner is not None else None
    status = process.poll() if process is not None else None
    if status is None:
        return ""
    if status >= 0:
        return f" with exit status {status}"
    name = signal.Signals(-status).name
    return f" of {name}" + (" (killed by a user, or because memory ran out)" if name == "SIGKILL" else "")
