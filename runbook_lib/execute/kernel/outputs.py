"""Handles a kernel's output on its way into the notebook: redacts secrets, joins pieces and limits the size.

The complete output of a cell over the limit is in a file beside the notebook; a line in the notebook names the file and
its SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.errors import RunbookError
from runbook_lib.execute import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.notebook_saver import NotebookSaver
from runbook_lib.execute.kernel.settings import Watcher
from runbook_lib.redact import Redactor, StreamRedactor

with without_slow_formats():
    import nbformat
    from nbclient.exceptions import CellExecutionComplete
    from papermill.clientwrap import PapermillNotebookClient

# An error is shown even above the limit, because it says why the cell ended.
_ROOM_FOR_ERROR = 20_000

_BUFFER = 1 << 18
_DISPLAYS = frozenset(("display_data", "update_display_data", "execute_result"))
_NO_INPUT = "input() is not available in batch runs: make it a parameter of the notebook"


@dataclass(frozen=True)
class Shown:
    """A piece of a stream without secrets: the complete text, and the part that fits into the notebook."""

    whole: str
    kept: str


class CellOutputs:
    """The outputs of one cell while it is executed.

    Args:
        cell: the notebook's cell, whose ``outputs`` takes the output.
        redactor: replaces secrets.
        limit: how many characters the cell keeps, streams and displays together.
        keep_whole: appends text to the file with the cell's complete output, and returns its path.
    """

    def __init__(self, cell: Any, redactor: Redactor, limit: int, keep_whole: Callable[[str], str]) -> None:
        self._cell = cell
        self._redactor = redactor
        self._limit = limit
        self._room = limit
        self._whole = _WholeOutput(keep_whole)
        self._streams: dict[str, StreamRedactor] = {}
        self._displays: dict[str, int] = {}
        self._open: Any = None
        self._pieces: list[str] = []
        self._note: Any = None
        self._marked = False

    def stream(self, name: str, text: str) -> Shown:
        """Take a piece of a stream; text that may be a part of a secret stays pending until the next piece."""
        redactor = self._streams.setdefault(name, StreamRedactor(self._redactor))
        return self._admit(redactor.feed(text))

    def pending(self) -> list[tuple[str, Shown]]:
        """The pending text of each stream, when other output follows or the cell ends."""
        held = [(name, redactor.flush()) for name, redactor in self._streams.items()]
        return [(name, self._admit(text)) for name, text in held if text]

    def append(self, name: str, text: str) -> None:
        """Add a piece of a stream to the notebook, joined to the previous output if that is the same stream."""
        if text:
            outputs = self._cell.outputs
            if not (outputs and outputs[-1] is self._open and self._open.name == name):
                self.join()
                self._open = _stream(name, "")
                outputs.append(self._open)
            self._pieces.append(text)
        if self._whole.begun and not self._marked:
            self.join()

    def display(
        self, data: Mapping[str, Any], display_id: str | None = None, *, updated: bool = False
    ) -> dict[str, Any]:
        """The data (MIME type -> content, redacted) that the notebook keeps of a display or its update."""
        size = sum(map(_size, data.values()))
        room = self._room + self._displays.get(display_id or "", 0)
        if size <= room:
            self._room = room - size
            if not updated:
                self._whole.add("".join(f"\n[{kind}]\n{_text(content)}\n" for kind, content in data.items()), size)
            if display_id:
                self._displays[display_id] = size
            return dict(data)
        for kind, content in data.items():
            self._whole.write(f"\n[{kind}]\n{_text(content)}\n", _size(content))
        return {"text/plain": f"[{', '.join(data)}: {size:,} characters, too much to be kept here]"}

    def error(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The parts of an error (``ename``, ``evalue``, ``traceback``, redacted) that the notebook keeps."""
        evalue, trace = str(content["evalue"]), "\n".join(content["traceback"])
        size = len(evalue) + len(trace)
        room = max(self._room, _ROOM_FOR_ERROR)
        if size <= room:
            self._room = max(0, self._room - size)
            self._whole.add(f"\n{trace}\n", size)
            return dict(content)
        self._whole.write(f"\n{trace}\n", size)
        half = _ROOM_FOR_ERROR // 2
        return {**content, "evalue": _shorten(evalue, half), "traceback": _shorten(trace, half).split("\n")}

    def limited(self, value: Any) -> Any:
        """The value (widget state) with each text above the limit replaced by a note."""
        if isinstance(value, str) and len(value) > self._limit:
            self._whole.write(f"\n[widget]\n{value}\n", len(value))
            return f"[{len(value):,} characters, too much to be kept here]"
        if isinstance(value, Mapping):
            return {key: self.limited(item) for key, item in value.items()}
        return [self.limited(item) for item in value] if isinstance(value, list) else value

    def cleared(self) -> None:
        """The cell cleared its previous output."""
        self._room, self._open, self._marked = self._limit, None, False
        self._pieces.clear()
        self._displays.clear()
        self._whole.forget()

    def join(self) -> None:
        """Write all received output to the notebook's cell."""
        if self._pieces:
            self._open.text += "".join(self._pieces)
            self._pieces.clear()
        self._mark(final=False)

    def close(self) -> None:
        """The cell has ended: update the line about cut output."""
        self.join()
        self._mark(final=True)

    def _admit(self, text: str) -> Shown:
        kept = text[: self._room]
        self._room -= len(kept)
        if len(kept) == len(text):
            self._whole.add(text, len(text))
        else:
            self._whole.write(text, len(text))
            self._room = 0
        return Shown(text, kept)

    def _mark(self, *, final: bool) -> None:
        """Add the line about cut output at the cut, or update it."""
        if not self._whole.begun:
            return
        if not self._marked:
            self._marked = True
            self._note = _stream("stderr", "")
            self._cell.outputs.append(self._note)
            self._open = None
        self._note.text = self._whole.described(final=final)


