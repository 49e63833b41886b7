"""The start page of JupyterLab in Markdown: the learning path, the cluster's state, how to stop."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.cli.lab.copies import Copy, ResetLinks
from runbook_lib.errors import RunbookError
from runbook_lib.files import write_whole
from runbook_lib.model.commands import command_on_testbed, notebook_command, run_command, testbed_at_hand
from runbook_lib.model.loading import load_run
from runbook_lib.session.questions.overview import Overview, overview

#: The page and its picture, beside the learner's copies; both are rewritten whenever the page is opened.
PAGE = "START.md"
PICTURE = "images/now.svg"

#: The question of each notebook.
QUESTIONS = {
    "00_meet_the_cluster": "Who is there, and can packets pass where they must?",
    "01_fix_node_ips": "Why do addresses move, and how do they stay?",
    "02_autostart_etcd": "Why is the cluster dead after a power cut?",
    "03_create_overlay": "Does every engine know the same network?",
    "04_run_containers": "Two hosts, one subnet: which addresses?",
    "05_ping_tests": "Does every pair answer, and what is `docker_gwbridge` for?",
    "06_disconnect_connect": "How long until the peer notices?",
    "07_look_inside_the_overlay": "Where is the overlay, and what does a packet look like on its way?",
    "08_fixed_external_address": "How does a container get an address that the outside can reach?",
    "09_clean_up": "What did the notebooks make, and is all of it gone?",
    "10_read_the_archive": "What was done, when, by whom, and has anybody changed the records?",
}

_CHANGES = re.compile(r"^\| takes \| changes \| undo \|\n\|[-| ]+\|\n\| .+? \| (?P<changes>.+?) \| ", re.MULTILINE)
_NUMBERED = "[0-9][0-9]_*.ipynb"
_HTML = re.compile(r"[<>&]")

_COPIES = (
    "These notebooks are your copies: type, run and save as you like. They are kept, and the originals stay as "
    "committed. *reset* makes a copy as committed again; what you changed in it is kept beside it."
)

# The time of a learner who reads, predicts, and studies the output.
_WORDS_A_MINUTE = 150
_CELLS_A_MINUTE = 3


@dataclass(frozen=True)
class Lesson:
    """A notebook of the learning path: its file's stem, title and question, minutes to learn, what it changes."""

    name: str
    title: str
    question: str
    minutes: int
    changes: str


def lessons(folder: Path) -> tuple[Lesson, ...]:
    """Read each notebook of the folder, in order."""
    return tuple(_lesson(path) for path in sorted(folder.glob(_NUMBERED)))


def _lesson(path: Path) -> Lesson:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = {
        kind: ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind] for kind in ("markdown", "code")
    }
    first = texts["markdown"][0]
    found = _CHANGES.search(first)
    words = sum(len(text.split()) for text in texts["markdown"])
    return Lesson(
        name=path.stem,
        title=first.partition("\n")[0].removeprefix("# ").strip(),
        question=QUESTIONS.get(path.stem, ""),
        minutes=math.ceil(words / _WORDS_A_MINUTE + len(texts["code"]) / _CELLS_A_MINUTE),
        changes=found["changes"] if found else "",
    )


