"""The pipe that a runner gives to a kernel, for tests of what is told into it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import journal


class Told:
    """The reading end of a journal."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def entries(self) -> list[journal.Entry]:
        """What was told since the last look."""
        lines = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines += os.read(self._pipe, 1 << 16)
        return [journal.decode(line.decode()) for line in lines.splitlines()]

    def calls(self) -> list[journal.Call]:
        """The calls among it."""
        return [entry for entry in self.entries() if isinstance(entry, journal.Call)]

    def close(self) -> None:
        """Read no more."""
        os.close(self._pipe)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What this process tells a runner."""
    monkeypatch.setattr(journal, "_PIPE", journal._Pipe())
    monkeypatch.setenv(journal.JOURNAL_VARIABLE, str(tmp_path / "journal"))
    pipe = Told(tmp_path / "journal")
    yield pipe
    pipe.close()
