"""How Sphinx makes pages of this project's documentation: ``./runbook docs``.

The project's folder is the source, so that README, CONTRIBUTING and CHANGELOG are pages too, and a link leads to the
same place here and where the files are read as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from runbook_lib import __version__  # noqa: E402

project = "overlay-runbook"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**.md"]
# These folders are not even looked through.
exclude_patterns = [".*", "records", "runbook_lib", "tests", "notebooks", "params", "docs/_build", "build", "dist"]

myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page of the reference may begin its parts at any depth

napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
add_module_names = False
# Names of other projects have no page here, and those of ours that a notebook does not call have none either.
nitpick_ignore_regex = [
    (r"py:.*", r"(pd|pandas|matplotlib|pathlib|collections)(\..*)?"),
    (r"py:class", r"runbook_lib\.(steps|facts|model|widgets|verify|records\.store\.archive)\..*"),
]

html_theme = "alabaster"
html_theme_options = {
    "description": "Docker multi-host overlay networking, built, proved and explained",
    "page_width": "1180px",
}
html_static_path: list[str] = []
html_copy_source = False
html_show_sourcelink = False


def colon_is_no_type(_app: Any, kind: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Let ``Columns: node, …`` be what comes back, and not the type of it, as napoleon would have it."""
    places = [place + 1 for place, line in enumerate(lines[:-1]) if line.strip() == "Returns:"]
    for place in [0] if kind == "property" else places:
        text = lines[place].lstrip()
        lines[place] = f"{lines[place].removesuffix(text)}: {text}"


def setup(app: Any) -> None:
    """Tell Sphinx; called by it."""
    app.connect("autodoc-process-docstring", colon_is_no_type, priority=400)
