from __future__ import annotations

from typing import Any

from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.model.results import Verdict
from runbook_lib.session.expectations import compare_column
from runbook_lib.session.views.pictures import Drift


def address(node: str, last: int, assigned_by: Any = "dhcp") -> ClusterAddress:
    expected = f"192.168.99.{103 + int(node[-1])}"
    return ClusterAddress(node, "eth1", f"192.168.99.{last}", 24, "02:00:00:00:00:01", expected, assigned_by)


BEFORE = (address("node1", 104), address("node2", 105), address("node3", 106, "static"))
AFTER = (address("node1", 105), address("node2", 104), address("node3", 106, "static"))


def test_after_a_restart_what_dhcp_assigned_is_expected_to_move_and_nothing_else() -> None:
    drift = Drift(BEFORE, AFTER, restarted=True)
    assert drift.expected == {"node1": True, "node2": True, "node3": False}
    assert dict(zip(drift.table["node"], drift.table["moved"], strict=True)) == drift.expected


def test_without_a_restart_there_is_nothing_to_compare() -> None:
    drift = Drift(BEFORE, BEFORE, restarted=False)
    assert drift.expected == {}
    checks = compare_column("only what DHCP assigned moved", drift.table, "moved", drift.expected)
    assert {check.verdict for check in checks} == {Verdict.SKIP}


def test_nothing_is_expected_of_a_node_whose_fixed_address_came_with_this_restart() -> None:
    fixed = (address("node1", 104, "static"), *AFTER[1:])
    assert Drift(BEFORE, fixed, restarted=True).expected == {"node2": True, "node3": False}


def test_the_table_shows_both_addresses_and_who_assigned_the_first() -> None:
    table = Drift(BEFORE, AFTER, restarted=True).table
    assert list(table.columns) == ["node", "before", "assigned by", "after", "moved"]
    assert table.iloc[0].tolist() == ["node1", "192.168.99.104", "dhcp", "192.168.99.105", True]


def test_the_picture_says_in_words_what_moved() -> None:
    assert "192.168.99.104" in repr(Drift(BEFORE, AFTER, restarted=True).picture())
