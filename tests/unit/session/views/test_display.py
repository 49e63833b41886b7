from __future__ import annotations

import base64
import re

import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure

from runbook_lib.model.results import Check, Status, StepResult, Verdict
from runbook_lib.session.views.display import Picture, check_line, checks_html, step_line


def source(picture: Picture) -> tuple[str, bytes]:
    match = re.search(r'src="data:([^;]+);base64,([^"]+)"', picture._repr_html_())
    assert match is not None
    return match[1], base64.b64decode(match[2])


def test_a_picture_reads_as_its_text_alternative() -> None:
    picture = Picture("<svg xmlns='http://www.w3.org/2000/svg'/>", 'node1 "<b>down</b>" & out')
    assert repr(picture) == 'node1 "<b>down</b>" & out'
    assert 'alt="node1 &quot;&lt;b&gt;down&lt;/b&gt;&quot; &amp; out"' in picture._repr_html_()


def test_a_drawing_is_archived_whole() -> None:
    drawing = "<svg xmlns='http://www.w3.org/2000/svg'><text>ü</text></svg>"
    assert source(Picture(drawing, "x")) == ("image/svg+xml", drawing.encode())


def test_a_figure_is_archived_as_a_drawing_with_its_alternative() -> None:
    kind, data = source(Picture(Figure(figsize=(1, 1)), "one & two"))
    assert kind == "image/svg+xml"
    assert data.startswith(b"<svg")
    assert b"<title>one &amp; two</title>" in data


def test_a_check_is_a_line_that_reads_without_colour() -> None:
    check = Check("every pair answers", "node3", Verdict.FAIL, "2", "1")
    assert check_line(check) == "✗ fail: every pair answers on node3 (expected 2, found 1)"
    assert check_line(Check("ports", "", Verdict.PASS)) == "✓ pass: ports"


def test_what_a_node_says_cannot_become_markup() -> None:
    html = checks_html([Check("x", "", Verdict.FAIL, found="<script>alert(1)</script>")])
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_step_is_a_line_that_counts_its_nodes() -> None:
    rows = [
        StepResult("reboot", "node1", Status.CHANGED, seconds=2.0),
        StepResult("reboot", "node2", Status.CHANGED, seconds=5.31),
        StepResult("reboot", "node3", Status.UNREACHABLE, seconds=0.5),
    ]
    assert step_line(rows) == "reboot: 2 changed, 1 unreachable in 5.3 s"
    assert step_line([]) == "nothing to do: no nodes in 0.0 s"


@pytest.mark.parametrize("attribute", ['data-jp-theme-light="false"', 'class="vscode-dark"'])
def test_a_picture_follows_the_theme_of_the_notebook(attribute: str) -> None:
    soup = BeautifulSoup(f"<body {attribute}>{Picture('<svg/>', 'x')._repr_html_()}</body>", "html.parser")
    assert soup.style is not None
    dark = soup.style.get_text().split("}")[1]
    assert dark.endswith("{color-scheme:dark")
    assert soup.select(dark.partition("{")[0]) == soup.find_all("img")
