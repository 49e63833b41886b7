"""Exercises at a notebook's end: the learner predicts, the cell does and reads, the check gives the verdict."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from IPython.display import display

from runbook_lib.errors import InputError
from runbook_lib.session import expectations

_KINDS: dict[str, tuple[type, ...]] = {
    "yes or no (True or False)": (bool, np.bool_),
    "a number": (numbers.Real,),
    "text": (str,),
    "a set of values": (set, frozenset, list, tuple),
}


@dataclass(frozen=True)
class Exercise:
    """One exercise with what the learner predicts; ``None`` until something is typed."""

    name: str
    prediction: object
    plan: bool = False

    @property
    def answered(self) -> bool:
        """Whether there is a prediction to check. In plan mode there is nothing to check it against."""
        return self.prediction is not None and not self.plan

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


def exercise(name: str, prediction: object, *, plan: bool = False) -> Exercise:
    """An exercise, which says so when it is not answered yet.

    Args:
        name: the notebook's number and the exercise's letter, such as ``05-a``.
        prediction: what the learner expects; ``None`` leaves the exercise alone.
        plan: plan mode, in which nothing is done and therefore nothing checked.
    """
    made = Exercise(f"exercise {name}", prediction, plan)
    if prediction is None:
        print(f"– {made.name}: not answered yet")
    elif plan:
        print(f"– {made.name}: not checked, for plan mode changes nothing")
    return made


def _kind(value: object) -> str:
    # bool comes first: it is a number too
    return next((kind for kind, types in _KINDS.items() if isinstance(value, types)), f"a {type(value).__name__}")
