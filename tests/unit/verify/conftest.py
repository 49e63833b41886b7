from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

CAPTURED = Path(__file__).parent / "captured"


@pytest.fixture
def captured() -> Callable[[str], str]:
    """The text of a file that was really captured on a node."""

    def read(name: str) -> str:
        return (CAPTURED / name).read_text()

    return read
