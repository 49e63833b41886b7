from __future__ import annotations

import re

import pytest

from runbook_lib.facts.control_planes.base import Registration
from runbook_lib.facts.control_planes.etcd.keys import (
    Discovery,
    key_urls,
    parse_discovery,
    parse_registration,
    time_to_live,
)
from runbook_lib.facts.sections import Section

ROW = Registration("node1", "192.168.99.104:2376", False)
NO_FILE = Section("cat: /etc/docker/daemon.json: No such file or directory\n", 1)


def with_ttl(sections: dict[str, Section], seconds: int) -> dict[str, Section]:
    key = sections["key"]
    return {**sections, "key": Section(re.sub(r'"ttl":\d+', f'"ttl":{seconds}', key.text), key.exit_status)}


def started(sections: dict[str, Section], seconds_ago: float) -> dict[str, Section]:
    uptime = float(sections["uptime"].text.split()[0])
    fields = sections["stat"].text.split()
    fields[21] = str(int((uptime - seconds_ago) * 100))
    return {**sections, "stat": Section(" ".join(fields), 0)}


def test_a_fresh_heartbeat_of_this_dockerd_is_a_connection(captured_sections) -> None:
    row = parse_registration(ROW, captured_sections("registration_connected.txt"))
    assert (row.connected, row.detail) == (True, "")
    assert row.heartbeat_age_s is not None
    assert 0 <= row.heartbeat_age_s <= 20


def test_a_registration_that_outlived_a_power_cycle_is_none(captured_sections) -> None:
    sections = started(with_ttl(captured_sections("registration_connected.txt"), 45), seconds_ago=6)
    row = parse_registration(ROW, sections)
    assert (row.connected, row.heartbeat_age_s) == (False, 15.0)
    assert row.detail == "the last heartbeat (15 s ago) is older than this dockerd (6 s)"


def test_the_first_heartbeat_of_a_dockerd_just_started_counts(captured_sections) -> None:
    sections = started(with_ttl(captured_sections("registration_connected.txt"), 59), seconds_ago=2.5)
    assert parse_registration(ROW, sections).connected


def test_an_overdue_heartbeat_is_no_connection(captured_sections) -> None:
    row = parse_registration(ROW, with_ttl(captured_sections("registration_connected.txt"), 30))
    assert (row.connected, row.detail) == (False, "no heartbeat for 30 s; one is due every 20 s")


def test_an_engine_that_the_store_does_not_know(captured_sections) -> None:
    row = parse_registration(ROW, captured_sections("registration_absent.txt"))
    assert (row.connected, row.heartbeat_age_s) == (False, None)
    assert "no registration" in row.detail


def test_a_store_that_is_down(captured_sections) -> None:
    row = parse_registration(ROW, captured_sections("registration_store_down.txt"))
    assert not row.connected
    assert "no member of the store answers this node" in row.detail
    assert "Connection refused" in row.detail


def test_a_store_without_its_majority_is_no_connection(captured_sections) -> None:
    row = parse_registration(ROW, captured_sections("registration_without_majority.txt"))
    assert not row.connected
    assert "no answer within 3 s" in row.detail


def test_a_store_without_the_v2_api_is_no_connection(captured_sections) -> None:
    row = parse_registration(ROW, captured_sections("registration_without_v2.txt"))
    assert not row.connected
    assert "v2 API is off" in row.detail


def test_no_dockerd_is_no_connection_whatever_the_store_says(captured_sections) -> None:
    sections = captured_sections("registration_connected.txt")
    sections["stat"] = Section("cat: /proc//stat: No such file or directory\n", 1)
    assert "no process has the pid" in parse_registration(ROW, sections).detail


@pytest.mark.parametrize(("left", "reason"), [(90, "more than its time to live of 60 s"), (None, "no time to live")])
def test_a_key_that_no_engine_wrote_is_no_connection(captured_sections, left: int | None, reason: str) -> None:
    sections = captured_sections("registration_connected.txt")
    text = sections["key"].text
    changed = re.sub(r'"ttl":\d+,', f'"ttl":{left},' if left else "", text)
    row = parse_registration(ROW, {**sections, "key": Section(changed, 0)})
    assert not row.connected
    assert reason in row.detail


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"node": 1}', '{"errorCode":100,"message":"Key not found"}'])
def test_an_answer_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        time_to_live(text)


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("dockerd\t-H\tunix:///var/run/docker.sock\t", NO_FILE, Discovery(20, 60)),
        ("dockerd\t--cluster-store-opt\tdiscovery.heartbeat=5\t", NO_FILE, Discovery(5, 15)),
        ("dockerd\t--cluster-store-opt=discovery.ttl=90\t", NO_FILE, Discovery(30, 90)),
        (
            "dockerd\t--cluster-store-opt=discovery.ttl=90\t--cluster-store-opt=discovery.heartbeat=10\t",
            NO_FILE,
            Discovery(10, 90),
        ),
        ("dockerd\t", Section('{"cluster-store-opts": {"discovery.heartbeat": "7"}}', 0), Discovery(7, 21)),
        ("dockerd\t", Section("{}", 0), Discovery(20, 60)),
        ("dockerd\t", Section("", 0), Discovery(20, 60)),
    ],
)
def test_heartbeat_and_time_to_live_are_as_dockerd_takes_them(
    command: str, settings: Section, expected: Discovery
) -> None:
    assert parse_discovery(command, settings) == expected


def test_an_unreadable_daemon_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        parse_discovery("dockerd", Section("{cluster-store", 0))


def test_a_registration_stands_under_the_store_s_prefix_at_every_member() -> None:
    assert key_urls("etcd://10.0.0.1:2379,10.0.0.2:2379/lab", "10.0.0.9:2376") == (
        "http://10.0.0.1:2379/v2/keys/lab/docker/nodes/10.0.0.9:2376?quorum=true",
        "http://10.0.0.2:2379/v2/keys/lab/docker/nodes/10.0.0.9:2376?quorum=true",
    )
    assert key_urls("etcd://10.0.0.1:2379", "10.0.0.9:2376") == (
        "http://10.0.0.1:2379/v2/keys/docker/nodes/10.0.0.9:2376?quorum=true",
    )


@pytest.mark.parametrize("store", ["consul://10.0.0.1:8500", "etcd://", "10.0.0.1:2379", "etcd://10.0.0.1 2379"])
def test_another_store_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="not an etcd URL"):
        key_urls(store, "10.0.0.9:2376")
