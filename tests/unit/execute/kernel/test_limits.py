from __future__ import annotations

from runbook_lib.execute.kernel.settings import ALWAYS_SECONDS, TimeLimits


class Clock:
    """A clock that stands still until it is set."""

    now = 5000.0

    def __call__(self) -> float:
        return self.now


def test_without_limits_a_cell_has_all_the_time() -> None:
    limits = TimeLimits()
    assert limits.of_next_cell() is None
    assert limits.of_start(60) == 60
    assert not limits.notebook_is_over


def test_a_cell_has_what_is_left_of_the_notebooks_time_if_that_is_less_than_its_own() -> None:
    limits = TimeLimits(cell=10, notebook=1000)
    assert limits.of_next_cell() == 10
    assert limits.complaint(10) == "the cell did not end within 10 s, the time limit of a cell, and was interrupted"
    clock = Clock()
    limits = TimeLimits(cell=1000, notebook=10, clock=clock)
    assert limits.of_start(60) == 10
    clock.now += 0.5
    left = limits.of_next_cell()
    assert left == 9.5
    assert limits.of_start(60) == 9.5
    # a timer may fire a moment before the limit that it was set to
    assert "the notebook did not end within 10 s" in limits.complaint(left)


def test_a_notebook_whose_time_is_over_says_so_of_its_cell() -> None:
    clock = Clock()
    limits = TimeLimits(cell=1000, notebook=10, clock=clock)
    assert not limits.notebook_is_over
    clock.now += 10
    assert limits.notebook_is_over
    assert limits.of_next_cell() == 0.001
    assert "the notebook did not end within 10 s" in limits.complaint(0.001)


def test_cells_that_run_whatever_happened_have_a_limit_of_their_own() -> None:
    clock = Clock()
    limits = TimeLimits(notebook=10, clock=clock)
    clock.now += 20
    limits.clean_up()
    assert limits.of_next_cell() == ALWAYS_SECONDS
    assert limits.of_start(60) == 60
    assert "the cell did not end within 120 s" in limits.complaint(ALWAYS_SECONDS)
    limits = TimeLimits(cell=7)
    limits.clean_up()
    assert limits.of_next_cell() == 7


def test_one_cells_own_limit_takes_the_place_of_that_of_all_cells() -> None:
    limits = TimeLimits(cell=10)
    assert limits.of_next_cell(3) == 3
    assert limits.of_next_cell(None) is None
    assert limits.of_next_cell() == 10
