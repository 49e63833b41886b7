"""Exercises at a notebook's end: the learner predicts, the cell does and reads, the check gives the verdict.

They are for somebody who sits in front of the notebook. An answer that was left in a cell is no part of a run that a
command or a scheduler makes: it would fail the run, or change the cluster. Only the notebooks of worked solutions are
there to be executed, and have their exercises done wherever they run.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace

import numpy as np
from IPython.display import display

from runbook_lib.errors import InputError
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session import expectations
from runbook_lib.session.attended import attended

_KINDS: dict[str, tuple[type, ...]] = {
    "yes or no (True or False)": (bool, np.bool_),
    "a number": (numbers.Real,),
    "text": (str,),
    "a set of values": (set, frozenset, list, tuple),
}


# Of the notebooks of worked solutions.
_SOLUTIONS = "_solutions"
_NOT_TRIED = "an answer stands in the cell; exercises are only tried where somebody is in front of the notebook"


@dataclass(frozen=True)
class Exercise:
    """One exercise with what the learner predicts; ``None`` until something is typed.

    ``left_alone`` are checks that tell why a prediction is not tried; none where it is.
    """

    name: str
    prediction: object
    plan: bool = False
    left_alone: tuple[Check, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether there is a prediction to check: in plan mode, and where nobody is there, there is none."""
        return self.prediction is not None and not self.plan and not self.left_alone

    def check(self, *, found: object, seen: object = None) -> None:
        """Compare the prediction with what was read.

        Args:
            found: the reading: text, a number, yes or no, or a set of these. A list as prediction of a set will do.
            seen: a table or picture to show beside the verdict.

        Raises:
            CheckFailed: with the prediction as expected, and the reading as found.
            InputError: the prediction is of another kind than the reading, so that it cannot be right or wrong.
        """
        wanted, given = _kind(found), _kind(self.prediction)
        if wanted != given:
            raise InputError(
                f"{self.name}: the prediction {self.prediction!r} is {given}, the answer is {wanted}",
                place="prediction",
                remedy=f"type {wanted}, as the cell's first line says",
            )
        prediction = set(self.prediction) if isinstance(self.prediction, list | tuple) else self.prediction
        if seen is not None:
            display(seen)  # type: ignore[no-untyped-call]
        claim = f"{self.name}: the prediction holds"
        expectations.report(claim, [expectations.compare(claim, found=found, expected=prediction)])


def exercise(name: str, prediction: object, *, plan: bool = False, notebook: str = "") -> Exercise:
    """An exercise, which says so when it is not answered yet, or not tried.

    Args:
        name: the notebook's number and the exercise's letter, such as ``05-a``.
        prediction: what the learner expects; ``None`` leaves the exercise alone.
        plan: plan mode, in which nothing is done and therefore nothing checked.
        notebook: the notebook's name. In one of worked solutions exercises are done wherever it runs, elsewhere only
            where somebody is in front of it; a skipped check tells in the record of one that was left alone.
    """
    made = Exercise(f"exercise {name}", prediction, plan)
    if prediction is None:
        print(f"– {made.name}: not answered yet")
    elif plan:
        print(f"– {made.name}: not checked, for plan mode changes nothing")
    elif not (attended() or notebook.endswith(_SOLUTIONS)):
        claim = f"{made.name} is left alone"
        told = expectations.report(claim, [Check(claim, "", Verdict.SKIP, found=_NOT_TRIED)])
        return replace(made, left_alone=tuple(told))
    return made


def _kind(value: object) -> str:
    # bool comes first: it is a number too
    return next((kind for kind, types in _KINDS.items() if isinstance(value, types)), f"a {type(value).__name__}")
