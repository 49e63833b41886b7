"""Takes what a kernel tells of a cell: without secrets, cut where it becomes too much, and passed on at once."""

from __future__ import annotations

import contextlib
from typing import Any

from runbook_lib.errors import RunbookError
from runbook_lib.execute.imports import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.keeper import NotebookKeeper
from runbook_lib.execute.outputs import CellOutputs, Shown
from runbook_lib.execute.watching import Watcher

with without_slow_formats():
    from nbclient.exceptions import CellExecutionComplete
    from papermill.clientwrap import PapermillNotebookClient

_DISPLAYS = frozenset(("display_data", "update_display_data", "execute_result"))
_NO_INPUT = "nobody is there to answer input(): make it a parameter of the notebook"


class MessageClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill is not annotated
    """papermill's client, with its own way to treat messages.

    Args:
        keeper: the notebook, and the record that it goes to.
        watcher: told of displays.
        interruption: told when the kernel begins a cell.
        settings: papermill's and nbclient's own.
    """

    def __init__(self, keeper: NotebookKeeper, watcher: Watcher, interruption: Interruption, **settings: Any) -> None:
        super().__init__(keeper, **settings)
        self._keeper = keeper
        self._recording = keeper.recording
        self._watcher = watcher
        self._interruption = interruption
        self._outputs: CellOutputs
        self._unkept: Exception | None = None
        self.clear_before_next_output: bool = False

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """Take what arrives until the cell is done; what belongs to no cell any more has to be read too."""
        done = False
        while not done:
            message = await self.kc.iopub_channel.get_msg(timeout=None)
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self.km.acknowledge(content["text"])
            if message["parent_header"].get("msg_id") == parent_msg_id:
                done = kind == "status" and content["execution_state"] == "idle"
                self._take(message, cell, cell_index)

    def _take(self, message: dict[str, Any], cell: Any, index: int) -> None:
        """Take one message. If the record cannot be written any more (a full disk), the cell is interrupted, once."""
        try:
            with contextlib.suppress(CellExecutionComplete):
                self.process_message(message, cell, index)
        except (OSError, RunbookError) as error:
            if self._keeper.failure is None or self._keeper.failure is error:
                self._keeper.failure = self._unkept = error
                self._interruption.interrupt_kernel()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Keep what the kernel puts out, and pass it on."""
        kind = msg["msg_type"]
        if kind == "execute_input":
            self._interruption.cell_runs()
        elif kind == "stream":
            name = msg["content"]["name"]
            self._show(name, self._outputs.stream(name, msg["content"]["text"]), msg, cell_index)
            self._keeper.autosave_cell()
            return None
        elif kind.startswith("comm"):
            self._cover_state(msg)
        elif kind != "status":
            self._release(msg, cell_index)
            self._cover(msg, cell_index)
            output = super().process_message(msg, cell, cell_index)
            if kind == "clear_output" and not self.clear_before_next_output and not self._is_for_widget(msg):
                self._outputs.cleared()
            self._outputs.join()
            return output
        return super().process_message(msg, cell, cell_index)

    def _is_for_widget(self, message: dict[str, Any]) -> bool:
        """Whether a widget shows the output, and not the cell."""
        return bool(self.output_hook_stack[message["parent_header"].get("msg_id")])

    def _release(self, message: dict[str, Any], index: int) -> None:
        """Show what was held back because it could have been the beginning of a secret."""
        for name, shown in self._outputs.held_back():
            self._show(name, shown, message, index)

    def _show(self, name: str, shown: Shown, message: dict[str, Any], index: int) -> None:
        """Put a piece of a stream where it belongs: into the notebook or a widget, the log, papermill's files."""
        if self._is_for_widget(message):
            if shown.kept:
                content = {"name": name, "text": shown.kept}
                header = {**message["header"], "msg_type": "stream"}
                stream = {**message, "header": header, "msg_type": "stream", "content": content}
                self.output(self.nb.cells[index].outputs, stream, None, index)
        else:
            if shown.kept:
                self._clear_if_due(index)
            self._outputs.append(name, shown.kept)
        to_file = self.stdout_file if name == "stdout" else self.stderr_file
        if to_file is not None and shown.whole:
            to_file.write(shown.whole)
            to_file.flush()
        if self.log_output and shown.kept:
            (self.log.info if name == "stdout" else self.log.warning)(shown.kept)

    def _clear_if_due(self, index: int) -> None:
        """Do what ``clear_output(wait=True)`` asked for: clear when something else comes."""
        if self.clear_before_next_output:
            self.nb.cells[index].outputs[:] = []
            self.clear_display_id_mapping(index)
            self.clear_before_next_output = False
            self._outputs.cleared()

    def _cover(self, message: dict[str, Any], index: int) -> None:
        """Replace secrets in what is to be shown, pass displays on, and leave out what is too much."""
        kind = message["msg_type"]
        content = message["content"] = self._recording.redact_json(message["content"])
        if kind in _DISPLAYS:
            updated = kind == "update_display_data"
            self._recording.displayed(content["data"])
            self._watcher.displayed(content["data"], updated=updated)
            if not updated:
                self._clear_if_due(index)
            display_id = (content.get("transient") or {}).get("display_id")
            content["data"] = self._outputs.display(content["data"], display_id, updated=updated)
        elif kind == "error":
            if content["ename"] == "StdinNotImplementedError":
                content["evalue"] = f"{content['evalue']} ({_NO_INPUT})"
            self._clear_if_due(index)
            message["content"] = self._outputs.error(content)

    def _cover_state(self, message: dict[str, Any]) -> None:
        """Replace secrets in what a widget tells of its state."""
        message["content"] = self._outputs.limited(self._recording.redact_json(message["content"]))
        message["buffers"] = [
            self._recording.redact(bytes(buffer).decode("latin-1")).encode("latin-1", "replace")
            for buffer in message.get("buffers", ())
        ]
