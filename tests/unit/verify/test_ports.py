"""Verdicts on ports, from results and counters captured on nodes."""

from __future__ import annotations

from collections.abc import Callable

from runbook_lib.facts.control_plane import Ports
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.port_checks import judge_ports
from runbook_lib.verify.ports import PortReading, parse_chain, parse_results

Captured = Callable[[str], str]
ADDRESSES = {"node1": "10.1.0.1", "node2": "10.1.0.2"}
STORE = Ports(dict.fromkeys(ADDRESSES, (("10.1.0.1", 2379),)), 2379)


def reading(*, lost: str = "", tcp: str = "connected", **changes: object) -> PortReading:
    pairs = [(one, other) for one in ADDRESSES for other in ADDRESSES if one != other]
    fields: dict[str, object] = {
        "tcp": {(one, ("tcp", ADDRESSES[other], port)): tcp for one, other in pairs for port in (2376, 7946)}
        | {(one, ("tcp", "10.1.0.1", 2379)): tcp for one in ADDRESSES},
        "sent": {(one, ("udp", ADDRESSES[other], port)): "sent" for one, other in pairs for port in (7946, 4789)},
        "counted": {
            (other, ADDRESSES[one], port): 0 if f"{other}:{port}" == lost else 3
            for one, other in pairs
            for port in (7946, 4789)
        },
        "tables": dict.fromkeys(ADDRESSES, "security"),
    }
    return PortReading(**(fields | changes))  # type: ignore[arg-type]


def rows(found: PortReading, check: str) -> dict[str, Check]:
    checks = judge_ports(list(ADDRESSES), ADDRESSES, STORE, [2376], found)
    return {row.node: row for row in checks if row.check.startswith(check)}


def test_results_are_read_by_target(captured: Captured) -> None:
    results = parse_results(captured("send.txt"))
    assert results["tcp", "192.168.99.107", 7946] == "connected"
    assert results["tcp", "192.168.99.107", 81] == "refused"
    assert results["tcp", "192.168.99.240", 7946] == "timeout"
    assert results["udp", "192.168.99.107", 4789] == "sent"
    assert results["udp", "10.200.200.1", 4789].startswith("not sent: bash: connect: Network is unreachable")


def test_counters_are_read_by_source_and_port(captured: Captured) -> None:
    assert parse_chain(captured("chain.txt")) == {
        ("192.168.99.104", 4789): 3,
        ("192.168.99.104", 7946): 3,
        ("192.168.99.105", 4789): 0,
    }


def test_open_ports_pass_for_every_node() -> None:
    checks = list(judge_ports(list(ADDRESSES), ADDRESSES, STORE, [2376], reading()))
    assert {row.verdict for row in checks} == {Verdict.PASS}
    assert len(checks) == 10


def test_a_lost_udp_probe_names_receiver_sender_and_remedy() -> None:
    found = rows(reading(lost="node2:4789"), "udp 4789")
    assert found["node1"].verdict is Verdict.PASS
    assert found["node2"].verdict is Verdict.FAIL
    assert found["node2"].found.startswith("from node1: 0 of 3")
    assert "open udp 4789 (not tcp) on node2" in found["node2"].remedy


def test_udp_without_a_counter_is_not_called_proven() -> None:
    found = rows(reading(tables={}, uncounted={"node1": "cannot count: no root", "node2": "no iptables"}), "udp 7946")
    assert {row.verdict for row in found.values()} == {Verdict.WARN}
    assert found["node1"].found == "not proven: cannot count: no root"


def test_a_refusal_shows_an_open_path_which_is_enough_for_store_and_gossip_but_not_for_the_engine() -> None:
    refused = reading(tcp="refused")
    assert rows(refused, "tcp 7946")["node1"].verdict is Verdict.WARN
    assert rows(refused, "tcp 2379")["node1"].verdict is Verdict.WARN
    assert rows(refused, "tcp 2376")["node1"].verdict is Verdict.FAIL


def test_a_timeout_fails_whatever_the_port() -> None:
    checks = judge_ports(list(ADDRESSES), ADDRESSES, STORE, [2376], reading(tcp="timeout"))
    assert {row.verdict for row in checks if row.check.startswith("tcp")} == {Verdict.FAIL}


def test_a_node_that_does_not_answer_fails_its_own_rows_and_shows_in_the_others() -> None:
    found = reading(errors={"node2": "no SSH connection"}, sent={}, counted={}, tcp={})
    assert rows(found, "udp 4789")["node2"].found == "no SSH connection"
    assert "from node2: no SSH connection" in rows(found, "udp 4789")["node1"].found


def test_a_single_node_has_nobody_to_send_from() -> None:
    checks = judge_ports(["node1"], {"node1": "10.1.0.1"}, STORE, [], reading())
    assert {row.verdict for row in checks if "between" in row.check} == {Verdict.SKIP}
