"""Draws the layers of runbook_lib from its code: ``./runbook docs`` writes the picture to docs/images/floors.svg.

The layers and the owners of libraries are import-linter's contracts in pyproject.toml; the subpackages of a package,
their order, and what a package uses are what the code imports.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

import grimp

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = PROJECT / "docs/images/floors.svg"
ROOT = "runbook_lib"

WIDTH, MARGIN, GAP, LINE = 920, 16, 10, 17
# A character of the small text, in pixels: what is longer than a box is wrapped.
CHARACTER = 6.3


@dataclass(frozen=True)
class Package:
    """One box: the subpackages that import others come first, ``uses`` leaves out what others of it use already."""

    name: str
    subpackages: tuple[str, ...]
    uses: tuple[str, ...]
    libraries: tuple[str, ...]


def floors(project: Path = PROJECT) -> list[list[Package]]:
    """Return the packages of each layer, the highest layer first.

    Args:
        project: the folder with ``pyproject.toml``; the package is the one that Python imports.
    """
    settings = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in settings if contract["id"] == "layers")
    names = [re.findall(r"\w+", layer) for layer in layers]
    graph = grimp.build_graph(ROOT, exclude_type_checking_imports=True, cache_dir=None)
    packages = [name for layer in names for name in layer]
    uses = {name: _used(graph, name, packages) for name in packages}
    owners = dict(_owners(settings))
    return [
        [
            Package(name, _subpackages(graph, name), _direct(name, uses), tuple(sorted(owners.get(name, ()))))
            for name in layer
        ]
        for layer in names
    ]


def _used(graph: grimp.ImportGraph, name: str, others: Iterable[str]) -> set[str]:
    """The packages that modules of this one import."""
    whole = f"{ROOT}.{name}"
    modules = {whole, *graph.find_descendants(whole)}
    imported = {found for module in modules for found in graph.find_modules_directly_imported_by(module)}
    return {found.partition(".")[2].partition(".")[0] for found in imported} & (set(others) - {name})


def _direct(name: str, uses: dict[str, set[str]]) -> tuple[str, ...]:
    """What a package uses, without what it could as well use through another one that it uses."""
    through = {deeper for used in uses[name] for deeper in _below(used, uses)}
    return tuple(other for other in uses if other in uses[name] - through)


def _below(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    """All that something uses, itself or through another; itself too where that is a circle."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = uses[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _subpackages(graph: grimp.ImportGraph, name: str) -> tuple[str, ...]:
    """The packages in a package; one that imports another comes before it, and a circle is joined to one by a ring."""
    whole = f"{ROOT}.{name}"
    subpackages = sorted(child for child in graph.find_children(whole) if graph.find_children(child))
    imports = {
        child: {other for other in subpackages if other != child and _imports(graph, child, other)}
        for child in subpackages
    }
    below = {child: _below(child, imports) for child in subpackages}
    circles = {
        child: tuple(
            other for other in subpackages if other == child or (child in below[other] and other in below[child])
        )
        for child in subpackages
    }
    lowest_first = TopologicalSorter(
        {circles[child]: sorted({circles[other] for other in below[child]} - {circles[child]}) for child in subpackages}
    ).static_order()
    return tuple(" ⇄ ".join(child.rpartition(".")[2] for child in circle) for circle in reversed(list(lowest_first)))


def _imports(graph: grimp.ImportGraph, importer: str, imported: str) -> bool:
    return graph.direct_import_exists(importer=importer, imported=imported, as_packages=True)


def _owners(contracts: Sequence[dict]) -> Iterator[tuple[str, set[str]]]:
    """The libraries of each package that is the only one to import them, by the package's name."""
    allowed = [
        line.split(" -> ")
        for contract in contracts
        if contract["type"] == "forbidden" and contract["source_modules"] == [ROOT]
        for line in contract.get("ignore_imports", ())
    ]
    for name in {importer.split(".")[1] for importer, _ in allowed}:
        yield name, {library for importer, library in allowed if importer.split(".")[1] == name}


def draw(rows: Sequence[Sequence[Package]]) -> str:
    """Return the picture as SVG, the highest layer on top."""
    y, parts = MARGIN, []
    for row in rows:
        width = (WIDTH - 2 * MARGIN - GAP * (len(row) - 1)) / len(row)
        texts = [_lines(package, width) for package in row]
        height = 30 + LINE * max(map(len, texts))
        for place, (package, lines) in enumerate(zip(row, texts, strict=True)):
            x = MARGIN + place * (width + GAP)
            parts.append(f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{height}" rx="4"/>')
            parts.append(f'<text class="name" x="{x + 10:g}" y="{y + 20}">{escape(package.name)}</text>')
            for number, (kind, line) in enumerate(lines, start=1):
                at = y + 20 + LINE * number
                parts.append(f'<text class="{kind}" x="{x + 10:g}" y="{at}">{escape(line)}</text>')
        y += height + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN - GAP}" role="img">'
    return "\n".join([head, _TITLE, _STYLE, *parts, "</svg>", ""])


_TITLE = "<title>The layers of runbook_lib: a package imports only from lower ones</title>"
_STYLE = """<style>
rect { fill: #f5f7fa; stroke: #8a97a8 }
text { font: 12px sans-serif; fill: #22303f }
.name { font: bold 14px monospace }
.uses { fill: #4a5b6e }
.libraries { fill: #8a4b08 }
@media (prefers-color-scheme: dark) {
  rect { fill: #1d2733; stroke: #6b7a8d }
  text { fill: #e6ebf1 }
  .uses { fill: #a9b7c6 }
  .libraries { fill: #f0b429 }
}
</style>"""


def _lines(package: Package, width: float) -> list[tuple[str, str]]:
    """What stands in a box under its name, line by line: its kind and its text."""
    told = {
        "subpackages": " > ".join(package.subpackages),
        "uses": f"uses {', '.join(package.uses)}" if package.uses else "",
        "libraries": f"owns {', '.join(package.libraries)}" if package.libraries else "",
    }
    return [(kind, line) for kind, text in told.items() for line in _wrapped(text, int((width - 20) / CHARACTER))]


def _wrapped(text: str, length: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > length:
            yield line
            line = "   "
        line = f"{line} {word}" if line.strip() else line + word
    if line:
        yield line


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(floors()))
