"""Which run is resumed: what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.execute.run.previous_run import earlier_run
from runbook_lib.records.store import open_archive


@pytest.mark.parametrize(
    ("wanted", "said", "remedy"),
    [
        ("last", "there is no run yet", "start one: ./runbook run"),
        ("3f9a", "there is no run '3f9a'", "./runbook records list"),
    ],
)
def test_where_there_is_no_run_it_is_said_how_to_get_one(tmp_path: Path, wanted: str, said: str, remedy: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        earlier_run(open_archive(str(tmp_path)), wanted)
    assert remedy in caught.value.remedy
