"""Writes a draft as a parameter file with comments, and makes sure that it validates.

A template, since PyYAML writes no comments and a file of this form needs no library that can also read them back.
"""

from __future__ import annotations

import textwrap
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from runbook_lib.errors import ParameterError
from runbook_lib.model.imports.draft import Draft
from runbook_lib.model.loading import load_run

_WIDTH = 116
_NEVER_FOLDED = 1_000_000


def parameter_file(draft: Draft) -> str:
    """The text of the parameter file, the same for the same draft.

    Raises:
        ParameterError: the source describes something that cannot be a cluster, such as a name that no node can have.
        KeyFileError: private keys that others may read, or other files that are missing.
    """
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.filters |= {"yaml": _scalar, "block": _block}
    template = resources.files(__package__).joinpath("files", "parameters.yaml.j2").read_text(encoding="utf-8")

    def comment(place: str, indent: int = 0) -> str:
        lines = [line for note in draft.notes if note.place == place for line in _wrapped(note.text, indent)]
        return "".join(f"{line}\n" for line in lines)

    text = environment.from_string(template).render(draft=draft, comment=comment)
    try:
        load_run(yaml.safe_load(text))
    except ParameterError as error:
        # these places are in a file that is not written
        remedy = f"no file was written. {draft.origin}: correct there what these lines name, and import again"
        raise ParameterError(error.faults, place="what was imported", remedy=remedy) from error
    return text


def _wrapped(text: str, indent: int) -> list[str]:
    prefix = " " * indent + "# "
    return textwrap.wrap(
        text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False
    )


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=_NEVER_FOLDED).removesuffix("...\n").strip()


def _block(value: Any, indent: int) -> str:
    text = yaml.safe_dump(dict(value), default_flow_style=False, sort_keys=False, width=_NEVER_FOLDED)
    return textwrap.indent(text.rstrip(), " " * indent)
