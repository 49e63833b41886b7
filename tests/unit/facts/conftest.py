from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.facts.sections import Section, parse_sections

CAPTURED = Path(__file__).parent / "captured"


@pytest.fixture
def captured() -> Callable[[str], str]:
    """The text of a captured file, by its name."""
    return lambda name: (CAPTURED / name).read_text()


@pytest.fixture
def captured_json(captured: Callable[[str], str]) -> Callable[[str], Any]:
    return lambda name: json.loads(captured(name))


@pytest.fixture
def captured_sections(captured: Callable[[str], str]) -> Callable[[str], dict[str, Section]]:
    return lambda name: parse_sections(captured(name))
