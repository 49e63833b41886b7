from __future__ import annotations

import base64
import re
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from runbook_lib.model.events import CheckEvent
from runbook_lib.model.record import FailureRecord, NodeRecord, Provenance, Record, RecordVerdict
from runbook_lib.model.results import Verdict
from runbook_lib.records.html import inert_with_links, render, warm_up

WIDGET = "application/vnd.jupyter.widget-view+json"
FETCHES = re.compile(
    r"""(src|href|srcset|action|poster|data)\s*=\s*["']?\s*(https?:)?//|<link|<script|@import|url\(\s*['"]?http""", re.I
)


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_up()


def page(*cells: Any, record: Record | None = None, **metadata: Any) -> str:
    return render(nbformat.writes(new_notebook(cells=list(cells), metadata=metadata)), record)


def shown(data: dict[str, Any]) -> str:
    return page(new_code_cell("x", execution_count=1, outputs=[new_output("display_data", data=data)]))


def printed(text: str) -> str:
    return page(new_code_cell("x", execution_count=1, outputs=[new_output("stream", name="stdout", text=text)]))


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "id": "a1b2c3d4e5",
        "run": "r1",
        "notebook": "05_ping_tests",
        "cluster": "lab",
        "verdict": RecordVerdict.PASS,
        "started": "2026-05-01T12:00:00.000Z",
        "seconds": 12.34,
    }
    return Record(**(values | changes))


def test_prose_code_and_its_output_are_in_the_page() -> None:
    text = page(
        new_markdown_cell("# Ping tests\n\nBoth **answer**."),
        new_code_cell("2 + 2", execution_count=3, outputs=[new_output("execute_result", {"text/plain": "4"})]),
    )
    assert "Ping tests</h1>" in text
    assert "<strong>answer</strong>" in text
    assert "In&nbsp;[3]" in text
    assert '<pre class="result">4</pre>' in text
    assert "<title>notebook</title>" in text


def test_nothing_in_a_page_is_fetched_or_run_whatever_an_output_holds() -> None:
    hostile = (
        '<script src="https://example.org/x.js"></script><link rel="stylesheet" href="https://example.org/x.css">'
        '<img src="https://example.org/x.png" alt="far away"><iframe src="https://example.org"></iframe>'
        '<style>@import "https://example.org/y.css";</style><p onclick="alert(1)">kept</p>'
        '<div style="background: url(https://example.org/z.png)">also kept</div><a href="javascript:alert(1)">word</a>'
    )
    text = shown({"text/html": hostile})
    assert not FETCHES.search(text)
    assert "onclick" not in text
    assert "javascript:" not in text
    for kept in ("kept", "also kept", "word", "[picture: far away]"):
        assert kept in text


def test_a_plain_page_has_no_script_and_no_address_of_the_network_to_load_from() -> None:
    text = page(new_markdown_cell("$a^2$ and [docs](https://example.org/docs) and [next](06_next.ipynb)"))
    assert not FETCHES.search(text)
    assert "docs (https://example.org/docs)" in re.sub("<[^>]+>", "", text)
    assert "06_next.ipynb" not in text
    assert "Content-Security-Policy" in text


