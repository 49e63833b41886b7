from __future__ import annotations

import pytest

from runbook_lib.facts.host.addresses import parse_reach
from runbook_lib.facts.sections import Section

SILENT = Section("", 1)


@pytest.mark.parametrize("tool", ["iputils", "busybox"])
def test_a_container_that_answers_is_pinged_fetched_and_seen_under_its_mac(captured, tool: str) -> None:
    web = Section(captured("reach_web.txt"), 0)
    ping, neighbour = captured(f"reach_ping_{tool}.txt"), captured("reach_neighbour.txt")
    reach = parse_reach("node3", "192.168.96.96", ping, web, neighbour)
    assert (reach.sent, reach.received, reach.answer, reach.mac) == (2, 2, "web-macvlan", "02:42:c0:a8:60:60")
    assert reach.pinged
    assert reach.ping_ms is not None


def test_one_that_cannot_be_reached_has_neither_time_nor_answer_nor_mac(captured) -> None:
    ping, neighbour = captured("reach_ping_unreachable.txt"), captured("reach_neighbour_failed.txt")
    reach = parse_reach("node1", "192.168.96.96", ping, SILENT, neighbour)
    assert (reach.received, reach.ping_ms, reach.answer, reach.mac) == (0, None, "", "")
    assert not reach.pinged


def test_what_is_no_http_is_no_answer(captured) -> None:
    banner = Section("SSH-2.0-OpenSSH_9.2p1\n\nweb-macvlan\n", 0)
    assert parse_reach("node1", "192.168.96.96", captured("reach_ping_iputils.txt"), banner, "").answer == ""


def test_a_ping_that_could_not_be_sent_is_no_silence() -> None:
    with pytest.raises(ValueError, match="permission denied"):
        parse_reach("node1", "192.168.96.96", "ping: permission denied (are you root?)\n", SILENT, "")
