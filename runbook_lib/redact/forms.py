"""The forms that programs give a value on its way into a file or onto a terminal."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

# A shorter stretch of base64 could be the middle of an ordinary word.
_SHORTEST_BASE64 = 8


def forms(value: str) -> set[str]:
    """The value itself and what it looks like escaped, escaped twice, in a URL and in base64."""
    once = _escaped(value)
    found = {value, *once}
    for form in once - {value}:
        found |= _escaped(form)
    for form in (quote(value, safe="", errors="replace"), quote(value, errors="replace")):
        found |= {form, form.replace("%20", "+")}
    return found | _base64(_bytes(value))


def _escaped(value: str) -> set[str]:
    """In JSON, in Python's repr (text, and bytes), in a table, in HTML, in CSV, in a word of a shell."""
    markup = html.escape(value, quote=False)
    return {
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(_bytes(value))[2:-1],
        value.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"),
        markup,
        html.escape(value),
        markup.replace('"', "&quot;").replace("'", "&#39;"),
        markup.replace('"', "&#34;").replace("'", "&#39;"),
        value.replace('"', '""'),
        value.replace("'", "'\"'\"'"),
    }


def _base64(data: bytes) -> set[str]:
    """The data encoded by itself, and in the middle of other data, as a password is in ``user:password``."""
    whole = base64.b64encode(data).decode()
    found = {whole, whole.rstrip("=")}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        # The characters that hold nothing but bits of the data.
        middle = encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        found.add(middle)
    found = {form for form in found if len(form) >= _SHORTEST_BASE64}
    return found | {form.replace("+", "-").replace("/", "_") for form in found}


def _bytes(value: str) -> bytes:
    # Variables of the environment that are no UTF-8 come as surrogates.
    return value.encode(errors="surrogateescape")
