from __future__ import annotations

import pytest

from runbook_lib.testbed.privilege import decode, encode
from runbook_lib.testbed.progress import Progress


def test_progress_survives_the_way_through_sudo() -> None:
    event = Progress("boot", "node1", "done", 1.25, "192.168.99.104")
    assert decode(encode(event)) == event


@pytest.mark.parametrize("line", ["", "testbed 'x' is up: 4 nodes", "{}", '{"step": "boot"}', "[1]"])
def test_other_lines_are_no_progress(line: str) -> None:
    assert decode(line) is None