def test_pictures_are_inside_the_page() -> None:
    png = base64.b64encode(b"\x89PNG picture").decode()
    text = shown({"image/png": png, "text/plain": "<Figure>"})
    assert f'src="data:image/png;base64,{png}"' in text
    assert 'alt="&lt;Figure&gt;"' in text
    svg = shown({"image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'})
    assert "data:image/svg+xml;base64," in svg
    assert "<script" not in svg


def test_tables_stay_as_they_are_and_broken_html_does_not_break_the_page() -> None:
    text = shown({"text/html": "<table><tr><td>10.0.0.2</td></tr></table></div></section></main>"})
    assert "<td>10.0.0.2</td>" in text
    assert text.count("</main>") == 1


def test_a_widget_becomes_a_line_of_text_and_never_a_model_that_is_not_found() -> None:
    data = {WIDGET: {"model_id": "abc", "version_major": 2, "version_minor": 0}, "text/plain": "HBox(children=())"}
    cell = new_code_cell("x", outputs=[new_output("display_data", data=data)])
    state = {"application/vnd.jupyter.widget-state+json": {"state": {"abc": {}}, "version_major": 2}}
    text = page(cell, widgets=state)
    assert "only a running notebook can show" in text
    assert "model_id" not in text
    assert "widget" not in text.split("</style>")[1]


def test_a_widget_that_also_gives_a_table_shows_the_table() -> None:
    text = shown({WIDGET: {"model_id": "abc"}, "text/html": "<table><tr><td>kept</td></tr></table>"})
    assert "<td>kept</td>" in text
    assert "running notebook" not in text


def test_enormous_text_is_folded_and_still_whole() -> None:
    lines = "\n".join(f"line {number}" for number in range(5000))
    text = printed(lines)
    assert f"<summary>5,000 lines, {len(lines):,} characters of text</summary>" in text
    assert "line 4999" in text
    assert "<details" not in printed("short\n")


def test_an_enormous_text_in_colours_is_folded_without_them() -> None:
    text = printed("\x1b[31mred <word>\x1b[0m\n" * 40_000)
    assert "\x1b" not in text
    assert "red &lt;word&gt;" in text


def test_what_a_program_printed_is_text_and_not_html() -> None:
    text = printed("<script>alert(1)</script> \x1b[31mred\x1b[0m")
    assert "&lt;script&gt;alert(1)" in text
    assert '<span class="ansi-red-fg">red</span>' in text


def test_cells_say_how_they_ended() -> None:
    cell = new_code_cell("boom()", metadata={"runbook": {"state": "timed out"}})
    never = new_code_cell("later()", metadata={"runbook": {"state": "never run"}})
    text = page(cell, never)
    assert '<section class="code timed-out">' in text
    assert '<span class="state">never run</span>' in text


def test_the_head_says_verdict_cluster_time_and_record() -> None:
    failure = FailureRecord(name="CheckFailed", message="expected 2 < 3", cell="In [5]")
    nodes = (NodeRecord(node="node1", address="192.168.99.11", engine="20.10.24"), NodeRecord(node="n2", answers=False))
    known = Provenance(operator="ada", host="lab7", nodes=nodes, packages={"pandas": "3.1.1"})
    text = page(record=record(verdict=RecordVerdict.FAILED, changed=2, failure=failure, provenance=known))
    for word in (
        "✗",
        "failed",
        "05_ping_tests",
        "lab",
        "a1b2c3d4e5",
        "2026-05-01 12:00:00",
        "12.3 s",
        "2 on the cluster",
    ):
        assert word in text
    for word in ("ada@lab7", "In [5]", "expected 2 &lt; 3", "192.168.99.11", "does not answer", "pandas 3.1.1"):
        assert word in text
    assert "<header" not in page()


def test_the_verdict_line_counts_the_warnings() -> None:
    checks = tuple(CheckEvent(check="no loss", node=node, verdict=Verdict.WARN) for node in ("node1", "node2"))
    text = page(record=record(checks=(*checks, CheckEvent(check="no loss", node="node3", verdict=Verdict.PASS))))
    assert "</span> pass, 2 warnings</p>" in text
    assert "<title>05_ping_tests on lab: pass, 2 warnings</title>" in text
    assert "1 of 3" in text


def test_what_jupyterlab_exports_keeps_tables_pictures_and_links_and_loses_what_runs_or_fetches() -> None:
    kept = (
        '<table><thead><tr><th style="text-align:left">node</th></tr></thead></table>'
        '<style>.a{color:red}</style><img alt="a cluster" src="data:image/svg+xml;base64,AAAA"/>'
        '<a href="01_fix_node_ips.ipynb">next</a><a href="https://example.org/">more</a><a href="#top">up</a>'
    )
    lost = (
        '<script>alert(1)</script><svg><image href="https://example.org/x.png"></image></svg>'
        '<a href="javascript:alert(1)">x</a><a href="data:text/html,x">y</a><p onclick="alert(1)">z</p>'
        '<style>@import "https://example.org/x.css"</style>'
    )
    assert inert_with_links(kept + lost) == kept + "<svg><image/></svg><a>x</a><a>y</a><p>z</p>"