class _WholeOutput:
    """A cell's complete output: in memory up to the notebook's limit, then in a file."""

    def __init__(self, keep: Callable[[str], str]) -> None:
        self._keep = keep
        self._pieces: list[str] = []
        self._buffered = 0
        self._total = 0
        self._hash = hashlib.sha256()
        self._path = ""
        self._lost = False
        self.begun = False

    def add(self, text: str, size: int) -> None:
        """Add text that the notebook keeps too; ``size`` is what counts as the cell's own."""
        self._total += size
        if self._lost:
            return
        self._pieces.append(text)
        if self.begun:
            self._buffered += len(text)
            if self._buffered >= _BUFFER:
                self._write_out()

    def write(self, text: str, size: int) -> None:
        """Add text that the notebook does not keep, so the file must."""
        if not self.begun:
            self.begun = True
            self._buffered = _BUFFER
        self.add(text, size)

    def forget(self) -> None:
        """Drop what is only in memory."""
        if not self.begun:
            self._pieces.clear()
            self._total = 0

    def described(self, *, final: bool) -> str:
        """The line for the notebook."""
        if self._lost:
            return f"[output cut: {self._total:,} characters in all, the whole could not be kept]\n"
        if not final:
            return f"[output cut: {self._total:,} characters up to now, the whole is in {self._path}]\n"
        self._write_out()
        return (
            f"[output cut: {self._total:,} characters in all, the whole is in {self._path}, "
            f"SHA-256 {self._hash.hexdigest()}]\n"
        )

    def _write_out(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if text:
            self._lost = True
            self._path = self._keep(text)
            self._lost = False
            self._hash.update(text.encode("utf-8", "backslashreplace"))


def _stream(name: str, text: str) -> Any:
    return nbformat.v4.new_output("stream", name=name, text=text)  # type: ignore[no-untyped-call]


def _size(content: Any) -> int:
    return len(_text(content))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _shorten(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    half = room // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


class MessageClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill is not annotated
    """papermill's client with our own handling of messages.

    Args:
        saver: the notebook and its record.
        watcher: observes displays.
        interruption: observes the start of cells.
        settings: papermill's and nbclient's own.
    """

    def __init__(self, saver: NotebookSaver, watcher: Watcher, interruption: Interruption, **settings: Any) -> None:
        super().__init__(saver, **settings)
        self._saver = saver
        self._recording = saver.recording
        self._watcher = watcher
        self._interruption = interruption
        self._outputs: CellOutputs
        self._unkept: Exception | None = None
        self.clear_before_next_output: bool = False

    async def take_output(self, request: str, cell: Any, index: int) -> None:
        """Take messages until the cell is done; late messages of earlier cells must be read too.

        Args:
            request: the id of the execute request.
            cell: the cell that gets the output.
            index: the cell's index in the notebook.
        """
        done = False
        while not done:
            message = await self.kc.get_iopub_msg(timeout=None)
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self.km.acknowledge(content["text"])
            if message["parent_header"].get("msg_id") == request:
                done = kind == "status" and content["execution_state"] == "idle"
                self._take(message, cell, index)

    def _take(self, message: dict[str, Any], cell: Any, index: int) -> None:
        """Take one message. If the record cannot be written (disk full), the cell is interrupted once."""
        try:
            with contextlib.suppress(CellExecutionComplete):
                self.process_message(message, cell, index)
        except (OSError, RunbookError) as error:
            if self._saver.failure is None or self._saver.failure is error:
                self._saver.failure = self._unkept = error
                self._interruption.interrupt_kernel()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Store the kernel's output, and pass it on."""
        kind = msg["msg_type"]
        if kind == "execute_input":
            self._interruption.cell_runs()
        elif kind == "stream":
            name = msg["content"]["name"]
            self._show(name, self._outputs.stream(name, msg["content"]["text"]), msg, cell_index)
            self._saver.autosave_cell()
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
        """Whether a widget shows the output instead of the cell."""
        return bool(self.output_hook_stack[message["parent_header"].get("msg_id")])

    def _release(self, message: dict[str, Any], index: int) -> None:
        """Show pending text, which could have been the beginning of a secret."""
        for name, shown in self._outputs.pending():
            self._show(name, shown, message, index)

    def _show(self, name: str, shown: Shown, message: dict[str, Any], index: int) -> None:
        """Write a piece of a stream to the notebook or a widget, to the log and to papermill's files."""
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
        """Clear the output if ``clear_output(wait=True)`` requested it before this output."""
        if self.clear_before_next_output:
            self.nb.cells[index].outputs[:] = []
            self.clear_display_id_mapping(index)
            self.clear_before_next_output = False
            self._outputs.cleared()

    def _cover(self, message: dict[str, Any], index: int) -> None:
        """Redact the content, pass displays on, and cut what exceeds the limit."""
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
        """Redact a widget's state."""
        message["content"] = self._outputs.limited(self._recording.redact_json(message["content"]))
        message["buffers"] = [
            self._recording.redact(bytes(buffer).decode("latin-1")).encode("latin-1", "replace")
            for buffer in message.get("buffers", ())
        ]
