"""Verdicts on ports, from results and counters captured on nodes."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes.base import Ports
from runbook_lib.model.parameters import Timeouts
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.port_checks import judge_ports, judge_udp
from runbook_lib.verify.ports import (
    PROBES,
    NodeCounts,
    PortReading,
    Stage,
    Target,
    parse_counts,
    parse_results,
    try_ports,
)
from runbook_lib.verify.prober import program

Captured = Callable[[str], str]
ADDRESSES = {"node1": "10.1.0.1", "node2": "10.1.0.2"}
FOUR = {f"node{number}": f"10.1.0.{number}" for number in (1, 2, 3, 4)}
STORE = Ports(dict.fromkeys(ADDRESSES, (("10.1.0.1", 2379),)), 2379)
UDP = (7946, 4789)
RESULTS = ("connected", "refused", "timeout", "not sent: Network is unreachable", "No route to host")
ALL: frozenset[Stage] = frozenset(("left", "arrived", "passed"))


def reading(
    lost: Sequence[tuple[str, str, str, int]] = (),
    *,
    after: Stage | None = None,
    result: str = "",
    tcp: str = "connected",
    stages: frozenset[Stage] = ALL,
    addresses: Mapping[str, str] = ADDRESSES,
    **changes: object,
) -> PortReading:
    """Every probe comes through but those ``lost`` (protocol, sender, receiver, port), which come as far as ``after``.

    ``result`` is what the senders of those that are lost say: by default what the real tools say of such a loss.
    """
    pairs = [(one, other) for one in addresses for other in addresses if one != other]
    order: tuple[Stage, ...] = ("left", "arrived", "passed")
    reached = order[: order.index(after) + 1] if after else ()
    packets: dict[str, dict[tuple[Stage, str, str, int], int]] = {name: {} for name in addresses}
    results: dict[str, dict[tuple[str, Target], str]] = {"tcp": {}, "udp": {}}
    for one, other in pairs:
        for protocol, port in (("tcp", 2376), ("tcp", 2379), ("tcp", 7946), ("udp", 7946), ("udp", 4789)):
            fails = (protocol, one, other, port) in lost
            good = tcp if protocol == "tcp" else "sent"
            bad = result or ("timeout" if protocol == "tcp" else "sent")
            results[protocol][one, (protocol, addresses[other], port)] = bad if fails else good
            for stage in order:
                end, peer = (one, other) if stage == "left" else (other, one)
                packets[end][stage, protocol, addresses[peer], port] = 0 if fails and stage not in reached else 3
    own = "timeout" if ("tcp", "node1", "node1", 2379) in lost else tcp
    results["tcp"]["node1", ("tcp", addresses["node1"], 2379)] = own
    fields: dict[str, object] = {
        "tcp": results["tcp"],
        "sent": results["udp"],
        "counts": {name: NodeCounts("security", stages, packets[name]) for name in addresses},
    }
    return PortReading(**(fields | changes))  # type: ignore[arg-type]


def counted(left: int, arrived: int, passed: int, stages: frozenset[Stage] = ALL) -> PortReading:
    """What node1 sends to node2's UDP 4789 comes as far as this; all else comes through."""
    found = reading(stages=stages)
    ends: tuple[tuple[str, str, Stage, int], ...] = (
        ("node1", "10.1.0.2", "left", left),
        ("node2", "10.1.0.1", "arrived", arrived),
        ("node2", "10.1.0.1", "passed", passed),
    )
    counts = dict(found.counts)
    for node, peer, stage, packets in ends:
        own = counts[node]
        counts[node] = replace(own, packets={**own.packets, (stage, "udp", peer, 4789): packets})
    return replace(found, counts=counts)


def rows(found: PortReading, check: str, addresses: Mapping[str, str] = ADDRESSES) -> dict[str, Check]:
    checks = judge_ports(list(addresses), addresses, STORE, [2376], found, "eth1")
    return {row.node: row for row in checks if row.check.startswith(check)}


def test_results_are_read_by_target(captured: Captured) -> None:
    results = parse_results(captured("send.txt"))
    assert results["tcp", "192.168.99.107", 7946] == "connected"
    assert results["tcp", "192.168.99.107", 81] == "refused"
    assert results["tcp", "192.168.99.240", 7946] == "timeout"
    assert results["udp", "192.168.99.107", 4789] == "sent"
    assert results["udp", "10.200.200.1", 4789].startswith("not sent: bash: connect: Network is unreachable")


