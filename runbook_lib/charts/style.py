"""What all pictures share: colours that print well in grey, and a blank figure that leaves pyplot alone."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#5f6c7b"
FAINT = "#cbd2d9"
PAPER = "#ffffff"
WASH = "#f5f7fa"
GOOD = "#1b7f5c"
WARN = "#a15c07"
BAD = "#b42318"
ACCENT = "#2563a8"

FONT = ["DejaVu Sans", "sans-serif"]


def blank(width: float, height: float) -> Figure:
    """A white figure of that many inches with a canvas of its own."""
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
    """Take frame and tick marks away."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.set_facecolor(PAPER)
