from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from runbook_lib.errors import CheckFailed, InputError
from runbook_lib.model.events import CheckEvent
from runbook_lib.model.results import Verdict
from runbook_lib.session import expectations
from runbook_lib.session.expectations import exercise


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits in front of the notebook."""
    monkeypatch.setattr(expectations, "attended", lambda: True)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command or a scheduler executes it."""
    monkeypatch.setattr(expectations, "attended", lambda: False)


def test_an_exercise_that_nobody_answered_says_so_and_is_left_alone(capsys) -> None:
    assert not exercise("05-a", None).answered
    assert capsys.readouterr().out == "– exercise 05-a: not answered yet\n"


def test_in_plan_mode_a_prediction_is_not_checked(capsys) -> None:
    assert not exercise("05-a", 3, plan=True).answered
    assert "plan mode" in capsys.readouterr().out


def test_where_nobody_is_there_an_answer_is_not_tried_and_a_skipped_check_says_so(displayed, nobody) -> None:
    left = exercise("01-b", "static", notebook="01_fix_node_ips")
    assert not left.answered
    (event,) = displayed.events
    assert isinstance(event, CheckEvent)
    assert (event.verdict, event.check) == (Verdict.SKIP, "exercise 01-b is skipped")
    assert "the cell contains an answer" in event.found
    assert [check.verdict for check in left.left_alone] == [Verdict.SKIP]


def test_where_nobody_is_there_the_worked_solutions_are_done_all_the_same(displayed, nobody) -> None:
    assert exercise("01-b", "static", notebook="01_solutions").answered
    assert displayed.events == []


@pytest.mark.parametrize("prediction", [0, "", False, set()])
def test_a_prediction_of_nothing_is_a_prediction(prediction: object) -> None:
    assert exercise("05-a", prediction).answered


@pytest.mark.parametrize(
    ("prediction", "found"),
    [
        (1450, np.int64(1450)),
        ("static", "static"),
        (True, np.True_),
        ({"node3", "node4"}, {"node4", "node3"}),
        (["node3", "node4"], {"node4", "node3"}),
        (set(), set()),
    ],
)
def test_a_right_prediction_passes_and_is_told_as_a_check(displayed, prediction: object, found: object) -> None:
    exercise("05-a", prediction).check(found=found)
    (event,) = displayed.events
    assert isinstance(event, CheckEvent)
    assert event.verdict is Verdict.PASS
    assert event.check.startswith("exercise 05-a")


@pytest.mark.parametrize(
    ("prediction", "found"),
    [(1500, np.int64(1450)), ("dhcp", "static"), (False, True), ({"node3"}, {"node4"}), (set(), {"node4"})],
)
def test_a_wrong_prediction_fails_with_prediction_and_reading(displayed, prediction: object, found: object) -> None:
    with pytest.raises(CheckFailed, match="exercise 05-a") as caught:
        exercise("05-a", prediction).check(found=found)
    assert (caught.value.expected, caught.value.found) != (None, None)
    (event,) = displayed.events
    assert isinstance(event, CheckEvent)
    assert event.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("prediction", "found", "kind"),
    [("3", 3, "a number"), (3, {"node3"}, "a set of values"), (True, 1, "a number"), (1, True, "yes or no")],
)
def test_a_prediction_of_another_kind_is_neither_right_nor_wrong(prediction: object, found: object, kind: str) -> None:
    with pytest.raises(InputError, match=f"the answer is {kind}"):
        exercise("05-a", prediction).check(found=found)


def test_a_table_as_prediction_is_refused() -> None:
    with pytest.raises(InputError, match="is a DataFrame"):
        exercise("05-a", pd.DataFrame()).check(found=3)
