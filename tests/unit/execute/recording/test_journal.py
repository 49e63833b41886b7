"""What a kernel tells through its pipe arrives whole, and the kernel never waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.execute.recording.sources import JournalReader
from runbook_lib.journal import JOURNAL_VARIABLE, Call, Entry, Metric, NodeFacts, Table, decode, encode

ENTRIES = [
    Call("2026-05-01T12:00:00.000Z", "node1", "ssh", ("ip", "-o", "addr"), 0.003, 0),
    Call("2026-05-01T12:00:00.000Z", "node1", "docker", ("GET", "/info"), 0.003, None, "no answer"),
    Table("pings", "source,target\na,b\n"),
    NodeFacts("node1", "192.168.99.104", "20.10.24", "ABCD:EFGH"),
    Metric("ping latency", 0.15, "ms"),
]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_survives_the_way(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "{}", '{"kind":"call"}', '{"kind":"other"}', '{"kind":"metric","x":1}']
)
def test_anything_else_is_no_entry(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one too
        decode(line)


def test_all_that_another_process_notes_arrives_in_order_however_much_it_is(pipe: Path) -> None:
    program = (
        "from runbook_lib.journal import Metric, Table, note\n"
        "for number in range(500): note(Metric('n', number, ''))\n"
        "note(Table('big', 'x' * 3_000_000))\n"
    )
    got: list[Entry] = []
    reader = JournalReader(pipe, got.append, pytest.fail)
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, JOURNAL_VARIABLE: str(pipe)})
    reader.close()
    assert got == [*(Metric("n", number, "") for number in range(500)), Table("big", "x" * 3_000_000)]


def test_a_line_that_is_no_entry_is_told_and_hides_no_other(pipe: Path) -> None:
    got: list[Entry] = []
    odd: list[str] = []
    reader = JournalReader(pipe, got.append, odd.append)
    pipe.write_bytes(b"nonsense\n" + encode(ENTRIES[0]).encode() + b"\ncut off")
    reader.close()
    assert (got, odd) == ([ENTRIES[0]], ["nonsense", "cut off"])


def test_an_error_of_the_taker_is_raised_at_the_end_and_never_blocks_the_kernel(pipe: Path) -> None:
    def full(entry: Entry) -> None:
        raise OSError(28, "No space left on device")

    reader = JournalReader(pipe, full, pytest.fail)
    pipe.write_text(f"{encode(ENTRIES[4])}\n" * 5_000)
    with pytest.raises(OSError, match="No space left"):
        reader.close()


def test_without_a_runner_nothing_is_written_and_nothing_fails() -> None:
    program = "from runbook_lib.journal import Metric, note, wanted; note(Metric('n', 1, '')); print(wanted())"
    environment = {key: value for key, value in os.environ.items() if key != JOURNAL_VARIABLE}
    done = subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_a_runner_that_is_gone_does_not_stop_the_kernel(pipe: Path) -> None:
    program = "from runbook_lib.journal import Metric, note, wanted; note(Metric('n', 1, '')); print(wanted())"
    environment = {**os.environ, JOURNAL_VARIABLE: str(pipe)}
    done = subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n"
