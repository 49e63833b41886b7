from __future__ import annotations

import nbformat
from nbconvert.exporters import HTMLExporter

from runbook_lib.records.html import render
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import TEXT, WHOLE, frame
from runbook_lib.widgets.panel import NO_CONTROLS, VIEW, Evidence

TABLE = frame([("alpine1", 1), ("alpine2", 2)], {"container": TEXT, "pings": WHOLE})
EVIDENCE = Evidence(("a <line>", TABLE, Picture("<svg/>", "two containers")), "runbook-static-1")


def saved() -> nbformat.NotebookNode:
    """A notebook as JupyterLab saves it while a panel is on the screen: a view of a widget, then the evidence."""
    view = {VIEW: {"model_id": "abc", "version_major": 2, "version_minor": 0}, "text/plain": NO_CONTROLS}
    bundles = [view | {"text/html": f"<p>{NO_CONTROLS}</p>"}, EVIDENCE._repr_mimebundle_()]
    outputs = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("connections(run)", outputs=outputs)])


def test_evidence_is_html_and_text_and_says_the_same_in_both() -> None:
    bundle = EVIDENCE._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    for word in ("alpine1", "alpine2", "two containers"):
        assert word in bundle["text/html"]
        assert word in bundle["text/plain"]
    assert "a &lt;line&gt;" in bundle["text/html"]


def test_a_table_without_rows_says_so_in_words() -> None:
    assert "no rows (container)" in Evidence((frame([], {"container": TEXT}),))._repr_mimebundle_()["text/plain"]


def test_an_exported_notebook_shows_the_evidence_and_no_lost_widget() -> None:
    page, _ = HTMLExporter().from_notebook_node(saved())  # type: ignore[no-untyped-call]
    assert "alpine2" in page
    assert "two containers" in page
    assert "runbook-static" in page
    assert "model_id" not in page


def test_a_record_shows_the_evidence_and_no_lost_widget() -> None:
    page = render(nbformat.writes(saved()))  # type: ignore[no-untyped-call]
    assert "alpine2" in page
    assert 'alt="two containers"' in page
    assert "model_id" not in page
    assert "<script" not in page
