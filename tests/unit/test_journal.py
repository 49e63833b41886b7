"""A kernel tells its runner what it did beside the notebook; without a runner nothing is written and nothing fails."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_lib import journal

if TYPE_CHECKING:
    from .conftest import Told


def test_every_kind_of_entry_arrives_as_it_was_told(told: Told) -> None:
    entries: list[journal.Entry] = [
        journal.Call("2026-05-01T12:00:00.123Z", "node1", "ssh", ("ip", "a"), 0.5, 0),
        journal.Table("pings", 'a,b\n1,"é\n"\n'),
        journal.NodeFacts("node1", "10.0.0.1", "20.10.24", "AB:CD"),
        journal.Metric("ping latency", 0.25, "ms"),
    ]
    for entry in entries:
        journal.note(entry)
    assert told.entries() == entries


def test_a_call_is_told_with_its_status_or_with_what_broke_it(told: Told) -> None:
    with journal.call("node1", "ssh", ["true"]) as answer:
        answer.status = 0
    with pytest.raises(OSError, match="gone"), journal.call("node1", "ssh", ["false"]):
        raise OSError("gone\nfor good")
    good, bad = told.entries()
    assert isinstance(good, journal.Call)
    assert isinstance(bad, journal.Call)
    assert (good.argv, good.status, good.error) == (("true",), 0, "")
    assert (bad.argv, bad.status, bad.error) == (("false",), None, "OSError: gone")
    assert good.at.endswith("Z")


def test_a_long_word_is_told_in_part_and_says_how_long_it_was(told: Told) -> None:
    with journal.call("node1", "ssh", ["sh", "-c", "x" * 2000, "y" * 2001]) as answer:
        answer.status = 0
    (call,) = told.entries()
    assert isinstance(call, journal.Call)
    assert call.argv[2] == "x" * 2000
    assert call.argv[3] == "y" * 2000 + "… (2001 characters)"


def test_entries_of_many_threads_do_not_mix(told: Told) -> None:
    def tell(number: int) -> None:
        for _ in range(5):
            journal.note(journal.Metric(f"{number}" * 200, number, "s"))

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.value for entry in told.entries() if isinstance(entry, journal.Metric)) == sorted(
        [*range(8)] * 5
    )


def test_without_a_runner_calls_are_made_all_the_same_and_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_PIPE", journal._Pipe())
    monkeypatch.delenv(journal.JOURNAL_VARIABLE, raising=False)
    assert not journal.wanted()
    with journal.call("node1", "ssh", ["true"]) as answer:
        answer.status = 0
    assert journal._PIPE._file is None


def test_a_runner_that_is_gone_does_not_break_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_PIPE", journal._Pipe())
    monkeypatch.setenv(journal.JOURNAL_VARIABLE, str(tmp_path / "nowhere"))
    journal.note(journal.Metric("seconds", 1.0, "s"))
    assert not journal.wanted()


@pytest.mark.parametrize("line", ["", "no json", "[1]", '{"kind": "song"}', '{"kind": "metric", "name": "a"}'])
def test_what_is_no_entry_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not an entry of a journal|Expecting value"):
        journal.decode(line)


def test_a_moment_is_written_to_the_millisecond_even_when_it_has_none() -> None:
    assert journal.stamp(datetime(2026, 5, 1, 12, tzinfo=UTC)) == "2026-05-01T12:00:00.000Z"
    assert journal.stamp(datetime(2026, 5, 1, 12, 0, 0, 123999, tzinfo=UTC)) == "2026-05-01T12:00:00.123Z"
