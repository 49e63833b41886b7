from __future__ import annotations

import inspect
import math
from dataclasses import dataclass

import pandas as pd
import pytest

from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE, Column, Table, document_columns, frame, grouped

COLUMNS = {"name": TEXT, "count": WHOLE, "time (s)": DECIMAL, "good": FLAG}


@dataclass(frozen=True)
class Link:
    name: str
    mtu: int | None
    up: bool


LINKS = Table[Link](
    "One row per interface.",
    Column("interface", lambda link: link.name),
    Column("MTU", lambda link: link.mtu, WHOLE, "bytes", meaning="without the Ethernet header"),
    Column("up", lambda link: link.up, FLAG),
)


def test_columns_and_dtypes_are_the_same_with_and_without_rows() -> None:
    full = frame([("a", 1, 0.5, True)], COLUMNS)
    empty = frame([], COLUMNS)
    assert list(full.columns) == list(empty.columns) == list(COLUMNS)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert len(empty) == 0


def test_missing_values_keep_the_dtype() -> None:
    table = frame([(None, None, None, None), ("a", 1, math.nan, False)], COLUMNS)
    assert table.dtypes.to_dict() == frame([], COLUMNS).dtypes.to_dict()
    assert table["name"].tolist() == ["", "a"]
    assert table["count"].isna().tolist() == [True, False]
    assert table["time (s)"].isna().tolist() == [True, True]
    assert table["good"].isna().tolist() == [True, False]


def test_a_generator_of_rows_is_taken() -> None:
    assert frame(((str(number), number, number / 2, True) for number in range(3)), COLUMNS)["count"].sum() == 3


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 3 values for 4 columns"):
        frame([("a", 1, 0.5)], COLUMNS)


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        frame([("a", "many", 0.5, True)], COLUMNS)


def test_a_table_survives_the_way_to_csv_and_back(tmp_path) -> None:
    table = frame([("a", 1, 0.5, True)], COLUMNS)
    table.to_csv(tmp_path / "table.csv", index=False)
    assert pd.read_csv(tmp_path / "table.csv").to_dict("records") == table.to_dict("records")


def test_a_table_takes_each_value_from_its_row_and_puts_units_into_the_headings() -> None:
    table = LINKS([Link("eth0", 1450, True), Link("lo", None, False)])
    assert table.dtypes.to_dict() == LINKS().dtypes.to_dict()
    assert list(table.columns) == ["interface", "MTU (bytes)", "up"]
    assert table["MTU (bytes)"].isna().tolist() == [False, True]
    assert table.loc[0].tolist() == ["eth0", 1450, True]


def test_a_part_of_a_table_has_the_columns_asked_for_in_that_order() -> None:
    assert list(LINKS.only("up", "interface")([Link("eth0", 1450, True)]).columns) == ["up", "interface"]
    with pytest.raises(KeyError, match="MTU"):
        LINKS.only("MTU")


def test_a_table_can_be_had_with_one_more_column_at_its_end_or_at_a_place() -> None:
    down = Column[Link]("down", lambda link: not link.up, FLAG)
    assert list(LINKS.with_column(down).dtypes) == ["interface", "MTU (bytes)", "up", "down"]
    table = LINKS.with_column(down, 1)([Link("lo", None, False)])
    assert list(table.columns) == ["interface", "down", "MTU (bytes)", "up"]
    assert table["down"].tolist() == [True]


def test_a_table_explains_its_columns() -> None:
    assert LINKS.__doc__ == (
        "One row per interface. Columns:\n\n- ``interface``\n- ``MTU (bytes)``: without the Ethernet header\n- ``up``"
    )


def test_a_function_explains_the_columns_of_its_table_before_what_it_takes_and_raises() -> None:
    @document_columns(LINKS)
    def links(node: str) -> pd.DataFrame:
        """The interfaces of a node.

        They are asked for at once.

        Args:
            node: its name.

        Raises:
            KeyError: there is no such node.
        """
        return LINKS([])

    assert inspect.getdoc(links) == (
        "The interfaces of a node.\n\nThey are asked for at once.\n\n"
        f"{LINKS.__doc__}\n\n"
        "Args:\n    node: its name.\n\nRaises:\n    KeyError: there is no such node."
    )
    assert list(links("node1").columns) == list(LINKS.dtypes)


def test_rows_are_grouped_in_the_order_in_which_they_come() -> None:
    assert grouped(["beta", "alpha", "bus"], lambda word: word[0]) == {"b": ["beta", "bus"], "a": ["alpha"]}
