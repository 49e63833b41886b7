from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from runbook_lib.session.views.display import LiveLines

NODES = [f"node{number}" for number in range(1, 13)]


def test_every_node_has_one_line_in_the_order_of_the_nodes_whoever_reports_first(displayed) -> None:
    with LiveLines("reboot", NODES) as live, ThreadPoolExecutor(len(NODES)) as pool:
        for state in ("checking", "applying", "changed"):
            list(pool.map(lambda node, state=state: live("reboot", node, state), reversed(NODES)))
    last = displayed.texts[-1].splitlines()
    assert last[0].startswith("reboot ")
    assert [line.split(":")[0].strip() for line in last[1:]] == NODES
    assert all(": changed after " in line for line in last[1:])


def test_one_display_is_rewritten_so_that_an_archive_shows_the_end_alone(displayed) -> None:
    with LiveLines("reboot", NODES) as live:
        live("reboot", "node1", "checking")
    first, *updates = displayed._captured._outputs
    assert not first.get("update")
    assert all(update["update"] for update in updates)
    assert {update["transient"]["display_id"] for update in updates} == {first["transient"]["display_id"]}


def test_a_step_that_breaks_off_says_so(displayed) -> None:
    def interrupted(live: LiveLines) -> None:
        live("reboot", "node2", "waiting for SSH")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), LiveLines("reboot", NODES) as live:
        interrupted(live)
    assert displayed.texts[-1].splitlines()[0] == "reboot broke off: KeyboardInterrupt"
    assert "node2: waiting for SSH" in displayed.texts[-1]


def test_a_node_that_nobody_announced_is_shown_too() -> None:
    live = LiveLines("reboot", ["node1"])
    live("reboot", "stranger", "checking")
    assert [line.split(":")[0] for line in live.lines] == ["stranger"]
