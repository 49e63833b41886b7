"""What a record costs in processor time, piece by piece: redaction, pages, and a journal that nobody reads.

    python tests/benchmarks/recording.py

Prints each piece's seconds of processor time and its bound. Exits 1 if one is above its bound.
"""

from __future__ import annotations

import os
import random
import string
import sys
import time
from collections.abc import Callable

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes_json

from runbook_lib import journal
from runbook_lib.records import html
from runbook_lib.redact import Redactor

LOG_LINE = "node1 | 64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.123 ms, dockerd[812]: level=info msg=ok\n"


def redaction() -> Callable[[], object]:
    """Ten megabytes of ordinary text, two hundred secrets."""
    letters = random.Random(3)
    sizes = (9, 14, 24, 40, 70)
    values = {f"n{at}": "".join(letters.choices(string.ascii_letters, k=sizes[at % 5])) for at in range(200)}
    redact = Redactor(values)
    redact("")
    return lambda: redact(LOG_LINE * 106_000)


def ordinary_page() -> Callable[[], object]:
    """Twenty questions with a table each."""
    table = "<table>" + "<tr><td>node1</td><td>10.0.0.2</td><td>pass</td></tr>" * 12 + "</table>"
    outputs = [new_output("display_data", {"text/html": table})]
    cells = [new_code_cell("run.ping()", outputs=outputs) for _ in range(20)]
    prose = [new_markdown_cell("## A question?\n\n**Expect:** an answer.") for _ in range(20)]
    text = writes_json(new_notebook(cells=[*cells, *prose]))
    return lambda: html.render(text)


def coloured_page() -> Callable[[], object]:
    """Forty thousand lines in colours."""
    output = new_output("stream", name="stdout", text="\x1b[31mred <word>\x1b[0m\n" * 40_000)
    text = writes_json(new_notebook(cells=[new_code_cell("1", outputs=[output])]))
    return lambda: html.render(text)


def unread_journal() -> Callable[[], object]:
    """A thousand calls that nobody wants to hear of."""

    def tell() -> None:
        for _ in range(1000):
            with journal.call("node1", "ssh", ["true"]) as answer:
                answer.status = 0

    return tell


PIECES = ((redaction, 1.0), (ordinary_page, 1.0), (coloured_page, 2.0), (unread_journal, 0.1))


def main() -> int:
    """Measure every piece once."""
    os.environ.pop(journal.JOURNAL_VARIABLE, None)
    html.warm_up()
    slow = False
    for prepare, bound in PIECES:
        piece = prepare()
        began = time.process_time()
        piece()
        seconds = time.process_time() - began
        slow = slow or seconds > bound
        print(f"{prepare.__name__.replace('_', ' '):<16} {seconds:6.3f} s, at most {bound} s  ({prepare.__doc__})")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
