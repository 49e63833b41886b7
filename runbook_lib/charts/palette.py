"""The colours of all pictures, each with its variant for a dark page. No information is in colour alone."""

from __future__ import annotations

INK = "#1f2933"
MUTED = "#5f6c7b"
FAINT = "#cbd2d9"
PAPER = "#ffffff"
WASH = "#f5f7fa"
GOOD = "#1b7f5c"
WARN = "#a15c07"
BAD = "#b42318"
ACCENT = "#2563a8"

OVERLAY_WASH = "#e6f0fa"
NETWORK_WASH = "#eef1f4"
BRIDGE_WASH = "#fdf3e1"
BAD_WASH = "#fdeceb"
GOOD_WASH = "#e3f3ec"
MARK = "#f2c94c"

#: From fast to slow.
SHADES = ("#eaf4f4", "#d0e8e8", "#aed7d8", "#86c1c4", "#5aa8ae")

_DARK = {
    INK: "#e4e9ef",
    MUTED: "#9fb0c0",
    FAINT: "#465463",
    PAPER: "#12181f",
    WASH: "#1b232c",
    GOOD: "#56c596",
    WARN: "#e0a14a",
    BAD: "#ff8a7a",
    ACCENT: "#7db4ee",
    OVERLAY_WASH: "#17293d",
    NETWORK_WASH: "#232d38",
    BRIDGE_WASH: "#33280f",
    BAD_WASH: "#3a1d1c",
    GOOD_WASH: "#15302a",
    MARK: "#b08900",
    **dict(zip(SHADES, ("#16302f", "#1b4142", "#1f5355", "#24666a", "#297a7f"), strict=True)),
}


def dark_rules(svg: str) -> str:
    """A ``<style>`` that replaces these colours in an SVG by the dark variants if the reader prefers a dark page.

    It matches colours as attributes (``fill="#…"``) and as in matplotlib's output (``style="fill: #…"``). Viewers
    without style sheets, and printers, keep the light ones.
    """
    rules = []
    for light, dark in _DARK.items():
        for what in ("fill", "stroke"):
            if f'{what}="{light}"' in svg:
                rules.append(f'[{what}="{light}"]{{{what}:{dark}}}')
            if f"{what}: {light}" in svg:
                rules.append(f'[style*="{what}: {light}"]{{{what}:{dark}!important}}')
    return f"<style>@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}</style>"
