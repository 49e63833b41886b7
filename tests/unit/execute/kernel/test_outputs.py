from __future__ import annotations

import hashlib

import pytest
from nbformat.v4 import new_code_cell

from runbook_lib.execute.kernel.outputs import CellOutputs
from runbook_lib.redact import Redactor

HTML = "text/html"


class Kept:
    """The whole output beside the notebook, as a record would keep it; it may run out of room."""

    def __init__(self, room: int | None = None) -> None:
        self.text = ""
        self._room = room

    def __call__(self, text: str) -> str:
        if self._room is not None and len(self.text) + len(text) > self._room:
            raise OSError(28, "No space left on device")
        self.text += text
        return "outputs/cell.log"


@pytest.fixture
def kept() -> Kept:
    return Kept()


def outputs_of(kept: Kept, limit: int = 100, redactor: Redactor | None = None) -> CellOutputs:
    cell = new_code_cell("...")
    outputs = CellOutputs(cell, redactor or Redactor(), limit, kept)
    outputs.cell = cell  # type: ignore[attr-defined]  # for the test to look at
    return outputs


def put(outputs: CellOutputs, name: str, *pieces: str) -> None:
    for piece in pieces:
        outputs.append(name, outputs.stream(name, piece).kept)


def texts(outputs: CellOutputs) -> list[str]:
    return [output.text for output in outputs.cell.outputs]  # type: ignore[attr-defined]


def test_pieces_of_one_stream_are_one_output_and_those_of_two_alternate(kept: Kept) -> None:
    outputs = outputs_of(kept)
    put(outputs, "stdout", "a", "b")
    put(outputs, "stderr", "c", "d")
    put(outputs, "stdout", "e")
    outputs.close()
    assert texts(outputs) == ["ab", "cd", "e"]
    assert kept.text == ""


def test_output_of_just_the_limit_is_not_cut_and_one_more_character_is(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=10)
    put(outputs, "stdout", "12345", "67890")
    outputs.close()
    assert texts(outputs) == ["1234567890"]
    outputs = outputs_of(kept, limit=10)
    put(outputs, "stdout", "12345", "678901", "2345")
    outputs.close()
    digest = hashlib.sha256(b"123456789012345").hexdigest()
    assert kept.text == "123456789012345"
    assert texts(outputs) == [
        "1234567890",
        f"[output cut: 15 characters in all, the whole is in outputs/cell.log, SHA-256 {digest}]\n",
    ]


def test_a_notebook_that_is_saved_meanwhile_has_all_that_arrived_and_says_that_more_is_elsewhere(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=5)
    put(outputs, "stdout", "abc")
    outputs.join()
    assert texts(outputs) == ["abc"]
    put(outputs, "stdout", "defgh")
    outputs.join()
    assert texts(outputs) == ["abcde", "[output cut: 8 characters up to now, the whole is in outputs/cell.log]\n"]


def test_a_secret_in_two_pieces_is_found_also_when_the_other_stream_comes_between(kept: Kept) -> None:
    outputs = outputs_of(kept, redactor=Redactor({"token": "open-sesame"}))
    put(outputs, "stdout", "say open-")
    put(outputs, "stderr", "between")
    put(outputs, "stdout", "sesame now")
    outputs.close()
    assert texts(outputs) == ["say ", "between", "[REDACTED:token] now"]


def test_what_is_held_back_comes_out_when_no_secret_followed(kept: Kept) -> None:
    outputs = outputs_of(kept, redactor=Redactor({"token": "open-sesame"}))
    put(outputs, "stdout", "open-s")
    for name, shown in outputs.pending():
        outputs.append(name, shown.kept)
    outputs.close()
    assert texts(outputs) == ["open-s"]


def test_a_display_that_is_too_much_leaves_room_for_what_is_small(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=50)
    assert outputs.display({HTML: "x" * 60}) == {"text/plain": "[text/html: 60 characters, too much to be kept here]"}
    assert outputs.display({HTML: "small"}) == {HTML: "small"}
    put(outputs, "stdout", "after")
    outputs.close()
    assert "x" * 60 in kept.text
    assert kept.text.endswith("\n[text/html]\nsmall\nafter")


def test_an_update_takes_the_place_of_what_it_updates(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=50)
    assert outputs.display({HTML: "x" * 40}, "id") == {HTML: "x" * 40}
    for _ in range(9):
        assert outputs.display({HTML: "y" * 50}, "id", updated=True) == {HTML: "y" * 50}
    assert HTML not in outputs.display({HTML: "z" * 51}, "id", updated=True)


def test_an_error_is_shown_where_there_is_no_room_left_and_a_huge_one_is_shortened(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=10)
    put(outputs, "stdout", "x" * 100)
    small = {"ename": "E", "evalue": "why", "traceback": ["line 1", "E: why"]}
    assert outputs.error(small) == small
    huge = outputs.error({"ename": "E", "evalue": "e" * 100_000, "traceback": ["first " + "t" * 100_000 + " last"]})
    assert len(huge["evalue"]) < 11_000
    trace = "\n".join(huge["traceback"])
    assert trace.startswith("first t")
    assert trace.endswith("t last")
    outputs.close()
    assert "t" * 100_000 in kept.text


def test_what_was_cleared_takes_no_room(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=10)
    for _ in range(5):
        put(outputs, "stdout", "x" * 9)
        outputs.cell.outputs.clear()  # type: ignore[attr-defined]
        outputs.cleared()
    put(outputs, "stdout", "last")
    outputs.close()
    assert texts(outputs) == ["last"]
    assert kept.text == ""


def test_a_widgets_long_text_is_kept_beside_the_notebook(kept: Kept) -> None:
    outputs = outputs_of(kept, limit=10)
    state = {"data": {"state": {"value": "v" * 11, "children": ["short"]}}}
    assert outputs.limited(state) == {
        "data": {"state": {"value": "[11 characters, too much to be kept here]", "children": ["short"]}}
    }
    assert "v" * 11 in kept.text


def test_a_file_that_cannot_be_written_is_told_once_and_not_claimed() -> None:
    outputs = outputs_of(Kept(room=0), limit=10)
    with pytest.raises(OSError, match="No space"):
        put(outputs, "stdout", "x" * 20)
    put(outputs, "stdout", "more" * 1_000_000)
    outputs.close()
    assert texts(outputs)[-1] == "[output cut: 4,000,020 characters in all, the whole could not be kept]\n"
