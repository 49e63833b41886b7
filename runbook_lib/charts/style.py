"""Shared by the matplotlib pictures: a blank figure without pyplot, and its conversion to SVG."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from runbook_lib.charts.palette import INK, MUTED, PAPER, dark_rules

FONT = ["DejaVu Sans", "Arial", "sans-serif"]
_UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}


def blank(width: float, height: float) -> Figure:
    """A white figure of that size in inches with its own canvas."""
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def title(figure: Figure, text: str, subtitle: str = "", *, left: float = 0.3) -> None:
    """Title and subtitle at the top left, ``left`` inches from the edge."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.16 / height, text, fontsize=13, fontweight="bold", color=INK, va="top")
    if subtitle:
        figure.text(left / width, 1 - 0.44 / height, subtitle, fontsize=9.5, color=MUTED, va="top")


def bare(axes: Any) -> None:
    """Remove frame and tick marks."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.set_facecolor(PAPER)


def figure_svg(figure: Figure, description: str) -> str:
    """The figure as SVG, light and dark, with ``description`` as its text alternative."""
    buffer = io.StringIO()
    # Text stays text, in the reader's fonts; the same picture gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "runbook", "font.sans-serif": FONT}):
        figure.savefig(buffer, format="svg", metadata=_UNDATED)
    drawing = buffer.getvalue()
    head, _, body = drawing[drawing.index("<svg") :].partition(">")
    return f'{head} role="img"><title>{escape(description)}</title>{dark_rules(drawing)}{body}'
