"""Every table that a notebook reads or shows is in its record whole, once, under a name that every run gives it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.errors import InputError
from runbook_lib.journal import Metric, NodeFacts, Table
from runbook_lib.session.questions.recorded_tables import Kept, as_csv, measured

if TYPE_CHECKING:
    from ...conftest import Told

WIDE = pd.DataFrame({"node": ["node1", "node2"], "ms": [0.1 + 0.2, 1 / 3], "note": ["a,b", 'say "x"\n']})


def tables(told: Told) -> dict[str, str]:
    return {entry.name: entry.csv for entry in told.entries() if isinstance(entry, Table)}


def run_cell(source: str) -> None:
    InteractiveShell.instance().run_cell(source, store_history=True)


def test_a_table_is_kept_with_all_its_digits_and_no_numbers_of_rows(told: Told) -> None:
    Kept().keep("ping by name", WIDE)
    (csv,) = tables(told).values()
    assert csv == 'node,ms,note\nnode1,0.30000000000000004,"a,b"\nnode2,0.3333333333333333,"say ""x""\n"\n'
    assert as_csv(WIDE.set_index("node")).startswith("node,ms,note\n")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("ping by name", "ping_by_name"), ("disconnect alpine1 samples", "disconnect_alpine1_samples"), ("../x", "x")],
)
def test_a_name_becomes_one_that_a_file_can_have(told: Told, name: str, kept: str) -> None:
    Kept().keep(name, WIDE)
    assert list(tables(told)) == [kept]


def test_what_a_cell_shows_is_kept_unless_it_is_part_of_what_is_kept_already(told: Told, displayed) -> None:
    kept = Kept()
    kept.watch_displays()
    kept.keep("wide", WIDE)
    run_cell("import pandas as pd")
    shell = InteractiveShell.instance()
    shell.user_ns |= {"wide": WIDE, "again": WIDE.copy()}
    for source in ("wide", "wide[['ms', 'node']]", "again.drop(columns='ms')", "display(wide)", "wide.head(1)", "1"):
        run_cell(source)
    assert list(tables(told)) == ["wide", "wide_head"]
    assert "node1" in displayed.texts[-1]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("answers", "answers"),
        ("box.table", "box_table"),
        ("answers.describe().round(2)", "answers_describe_round"),
        ("answers[answers.a > 1]", "answers"),
        ("answers + 1", "table"),
        ("%time answers", "run_line_magic"),
    ],
)
def test_what_is_shown_has_the_name_that_its_cell_gives_it(told: Told, displayed, source: str, name: str) -> None:
    kept = Kept()
    kept.watch_displays()
    answers = pd.DataFrame({"a": [1, 2, 3]})
    InteractiveShell.instance().user_ns |= {"answers": answers, "box": type("Box", (), {"table": answers})}
    run_cell(source)
    assert list(tables(told)) == [name]


def test_without_a_runner_nothing_is_hooked_into_the_kernel(displayed) -> None:
    Kept().watch_displays()
    formatter = InteractiveShell.instance().display_formatter
    assert formatter is not None
    assert pd.DataFrame not in formatter.mimebundle_formatter.type_printers


def test_a_node_is_told_when_it_is_first_seen_and_when_its_address_has_changed(told: Told) -> None:
    kept = Kept()
    kept.node(NodeFacts("node1", "10.0.0.1", "20.10.24", "AB:CD"))
    kept.address("node1", "10.0.0.1")
    kept.address("node1", "10.0.0.9")
    kept.address("node2", "10.0.0.2")
    assert told.entries() == [
        NodeFacts("node1", "10.0.0.1", "20.10.24", "AB:CD"),
        NodeFacts("node1", "10.0.0.9", "20.10.24", "AB:CD"),
    ]


def test_a_number_that_is_not_known_is_not_told(told: Told) -> None:
    measured("ping latency", None, "ms")
    measured("ping latency", 0.25, "ms")
    assert told.entries() == [Metric("ping latency", 0.25, "ms")]


def test_a_session_tells_of_its_cluster_its_steps_its_checks_and_of_what_it_could_not_reach(
    told: Told, open_session
) -> None:
    run = open_session()
    run.plan(run.steps.static_addresses())
    run.expect("one is one", found=1, expected=1)
    run.ping(by="name")
    run.finish()
    entries = told.entries()
    assert [entry for entry in entries if isinstance(entry, NodeFacts)] == [
        NodeFacts("node1", answers=False),
        NodeFacts("node2", answers=False),
    ]
    found = {entry.name: entry.csv for entry in entries if isinstance(entry, Table)}
    assert list(found) == ["cluster", "plan_static_addresses", "ping_by_name", "checks", "summary"]
    assert "one is one,,pass,1,1," in found["checks"]
    assert "first ping (ms)" in found["ping_by_name"]
    # No echo request was sent: neither a latency nor a loss is known.
    assert not [entry for entry in entries if isinstance(entry, Metric)]


def test_a_secret_is_read_by_its_name(open_session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "hunter2-and-more")
    run = open_session(secrets={"password": {"env": "LAB_PASSWORD"}})
    assert run.secret("password") == "hunter2-and-more"
    with pytest.raises(InputError, match="unknown secret 'token'") as caught:
        run.secret("token")
    assert "declared are password" in caught.value.remedy
