"""The documentation's table of supported engines says what the code does."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

from runbook_lib.model.base import ControlPlaneName
from runbook_lib.transport.docker.connection import HIGHEST, LOWEST, SUPPORTED, number

PAGE = (Path(__file__).parents[2] / "docs/own-clusters.md").read_text()
SECTION = PAGE.partition("\n## Supported engines\n")[2].partition("\n## ")[0]


def versions(text: str) -> list[tuple[int, ...]]:
    return [number(found) for found in re.findall(r"\d+\.\d+", text)]


def test_the_table_has_a_row_for_each_range_of_engines_and_no_other() -> None:
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in SECTION.splitlines() if "|" in line]
    assert rows[2:] == [
        (item.engines, item.api, ", ".join(item.control_planes), item.run or "by documentation") for item in SUPPORTED
    ]


def test_the_page_names_the_versions_between_which_is_negotiated() -> None:
    assert f"know: {LOWEST} at least, {HIGHEST} at most" in SECTION


def test_the_ranges_follow_each_other_from_the_lowest_version_beyond_the_highest() -> None:
    bounds = [bound for item in SUPPORTED for bound in versions(item.api)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == number(LOWEST)
    assert number(HIGHEST) in bounds
    ends = [(versions(item.api)[0], versions(item.api)[-1]) for item in SUPPORTED]
    assert all(after[0][1] == before[1][1] + 1 for before, after in pairwise(ends))


def test_every_control_plane_is_in_the_table_and_a_store_ends_with_20_10() -> None:
    assert {plane for item in SUPPORTED for plane in item.control_planes} == set(get_args(ControlPlaneName))
    with_store = [item.engines for item in SUPPORTED if "etcd" in item.control_planes]
    assert with_store[-1] == "20.10"
    assert with_store == [item.engines for item in SUPPORTED][: len(with_store)]
