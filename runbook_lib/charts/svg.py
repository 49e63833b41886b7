"""A small canvas that writes SVG: boxes, lines, marks, and text that never exceeds its box."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from runbook_lib.charts.palette import BAD, FAINT, INK, MARK, PAPER, WARN, dark_rules

_FONT = "font-family: 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif"
_MONO = " font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\""
# The widths of a letter in DejaVu, the widest of these fonts, as a part of the size.
_LETTER, _BOLD_LETTER = 0.61, 0.66
_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<line x1="0" y1="0" x2="0" y2="7" stroke="{FAINT}" stroke-width="2.4"/></pattern></defs>'
)


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
        hatched: bool = False,
        marked: bool = False,
        radius: float = 6,
        thick: float = 1.2,
    ) -> None:
        """A rounded box; a broken one has a dashed outline, a hatched one hatching, a marked one a halo."""
        place = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
        if marked:
            halo = f'x="{x - 3:g}" y="{y - 3:g}" width="{width + 6:g}" height="{height + 6:g}" rx="{radius + 3:g}"'
            self._elements.append(f'<rect {halo} fill="{MARK}"/>')
        dash = ' stroke-dasharray="5 4"' if broken else ""
        self._elements.append(f'{place} fill="{fill}" stroke="{stroke}" stroke-width="{thick:g}"{dash}/>')
        if hatched:
            self._elements.append(f'{place} fill="url(#hatch)"/>')

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
        """A small cross, for a broken item."""
        low, whole = -size, 2 * size
        self._elements.append(
            f'<path d="M{x + low:g} {y + low:g}l{whole:g} {whole:g}m0 {-whole:g}l{-whole:g} {whole:g}" '
            f'stroke="{BAD}" stroke-width="2.2" fill="none"/>'
        )

    def warning(self, x: float, y: float, size: float = 8) -> None:
        """A triangle, for an item that is not as it should be."""
        self._elements.append(
            f'<path d="M{x:g} {y - size:g}l{size:g} {1.7 * size:g}h{-2 * size:g}z" fill="{PAPER}" '
            f'stroke="{WARN}" stroke-width="2"/>'
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
        """Text on a baseline. Text wider than ``width`` is cut; a tooltip has all of it."""
        room = len(words) if width is None else max(4, int(width / (size * (_BOLD_LETTER if bold else _LETTER))))
        shown = words if len(words) <= room else words[: room - 1] + "…"
        tooltip = f"<title>{escape(words)}</title>" if shown != words else ""
        weight = ' font-weight="bold"' if bold else ""
        side = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self._elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{side}{weight}{_MONO if mono else ""}>'
            f"{tooltip}{escape(shown)}</text>"
        )

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """The complete SVG, light and dark, with title and description as its text alternative."""
        body = f'<rect width="{width:g}" height="{height:g}" fill="{PAPER}"/>' + "".join(self._elements)
        if "url(#hatch)" in body:
            body = _HATCH + body
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label={quoteattr(title)} style="{_FONT}">'
            f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{dark_rules(body)}{body}</svg>"
        )
