"""The journal from a notebook's kernel to its runner: calls on nodes, whole tables, metrics.

The runner gives the kernel a pipe; what is written into it ends in the record (``log.jsonl``, ``tables/``), redacted by
the runner. Without a runner, as in JupyterLab, nothing is written anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

#: Names the pipe in the kernel's environment.
JOURNAL_VARIABLE = "OVERLAY_RUNBOOK_JOURNAL"

# A script is recorded whole, the data of an image is not.
_LONGEST_WORD = 2000


@dataclass(frozen=True)
class Call:
    """One command on a node (``via`` ssh, ``argv`` its words) or one call of its engine (``via`` docker: method, path).

    ``status`` is the exit status or the HTTP status, ``None`` when there was none: ``error`` then says why, or it is
    empty for a command that was started and goes on. ``at`` is when it began (UTC, ISO 8601). ``seconds`` of a call of
    the engine are those until it began to answer.
    """

    at: str
    node: str
    via: str
    argv: tuple[str, ...]
    seconds: float
    status: int | None
    error: str = ""


@dataclass(frozen=True)
class Table:
    """A whole table as CSV text, where the notebook shows a part of it."""

    name: str
    csv: str


@dataclass(frozen=True)
class NodeFacts:
    """What a node was at the time: its address on the cluster's network, its engine's version and ID."""

    node: str
    address: str = ""
    engine: str = ""
    engine_id: str = ""
    answers: bool = True


@dataclass(frozen=True)
class Metric:
    """A number that can be followed over time."""

    name: str
    value: float
    unit: str


Entry = Call | Table | NodeFacts | Metric
_KINDS: dict[str, type[Entry]] = {"call": Call, "table": Table, "node": NodeFacts, "metric": Metric}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode(entry: Entry) -> str:
    """The entry as one line of JSON, without the newline."""
    return json.dumps({"kind": _NAMES[type(entry)], **asdict(entry)}, separators=(",", ":"))


def decode(line: str) -> Entry:
    """The entry of one line. Raises ``ValueError`` for anything that ``encode`` does not write."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
        if kind is Call:
            fields["argv"] = tuple(fields["argv"])
        return kind(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an entry of a journal: {line[:80]!r}") from error


class _Pipe:
    """The kernel's end; opened at first use, closed for good when the reader is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None
        self._given_up = False

    @property
    def wanted(self) -> bool:
        return not self._given_up and bool(os.environ.get(JOURNAL_VARIABLE))

    def write(self, line: bytes) -> None:
        with self._lock:
            if not self.wanted:
                return
            try:
                if self._file is None:
                    self._file = os.open(os.environ[JOURNAL_VARIABLE], os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                    os.set_blocking(self._file, True)
                left = memoryview(line)
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                # The runner is gone, and with it the record that this was for. The work goes on.
                self._given_up = True
                if self._file is not None:
                    with contextlib.suppress(OSError):
                        os.close(self._file)


_PIPE = _Pipe()


def wanted() -> bool:
    """Whether there is a reader: without one a caller need not make entries."""
    return _PIPE.wanted


def note(entry: Entry) -> None:
    """Send an entry to the runner, if there is one."""
    if _PIPE.wanted:
        _PIPE.write(encode(entry).encode() + b"\n")


def now() -> str:
    """This moment as entries and records write it."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment of UTC to the millisecond: ``2026-11-29T07:40:00.123Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Answer:
    """How a call that is under way ends: its exit status or HTTP status, or in a few words why it has none."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.error = ""


@contextlib.contextmanager
def call(node: str, via: str, argv: Sequence[str]) -> Iterator[Answer]:
    """Record the call that the block makes. The block sets the answer's status; an error of the block is recorded too.

    Args:
        node: the node's name.
        via: ``ssh`` or ``docker``.
        argv: the command's words, or method, path and body. A very long word is cut.
    """
    answer = Answer()
    if not wanted():
        yield answer
        return
    at, started = now(), time.monotonic()
    try:
        yield answer
    except BaseException as error:
        if answer.status is None and not answer.error:
            answer.error = _brief(f"{type(error).__name__}: {error}".splitlines()[0])
        raise
    finally:
        note_call(
            at, node, via, [_brief(word) for word in argv], time.monotonic() - started, answer.status, answer.error
        )


def _brief(word: str) -> str:
    return word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}… ({len(word)} characters)"


def note_call(
    at: str, node: str, via: str, argv: Sequence[str], seconds: float, status: int | None, error: str = ""
) -> None:
    """Record one call on a node."""
    note(Call(at, node, via, tuple(argv), round(seconds, 4), status, error))
