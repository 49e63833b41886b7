from __future__ import annotations

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup

from runbook_lib.session.views.tables import table_html
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE, frame

COLUMNS = {"node": TEXT, "packets": WHOLE, "time (ms)": DECIMAL, "answered": FLAG}


def cells(table: pd.DataFrame, row: int = 1) -> dict[str, str]:
    """Text -> side of one row; row 0 is the head."""
    line = BeautifulSoup(table_html(table), "html.parser").find_all("tr")[row]
    return {cell.text: str(cell["style"]).partition("text-align:")[2] for cell in line.find_all(["th", "td"])}


def test_text_stands_on_the_left_and_numbers_on_the_right_with_their_heads() -> None:
    table = frame([("node1", 3, 0.25, True)], COLUMNS)
    assert cells(table) == {"node1": "left", "3": "right", "0.25": "right", "yes": "left"}
    assert cells(table, 0) == {"node": "left", "packets": "right", "time (ms)": "right", "answered": "left"}


def test_what_is_missing_is_blank() -> None:
    line = BeautifulSoup(table_html(frame([(None, None, None, None)], COLUMNS)), "html.parser").find_all("td")
    assert [cell.text for cell in line] == ["", "", "", ""]


def test_a_table_without_rows_says_so_below_its_columns() -> None:
    page = BeautifulSoup(table_html(frame([], COLUMNS)), "html.parser")
    assert [cell.text for cell in page.find_all("th")] == list(COLUMNS)
    assert page.find("tbody").text == "no rows"


def test_text_is_text_whatever_is_in_it_and_is_never_cut() -> None:
    long = "<b>&" + "word " * 40
    html = table_html(frame([(long, 1, 1.0, False)], COLUMNS))
    assert BeautifulSoup(html, "html.parser").find("td").text == long
    assert "<b>" not in html


def test_a_word_that_is_wider_than_a_page_may_be_broken_and_an_address_may_not() -> None:
    words = ("ZVBI:X7XP:VK4A:PYPM:NXSJ:IUGK:AAAA", "192.168.99.104", "02:42:0a:00:00:02")
    table = frame([(word, 1, 1.0, True) for word in words], COLUMNS)
    assert cells(table)[words[0]] == "left;overflow-wrap:anywhere"
    assert cells(table, 2)[words[1]] == "left"
    assert cells(table, 3)[words[2]] == "left"


def test_a_table_of_numbers_and_lists_that_is_not_ours_is_shown_as_well() -> None:
    assert cells(pd.DataFrame({"a": [np.float64(0.5)], "b": [[1, 2]]})) == {"0.5": "right", "[1, 2]": "left"}


def test_a_part_of_a_table_is_shown_as_the_whole() -> None:
    table = frame([("node1", 1, 1.0, True), ("node2", 2, 1.0, False)], COLUMNS)
    assert cells(table[table["node"] == "node2"]) == {"node2": "left", "2": "right", "1.0": "right", "no": "left"}


def test_a_table_with_named_rows_or_very_many_rows_is_left_to_pandas() -> None:
    named = pd.DataFrame({"a": [1]}, index=["x"])
    many = pd.DataFrame({"a": range(500)})
    assert table_html(named) == named._repr_html_()
    assert table_html(many) == many._repr_html_()
