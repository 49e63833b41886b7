"""The few SVG elements that the pictures are made of; every text is escaped."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from runbook_lib.charts.style import BAD, INK, PAPER

_FONT = "font-family: 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif"


class Canvas:
    """Collects elements from top to bottom of the drawing order."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = PAPER,
        stroke: str = INK,
        broken: bool = False,
        radius: float = 6,
        thick: float = 1.2,
    ) -> None:
        """A rounded box; a broken one has a dashed outline."""
        dash = ' stroke-dasharray="5 4"' if broken else ""
        self._elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="{thick:g}"{dash}/>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, stroke: str, thick: float = 2, broken: bool = False
    ) -> None:
        """A straight line; a broken one is dashed and crossed out in its middle."""
        dash = ' stroke-dasharray="4 4"' if broken else ""
        self._elements.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{stroke}" stroke-width="{thick:g}"{dash}/>'
        )
        if broken:
            self.cross((x1 + x2) / 2, (y1 + y2) / 2)

    def cross(self, x: float, y: float, size: float = 5) -> None:
        """A small cross, for what is broken."""
        low, whole = -size, 2 * size
        self._elements.append(
            f'<path d="M{x + low:g} {y + low:g}l{whole:g} {whole:g}m0 {-whole:g}l{-whole:g} {whole:g}" '
            f'stroke="{BAD}" stroke-width="2.2" fill="none"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        fill: str = INK,
        bold: bool = False,
        anchor: str = "start",
        width: float | None = None,
        mono: bool = False,
    ) -> None:
        """Text on a baseline. Words wider than ``width`` are cut; the whole stays readable as a tooltip."""
        room = len(words) if width is None else max(4, int(width / (size * (0.66 if bold else 0.61))))
        shown = words if len(words) <= room else words[: room - 1] + "…"
        tooltip = f"<title>{escape(words)}</title>" if shown != words else ""
        weight = ' font-weight="bold"' if bold else ""
        family = " font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\"" if mono else ""
        self._elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}" text-anchor="{anchor}"{weight}{family}>'
            f"{tooltip}{escape(shown)}</text>"
        )

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """The whole SVG, with title and description for those who do not see it."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label={quoteattr(title)} style="{_FONT}">'
            f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
            f'<rect width="{width:g}" height="{height:g}" fill="{PAPER}"/>' + "".join(self._elements) + "</svg>"
        )
