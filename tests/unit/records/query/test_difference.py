from __future__ import annotations

import copy
from typing import Any

from runbook_lib.model.record import Record
from runbook_lib.records.query.difference import Difference, Subject, differences, flatten
from tests.unit.records.samples import PROVENANCE, check, metric, sample, step


def record(**changes: Any) -> Record:
    return Record.model_validate(sample(**changes))


def told(a: Record, b: Record) -> list[tuple[str, str, str, str, str]]:
    return [(str(d.subject), d.item, d.node, d.before, d.after) for d in differences(a, b)]


def test_a_record_does_not_differ_from_itself_nor_from_one_that_is_alike() -> None:
    assert differences(record(), record()) == ()


def test_a_verdict_is_another_one_with_warnings() -> None:
    warned = [check("no loss", "warn", found="2 %")]
    assert ("verdict", "verdict", "", "pass", "pass, 1 warning") in told(record(), record(checks=warned))


def test_steps_are_compared_by_how_they_left_each_node() -> None:
    first = [
        step("fix addresses", "node1", "changed", "dhcp", "192.168.99.11"),
        step("fix addresses", "node2", "failed"),
    ]
    second = [
        step("fix addresses", "node1", "ok", "192.168.99.11", "192.168.99.11"),
        step("reboot", "node1", after="up"),
    ]
    assert told(record(steps=first), record(steps=second)) == [
        ("step", "fix addresses", "node2", "failed", "-"),
        ("step", "reboot", "node1", "-", "up"),
    ]


def test_of_a_step_that_ran_twice_the_last_row_counts_and_what_was_planned_only_does_not() -> None:
    twice = [step("disconnect", "node3", "changed", "", "off"), step("disconnect", "node3", "changed", "off", "on")]
    planned = [step("disconnect", "node3", "changed", "", "on"), step("disconnect", "node3", "planned", "on", "off")]
    assert told(record(steps=twice), record(steps=planned)) == []


def test_addresses_engines_and_silent_nodes_are_told_by_node() -> None:
    later: dict[str, Any] = copy.deepcopy(PROVENANCE)
    later["nodes"][0]["address"] = "192.168.99.111"
    later["nodes"][0]["engine"] = "26.1.5"
    later["nodes"][1]["answers"] = False
    assert told(record(), record(provenance=later)) == [
        ("address", "address", "node1", "192.168.99.11", "192.168.99.111"),
        ("address", "address", "node2", "192.168.99.12", "does not answer"),
        ("engine", "version", "node1", "20.10.24", "26.1.5"),
        ("engine", "version", "node2", "20.10.24", "-"),
        ("engine", "ID", "node2", "BBBB", "-"),
    ]


def test_checks_are_told_by_verdict_and_by_what_they_found() -> None:
    before = record(checks=[check("pairs answer", found="4 of 4"), check("store", node="node1")])
    after = record(
        checks=[check("pairs answer", "fail", found="3 of 4"), check("store", node="node1")], verdict="failed"
    )
    assert told(before, after) == [
        ("verdict", "verdict", "", "pass", "failed"),
        ("check", "pairs answer", "", "pass: 4 of 4", "fail: 3 of 4"),
    ]


def test_latency_is_told_with_its_unit_and_ratio_and_several_values_by_their_mean() -> None:
    before = record(metrics=[metric("ping latency", 1, "ms"), metric("ping latency", 3, "ms")])
    after = record(metrics=[metric("ping latency", 5, "ms"), metric("convergence", 1.25, "s")], seconds=25.0)
    assert differences(before, after) == (
        Difference(Subject.METRIC, "seconds", "", "12.5 s", "25 s", "× 2.00"),
        Difference(Subject.METRIC, "ping latency", "", "2 ms", "5 ms", "× 2.50"),
        Difference(Subject.METRIC, "convergence", "", "-", "1.25 s"),
    )


def test_parameters_and_provenance_are_told() -> None:
    source = {**PROVENANCE, "project_commit": "fffffff+changes", "packages": {"docker": "7.3.0"}}
    after = record(parameters={"name": "lab", "overlay": {"name": "ovr1"}, "plan": True}, provenance=source)
    assert told(record(), after) == [
        ("parameter", "overlay.name", "", "ovr0", "ovr1"),
        ("parameter", "overlay.subnet", "", "10.0.0.0/24", "-"),
        ("parameter", "plan", "", "-", "True"),
        ("provenance", "commit", "", "0123abc", "fffffff+changes"),
        ("provenance", "package docker", "", "7.2.0", "7.3.0"),
        ("provenance", "package pandas", "", "3.1.1", "-"),
    ]


def test_nested_parameters_have_dotted_names() -> None:
    value = {"containers": [{"name": "alpine1"}, {"name": "alpine2"}], "plan": False}
    assert list(flatten(value)) == [
        ("containers.0.name", "alpine1"),
        ("containers.1.name", "alpine2"),
        ("plan", "False"),
    ]
