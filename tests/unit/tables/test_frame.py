from __future__ import annotations

import math

import pandas as pd
import pytest

from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE, frame

COLUMNS = {"name": TEXT, "count": WHOLE, "time (s)": DECIMAL, "good": FLAG}


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