def write_start_page(links: ResetLinks, parameter_file: Path) -> None:
    """Read the cluster's state, and write the page into the folder of the learner's copies.

    A cluster that cannot be read is reported on the page, and raises no error.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder, originals = links.copies.folder, links.copies.originals
    shown = parameter_file
    if shown.is_relative_to(originals.parent):
        shown = shown.relative_to(originals.parent)
    yours = {copy.path: _yours(copy, links.link(copy.path)) for copy in links.copies.states()}
    try:
        state = overview(load_run(parameter_file))
    except RunbookError as error:
        write_whole(folder / PAGE, page(lessons(originals), None, shown, trouble=str(error), yours=yours), exact=True)
        return
    (folder / PICTURE).parent.mkdir(exist_ok=True)
    write_whole(folder / PICTURE, state.picture.svg, exact=True)
    write_whole(folder / PAGE, page(lessons(originals), state, shown, yours=yours), exact=True)


def page(
    path: Sequence[Lesson],
    state: Overview | None,
    parameter_file: Path,
    trouble: str = "",
    yours: Mapping[str, str] | None = None,
) -> str:
    """Return the page: ``state`` is the cluster's, or ``None`` with the reason in ``trouble``.

    ``yours`` has the state of the learner's copy and the reset link, by notebook file name.
    """
    there = {item.notebook: item.there for item in state.notebook_results} if state else {}
    next_one = next((name for name, done in there.items() if not done), None)
    parts = [
        "# Overlay networking, seen and predicted",
        "Open a notebook by its link, and walk it with **Shift-Enter**, one cell at a time: it asks a question, you "
        "predict, the cluster answers. Every notebook can be run twice, and says how to undo what it did.",
        "## The learning path",
        _learning_path(path, there, next_one, yours or {}),
        _COPIES,
        "What is run here leaves no record. A command executes the original, without exercises, and leaves one: "
        f"`{run_command('05')}`; `./runbook records list` shows them.",
        "## The cluster now",
        _cluster(state, parameter_file, next_one) if state else _no_cluster(trouble),
        "## How to stop",
        "Press **Ctrl-C** in the terminal in which `./runbook notebook` runs, or choose *File → Shut Down* here. A "
        "step that is running is interrupted and has time to clean up; then all kernels end. The cluster stays as it "
        f"is: {_down()}`{notebook_command()}` comes back to it.",
    ]
    return "\n\n".join(parts) + "\n"


def _down() -> str:
    return f"`{command_on_testbed('down')}` removes the testbed, " if testbed_at_hand() else ""


def _learning_path(
    path: Sequence[Lesson], there: dict[str, bool], next_one: str | None, yours: Mapping[str, str]
) -> str:
    rows = ["| notebook | question | minutes | changes | your copy | now |", "|---|---|--:|---|---|---|"]
    for lesson in path:
        mark = ""
        if lesson.name in there:
            mark = "✓ made" if there[lesson.name] else "next" if lesson.name == next_one else "not yet"
        link = f"[{lesson.title}]({lesson.name}.ipynb)"
        copy = yours.get(f"{lesson.name}.ipynb", "")
        rows.append(f"| {link} | {lesson.question} | {lesson.minutes} | {lesson.changes} | {copy} | {mark} |")
    return "\n".join(rows)


def _yours(copy: Copy, link: str) -> str:
    state = "changed by you, " if copy.changed else ""
    newer = "the original is newer, " if copy.changed and copy.outdated else ""
    return f"{state}{newer}[reset]({link})"


def _cluster(state: Overview, parameter_file: Path, next_one: str | None) -> str:
    rows = ["| node | address | by | engine | our containers run | others run |", "|---|---|---|---|---|---|"]
    for node in state.nodes:
        if node.trouble:
            rows.append(f"| {node.name} | {_plain(node.trouble)} | | | | |")
        else:
            running = " | ".join(", ".join(map(_plain, names)) or "none" for names in (node.containers, node.others))
            rows.append(f"| {node.name} | {node.address} | {node.assigned_by} | {node.engine} | {running} |")
    made = ["| there? | what | found |", "|---|---|---|"]
    made += [
        f"| {'✓' if item.there else '✗ not yet'} | {item.what} | {_plain(item.found)} |"
        for item in state.notebook_results
    ]
    forward = f"Go on with `{next_one}`." if next_one else "All results of the walkthrough exist."
    return "\n\n".join(
        [
            f"Cluster `{state.cluster}` of `{parameter_file}`, read at {time.strftime('%H:%M:%S')}. {forward} To read "
            "it again: *File → Reload Markdown File from Disk*; notebook 00 shows more.",
            f"![{_plain(state.picture.alternative.splitlines()[0])}]({PICTURE})",
            "\n".join(made),
            "\n".join(rows),
        ]
    )


def _no_cluster(trouble: str) -> str:
    return "There is no cluster to look at:\n\n" + "\n".join(f"    {line}" for line in trouble.splitlines())


def _plain(text: str) -> str:
    """A text escaped for a Markdown table."""
    return _HTML.sub(" ", " ".join(text.split())).replace("|", "\\|").replace("_", "\\_")