@pytest.mark.parametrize("tool", ["bash", "perl"])
@pytest.mark.parametrize("size", [9, 1471, 9000])
def test_a_datagram_of_any_size_is_sent_whole(tool: str, size: int, tmp_path: Path) -> None:
    for name in (tool, "sh", "timeout", "dd", "grep", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name} here"))
    payload = "probe-pkt".ljust(size, ".")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        target = f"udp:127.0.0.1:{receiver.getsockname()[1]}"
        shell = [str(tmp_path / "sh"), "-s", str(PROBES), payload, target]
        sent = subprocess.run(
            shell, input=program("send.sh"), env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        assert parse_results(sent.stdout) == {("udp", "127.0.0.1", receiver.getsockname()[1]): "sent"}
        receiver.setblocking(False)  # what was sent over loopback is there already
        assert [receiver.recv(1 << 16) for _ in range(PROBES)] == [payload.encode()] * PROBES


def test_what_came_how_far_is_read_from_the_counters(captured: Captured) -> None:
    found = parse_counts(captured("count_started.txt"), captured("count_stopped.txt"))
    assert found is not None
    assert (found.table, found.stages, found.rp_filtered) == ("security", ALL, 22)
    assert found.routes == {"192.168.93.104": "eth0", "192.168.93.106": "eth1", "192.168.93.107": "eth1"}
    way = {
        peer: [found.of(stage, "udp", f"192.168.93.{peer}", 4789) for stage in ("left", "arrived", "passed")]
        for peer in (104, 106, 107)
    }
    assert way == {104: [3, 3, 0], 106: [3, 3, 0], 107: [3, 3, 3]}
    assert found.of("passed", "tcp", "192.168.93.104", 7946) == 0
    assert found.of("passed", "tcp", "192.168.93.107", 7946) == 2


def test_a_node_that_cannot_count_is_no_node_without_packets(captured: Captured) -> None:
    assert parse_counts("cannot iptables: Permission denied", "") is None
    bare = parse_counts("rp_filtered 1\ncounting nat", captured("count_stopped.txt"))
    assert bare is not None
    assert bare.of("left", "udp", "192.168.93.107", 4789) is None


def test_chains_that_are_gone_when_they_are_read_are_not_taken_for_chains_without_packets(captured: Captured) -> None:
    stopped = captured("count_stopped.txt")
    started = captured("count_started.txt")
    gone = "".join(line for line in stopped.splitlines(keepends=True) if line.startswith(("rp_filtered", "route")))
    assert parse_counts(started, gone) is None
    first, inward, rest = re.split(r"^(?=Chain .*-(?:in|out) )", stopped, flags=re.MULTILINE)
    partly = parse_counts(started, first + rest)
    assert partly is not None
    assert partly.stages == {"passed", "left"}
    assert partly.of("arrived", "udp", "192.168.93.107", 4789) is None
    emptied = parse_counts(started, first + "".join(inward.splitlines(keepends=True)[:2]) + rest)
    assert emptied is not None
    assert emptied.stages == {"passed", "left"}


def test_the_counting_rules_outlive_three_calls_to_the_slowest_node() -> None:
    given: list[Sequence[str]] = []

    class Ssh:
        def script(self, _: str, *arguments: str, **options: object) -> SimpleNamespace:
            given.append(arguments)
            said = [f"{word} sent" for word in arguments if word.startswith("udp:")]
            return SimpleNamespace(stdout="\n".join(["counting security in out", *said]), stderr="")

    class Nodes(list[SimpleNamespace]):
        timeouts = Timeouts(connect=7, command=90)

        def each(self, ask: Callable[[SimpleNamespace], object], *, nodes: Sequence[SimpleNamespace]) -> list[object]:
            return [SimpleNamespace(node=node.name, value=ask(node), error=None) for node in nodes]

    cluster = cast("Cluster", Nodes(SimpleNamespace(name=name, ssh=Ssh()) for name in ADDRESSES))
    found = try_ports(cluster, ADDRESSES, {}, (4789,))
    starts = [arguments for arguments in given if arguments[0] == "start"]
    assert [int(arguments[2]) for arguments in starts] == [3 * (7 + 90)] * 2
    # what this cluster "counted" is gone at the end, which accuses nobody
    judged = rows(found, "udp 4789")
    assert {row.verdict for row in judged.values()} == {Verdict.WARN}
    assert "could not be read again" in judged["node1"].found
    assert judged["node1"].remedy.startswith("run it again")


def test_open_ports_pass_for_every_node() -> None:
    checks = list(judge_ports(list(ADDRESSES), ADDRESSES, STORE, [2376], reading()))
    assert {row.verdict for row in checks} == {Verdict.PASS}
    assert len(checks) == 10


@pytest.mark.parametrize("stages", [ALL, frozenset(("passed",))], ids=["all counted", "only behind the filter"])
def test_a_lost_udp_probe_names_receiver_sender_and_remedy(stages: frozenset[Stage]) -> None:
    found = rows(reading([("udp", "node1", "node2", 4789)], after="arrived", stages=stages), "udp 4789")
    assert found["node1"].verdict is Verdict.PASS
    assert found["node2"].verdict is Verdict.FAIL
    assert found["node2"].found.startswith("from node1: 0 of 3")
    assert "open udp 4789 (not tcp) on node2" in found["node2"].remedy


@pytest.mark.parametrize(
    ("protocol", "port", "result"),
    [("udp", 4789, "not sent: dd: error writing 'standard output': Operation not permitted"), ("tcp", 7946, "timeout")],
)
def test_what_a_node_does_not_let_out_is_its_own_fault_and_not_the_receivers(
    protocol: str, port: int, result: str
) -> None:
    lost = [(protocol, "node3", other, port) for other in ("node1", "node2", "node4")]
    found = rows(reading(lost, result=result, addresses=FOUR), f"{protocol} {port}", FOUR)
    assert {node: row.verdict.value for node, row in found.items()} == {
        "node1": "pass",
        "node2": "pass",
        "node3": "fail",
        "node4": "pass",
    }
    assert found["node3"].found.startswith("to node1, node2, node4: ")
    assert found["node3"].remedy.startswith(f"let {protocol} {port} out on node3")
    assert "(see node3)" in found["node1"].found


@pytest.mark.parametrize(("protocol", "port"), [("udp", 7946), ("tcp", 7946)])
def test_where_nobody_counts_the_node_that_all_losses_have_in_common_is_named(protocol: str, port: int) -> None:
    others = ("node1", "node2", "node4")
    lost = [(protocol, "node3", other, port) for other in others] + [
        (protocol, other, "node3", port) for other in others
    ]
    found = rows(reading(lost, after="left", addresses=FOUR), f"{protocol} {port}", FOUR)
    assert [node for node, row in found.items() if row.verdict is not Verdict.PASS] == ["node3"]
    assert found["node3"].remedy.startswith("open ")


def test_losses_that_have_no_node_in_common_are_the_receivers() -> None:
    lost = [("tcp", "node1", "node2", 7946), ("tcp", "node3", "node4", 7946)]
    found = rows(reading(lost, after="left", addresses=FOUR), "tcp 7946", FOUR)
    assert [node for node, row in found.items() if row.verdict is Verdict.FAIL] == ["node2", "node4"]


@pytest.mark.parametrize(("protocol", "port"), [("udp", 4789), ("tcp", 7946)])
def test_what_a_reverse_path_filter_drops_is_not_called_a_closed_port(protocol: str, port: int) -> None:
    found = reading([(protocol, "node1", "node2", port)], after="arrived")
    astray = replace(found.counts["node2"], rp_filtered=3, routes={"10.1.0.1": "eth0"})
    row = rows(replace(found, counts={**found.counts, "node2": astray}), f"{protocol} {port}")["node2"]
    assert "reverse-path filter" in row.found
    assert row.remedy.startswith("node2's route back to 10.1.0.1 leads out of eth0")
    assert "open" not in row.remedy
    # a filter that dropped nothing is not to blame
    still = rows(replace(found, counts={**found.counts, "node2": replace(astray, rp_filtered=0)}), f"{protocol} {port}")
    assert still["node2"].remedy.startswith(f"open {protocol} {port}")


def test_what_goes_out_of_another_interface_is_the_senders_route() -> None:
    found = reading([("udp", "node1", "node2", 4789)], after="left")
    counts = {**found.counts, "node1": replace(found.counts["node1"], routes={"10.1.0.2": "eth0"})}
    judged = rows(replace(found, counts=counts), "udp 4789")
    assert (judged["node1"].verdict, judged["node2"].verdict) == (Verdict.FAIL, Verdict.SKIP)
    assert judged["node1"].remedy.startswith("node1's route to 10.1.0.2 leads out of eth0, not eth1")


def test_a_member_that_nobody_reaches_is_one_nodes_fault_and_each_client_says_whose() -> None:
    needed = Ports(dict.fromkeys(FOUR, (("10.1.0.1", 2379),)), 2379)
    found = reading([("tcp", other, "node1", 2379) for other in FOUR], after="arrived", addresses=FOUR)
    checks = judge_ports(list(FOUR), FOUR, needed, [], found, "eth1")
    store = {row.node: row for row in checks if row.check.startswith("tcp 2379")}
    assert [node for node, row in store.items() if row.verdict is Verdict.FAIL] == ["node1"]
    assert store["node1"].found == "from node1, node2, node3, node4: timeout"
    assert store["node3"].found == "10.1.0.1: see node1"
    assert store["node3"].verdict is Verdict.SKIP


def test_udp_without_a_counter_is_not_called_proven() -> None:
    found = rows(reading(counts={}, uncounted={"node1": "cannot count: no root", "node2": "no iptables"}), "udp 7946")
    assert {row.verdict for row in found.values()} == {Verdict.WARN}
    assert found["node1"].found == "not proven: cannot count: no root"


def test_a_refusal_shows_an_open_path_which_is_enough_for_store_and_gossip_but_not_for_the_engine() -> None:
    refused = reading(tcp="refused")
    assert rows(refused, "tcp 7946")["node1"].verdict is Verdict.WARN
    assert rows(refused, "tcp 2379")["node1"].verdict is Verdict.WARN
    assert rows(refused, "tcp 2376")["node1"].verdict is Verdict.FAIL
    assert rows(refused, "tcp 2376")["node1"].remedy.startswith("check that dockerd runs on node1")


@pytest.mark.parametrize("port", [2376, 2379, 7946])
def test_a_timeout_fails_whatever_the_port(port: int) -> None:
    found = rows(reading([("tcp", "node2", "node1", port)], after="passed"), f"tcp {port}")
    assert [node for node, row in found.items() if row.verdict is Verdict.FAIL] == ["node1"]


def test_a_node_that_does_not_answer_fails_its_own_rows_and_shows_in_the_others() -> None:
    found = replace(reading(), errors={"node2": "no SSH connection"})
    assert rows(found, "udp 4789")["node2"].found == "no SSH connection"
    assert "from node2: no SSH connection" in rows(found, "udp 4789")["node1"].found


def test_a_single_node_has_nobody_to_send_from() -> None:
    checks = judge_ports(["node1"], {"node1": "10.1.0.1"}, STORE, [], reading())
    assert {row.verdict for row in checks if "between" in row.check} == {Verdict.SKIP}


@pytest.mark.parametrize(
    ("ways", "stages", "node", "words", "look"),
    [
        ((3, 3, 1), ALL, "node2", "from node1: 1 of 3 (the rest lost in its filter)", "iptables -nvL INPUT"),
        (
            (3, 2, 2),
            ALL,
            "node2",
            "from node1: 2 of 3 (the rest lost on the way to it)",
            "the network on the way to it",
        ),
        (
            (3, 2, 1),
            ALL,
            "node2",
            "from node1: 1 of 3 (the rest lost on the way to it)",
            "the network on the way to it",
        ),
        (
            (3, 3, 1),
            frozenset[Stage](("passed",)),
            "node2",
            "from node1: 1 of 3 (the rest lost in its filter or on the way to it)",
            "iptables -nvL INPUT",
        ),
        ((2, 2, 2), ALL, "node1", "to node2: 2 of 3, the rest dropped by node1's own firewall", "iptables -nvL OUTPUT"),
    ],
)
def test_where_some_probes_come_through_the_port_is_not_called_closed(
    ways: tuple[int, int, int], stages: frozenset[Stage], node: str, words: str, look: str
) -> None:
    row = rows(counted(*ways, stages=stages), "udp 4789")[node]
    assert row.verdict is Verdict.FAIL
    assert row.found.startswith(words)
    assert look in row.remedy
    assert "open udp" not in row.remedy
    assert "let udp" not in row.remedy


def test_every_port_that_fails_says_what_to_do_about_it() -> None:
    order = range(PROBES + 1)
    ways = [(a, b, c) for a in order for b in order for c in order if a >= b >= c]
    odd = [
        reading([("tcp", "node1", "node2", 7946)], after=after, result=result) for after in ALL for result in RESULTS
    ]
    odd += [reading(tcp=result, errors={"node1": "no route to host"}) for result in RESULTS]
    odd += [counted(*way, stages=stages) for way in ways for stages in (ALL, frozenset[Stage](("passed",)))]
    failed = 0
    for found in odd:
        for addresses in (ADDRESSES, {"node1": "10.1.0.1"}):
            checks = list(judge_ports(list(ADDRESSES), addresses, STORE, [2376], found, "eth1"))
            for row in [*checks, *judge_udp(list(addresses), addresses, found, "eth1", 4789, 1500)]:
                assert row.remedy or row.verdict is not Verdict.FAIL, row
                failed += row.verdict is Verdict.FAIL
    assert failed
