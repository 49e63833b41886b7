"""A notebook as one self-contained HTML page: no network, no script, no other file."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML

from runbook_lib.model.record import FailureRecord, NodeRecord, Record, RecordVerdict

TEMPLATES = Path(__file__).parent / "files"

#: Longer text is folded behind one line that shows its size.
FOLDED_LINES = 60
FOLDED_CHARACTERS = 12_000

# The richest format first, without those that need a running notebook.
_SHOWN = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain")
_WIDGETS = "application/vnd.jupyter.widget-"
_LEFT_OUT = "(an interactive view, which only a running notebook can show)"

_WARMING_UP = """{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
  {"id": "a", "cell_type": "markdown", "metadata": {}, "source": "# A title\\n\\n```bash\\nls\\n```"},
  {"id": "b", "cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": "up = 1"}]}"""

# Elements that would run code, or fetch something.
_ACTIVE = ("script", "link", "meta", "base", "iframe", "frame", "object", "embed", "applet", "form", "noscript")
_SOURCES = ("src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "xlink:href")
_FETCHING_STYLE = re.compile(r"@import|url\(\s*['\"]?(?!data:|#)|expression\(", re.IGNORECASE)
# Allowed link targets: another page, or a file beside this one; no script.
_SAFE_LINK = re.compile(r"(https?|mailto|ftp):|[^:]*$", re.IGNORECASE)

_GOOD = {RecordVerdict.PASS, RecordVerdict.PLANNED}
_OPEN = {RecordVerdict.RUNNING, RecordVerdict.INTERRUPTED, RecordVerdict.LOCKED}


@dataclass(frozen=True)
class _Header:
    """The record's facts in a page's header and footer."""

    notebook: str
    cluster: str
    verdict: str
    kind: str
    symbol: str
    facts: tuple[tuple[str, str], ...]
    failure: FailureRecord | None
    nodes: tuple[NodeRecord, ...]
    provenance: tuple[tuple[str, str], ...]


def render(notebook_text: str, record: Record | None = None, *, title: str = "") -> str:
    """The notebook (JSON text, format 4) as an offline page; ``record`` gives its title, header and footer.

    Nothing in the page is active: scripts, frames and external links in outputs are removed, and a content security
    policy prevents a browser from fetching anything that remains. Widgets become a line of text.

    Raises:
        nbformat.reader.NotJSONError: the text is no notebook.
    """
    notebook = nbformat.reads(notebook_text, as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _leave_widgets_out(output)
    if record is not None:
        title = title or f"{record.notebook} on {record.cluster}: {record.verdict_text}"
    header = None if record is None else _header(record)
    resources = {"title": title or "notebook", "style": _style(), "record": header}
    # HTMLExporter's own method parses the finished page again to add alternative texts, which doubles the time;
    # here the template writes them.
    page, _ = TemplateExporter.from_notebook_node(_exporter(), notebook, resources)
    return str(page)


def render_without_notebook(record: Record, why: str) -> str:
    """The page of a record whose notebook cannot be shown: the usual header and footer, and the reason ``why``."""
    words = f"The notebook cannot be shown as a page. It is in notebook.ipynb, as it was executed.\n\n{why}"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_raw_cell(words)])  # type: ignore[no-untyped-call]
    return render(nbformat.v4.writes_json(notebook), record)  # type: ignore[no-untyped-call]


def warm_up() -> None:
    """Load templates and lexers in advance, so that a later ``render`` is fast."""
    render(_WARMING_UP)


@functools.cache
def _exporter() -> HTMLExporter:
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
        filters={"inert": _inert, "folding": _folding},
    )
    exporter.config.NbConvertBase.display_data_priority = list(_SHOWN)
    highlight = Highlight2HTML(pygments_lexer="python", parent=exporter)  # type: ignore[no-untyped-call]
    exporter.register_filter("highlight_code", highlight)  # type: ignore[no-untyped-call]
    return exporter


@functools.cache
def _style() -> str:
    return (TEMPLATES / "page" / "style.css").read_text(encoding="utf-8")


def _leave_widgets_out(output: Any) -> None:
    data = output.get("data")
    if data is None or not any(kind.startswith(_WIDGETS) for kind in data):
        return
    for kind in [kind for kind in data if kind.startswith(_WIDGETS)]:
        del data[kind]
    if not any(kind in data for kind in _SHOWN if kind != "text/plain"):
        data["text/html"] = f'<p class="left-out">{_LEFT_OUT}</p>'


def _folding(text: str) -> str:
    """The size of the text, if it is so long that it is folded."""
    lines = text.count("\n") + 1
    if lines <= FOLDED_LINES and len(text) <= FOLDED_CHARACTERS:
        return ""
    return f"{lines:,} lines, {len(text):,} characters of text"


def inert_with_links(html: str) -> str:
    """The HTML with balanced tags and links, without elements that run code or fetch something.

    Replaces nbconvert's filter ``clean_html``, which supports neither table headers nor pictures, and leaves their
    tags and base64 as text.
    """
    soup = _inert_soup(html)
    for element in soup.find_all(href=True):
        address = str(element["href"]).strip()
        # Elements other than links (an image in an SVG) fetch their target.
        if not address.startswith("#") and (element.name != "a" or not _SAFE_LINK.match(address)):
            del element["href"]
    return str(soup)


def _inert(html: str) -> str:
    """The HTML with balanced tags, without active elements, and with external links as text."""
    soup = _inert_soup(html)
    for element in soup.find_all(href=True):
        if not str(element["href"]).startswith("#"):
            _unlink(soup, element)
    return str(soup)


def _inert_soup(html: str) -> BeautifulSoup:
    soup = BeautifulSoup(html, "html.parser")
    for element in soup.find_all(_ACTIVE):
        element.decompose()
    for element in soup.find_all(True):
        _make_inert(element)
    return soup


def _make_inert(element: Tag) -> None:
    if element.name == "style" and _FETCHING_STYLE.search(element.get_text()):
        element.decompose()
        return
    for name in list(element.attrs):
        value = str(element.attrs[name]).strip()
        fetches = name.lower() in _SOURCES and not value.lower().startswith("data:")
        if fetches or name.lower().startswith("on") or (name == "style" and _FETCHING_STYLE.search(value)):
            del element.attrs[name]
    if element.name == "img" and "src" not in element.attrs:
        element.replace_with(f"[picture: {element.get('alt') or 'not kept in the record'}]")


def _unlink(soup: BeautifulSoup, element: Tag) -> None:
    """Replace an external link by its text and, if that is useful on a printed page, its URL."""
    address = str(element.attrs.pop("href"))
    if element.name == "a" and re.match(r"(https?|mailto|ftp):", address) and address not in element.get_text():
        element.insert_after(soup.new_string(f" ({address})"))


def _header(record: Record) -> _Header:
    if record.verdict in _GOOD:
        kind, symbol = "good", "✓"
    elif record.verdict in _OPEN:
        kind, symbol = "warn", "!"
    else:
        kind, symbol = "bad", "✗"
    return _Header(
        notebook=record.notebook,
        cluster=record.cluster,
        verdict=record.verdict_text,
        kind=kind,
        symbol=symbol,
        facts=_facts(record),
        failure=record.failure,
        nodes=record.provenance.nodes,
        provenance=_provenance(record),
    )


def _facts(record: Record) -> tuple[tuple[str, str], ...]:
    held = sum(check.verdict in {"pass", "skip"} for check in record.checks)
    made_by = "@".join(word for word in (record.provenance.operator, record.provenance.host) if word)
    facts = (
        ("record", record.id),
        ("started (UTC)", record.started.replace("T", " ").rstrip("Z")),
        ("took", "" if record.seconds is None else f"{record.seconds:.1f} s"),
        ("changed", "nothing" if not record.changed else f"{record.changed} on the cluster"),
        ("checks that held", f"{held} of {len(record.checks)}" if record.checks else ""),
        ("mode", "plan: it changes nothing" if record.plan else ""),
        ("run by", made_by),
        ("run", record.run),
        ("goes on with run", record.resumes),
    )
    return tuple((name, value) for name, value in facts if value)


def _provenance(record: Record) -> tuple[tuple[str, str], ...]:
    source = record.provenance
    project = " ".join(word for word in (source.project_version, source.project_commit) if word)
    facts = (
        ("notebook's SHA-256", source.notebook_sha256),
        ("overlay-runbook", project),
        ("Python", source.python),
        ("packages", ", ".join(f"{name} {version}" for name, version in source.packages.items())),
    )
    return tuple((name, value) for name, value in facts if value)
