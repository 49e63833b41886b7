from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.facts.control_planes.etcd import members
from runbook_lib.facts.control_planes.etcd.access import FETCH
from runbook_lib.facts.control_planes.etcd.members import parse_alarms, parse_health, parse_member
from runbook_lib.facts.docker.containers import ContainerFacts, parse_container
from runbook_lib.facts.sections import Section, parse_sections, reading_script
from tests.waiting import PATIENCE_SECONDS

URL = "http://192.168.99.104:2379"


@pytest.fixture
def container(captured_json) -> ContainerFacts:
    return parse_container("node1", captured_json("container_etcd1.json"))


def test_a_healthy_follower(container, captured_sections) -> None:
    member = parse_member(container, URL, captured_sections("etcd1_follower.txt"))
    assert (member.name, member.node, member.container_state, member.restart_policy) == (
        "etcd1",
        "node1",
        "running",
        "no",
    )
    assert (member.health, member.leader, member.client_url) == ("healthy", False, URL)
    assert (member.term, member.version, member.detail) == (2, "3.4.23", "")
    assert member.index is not None
    assert member.index > 0


def test_the_leader(captured_json, captured_sections) -> None:
    container = parse_container("node3", captured_json("container_etcd3.json"))
    member = parse_member(container, "http://192.168.99.106:2379", captured_sections("etcd3_leader.txt"))
    assert (member.health, member.leader) == ("healthy", True)


def test_a_member_without_a_majority_is_unhealthy_and_leads_nobody(container, captured_sections) -> None:
    sections = captured_sections("etcd_without_majority.txt")
    assert '"state":"StateLeader"' in sections["self"].text  # what etcd still says there
    member = parse_member(replace(container, name="f-e1"), URL, sections)
    assert (member.health, member.leader) == ("unhealthy", False)
    assert (member.detail, member.advice) == ("it has no leader, or cannot commit", "")


def test_a_full_v3_database_is_an_alarm_and_no_lost_majority(container, captured_sections) -> None:
    sections = captured_sections("etcd_alarm.txt")
    member = parse_member(replace(container, name="etcd2"), URL, sections)
    # engines write by the v2 API, which this alarm does not stop
    assert (member.health, member.remedy) == ("healthy", "")
    assert member.detail.startswith("alarm NOSPACE")
    assert "etcdctl alarm disarm" in member.advice
    corrupt = {**sections, "alarms": Section('{"alarms":[{"memberID":"1","alarm":"CORRUPT"}]}', 0)}
    found = parse_member(replace(container, name="etcd2"), URL, corrupt)
    assert (found.health, found.detail) == ("unhealthy", "alarm CORRUPT")
    # asked without an answer, it is what it was
    mute = {**sections, "alarms": Section("wget: server returned error: HTTP/1.1 503 Service Unavailable", 1)}
    assert parse_member(replace(container, name="etcd2"), URL, mute).detail == "it has no leader, or cannot commit"


@pytest.mark.parametrize("client", ["curl", "wget"])
@pytest.mark.parametrize("places", [("v3", "v3beta"), ("v3beta", "v3alpha"), ("v3alpha",)], ids=["3.4", "3.3", "3.2"])
def test_alarms_are_asked_for_wherever_an_etcd_has_its_gateway(
    captured_sections, tmp_path: Path, client: str, places: tuple[str, ...]
) -> None:
    told = captured_sections("etcd_alarm.txt")["alarms"]
    for name in ("timeout", "true", "grep", client):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"this machine has no {name}")
        (tmp_path / name).symlink_to(found)

    class Member(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(503, "")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            there = self.path in {f"/{place}/maintenance/alarm" for place in places}
            self.answer(200 if there else 404, told.text if there else "404 page not found\n")

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Member) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = subprocess.run(
            ["/bin/sh", "-s", "--", f"http://127.0.0.1:{server.server_port}"],
            input=reading_script(FETCH + members._MEMBER_SCRIPT),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
            env={"PATH": str(tmp_path)},
        )
        server.shutdown()
    assert parse_alarms(parse_sections(result.stdout)["alarms"]) == ("NOSPACE",)


def test_a_refused_connection_is_down(container, captured_sections) -> None:
    member = parse_member(container, URL, captured_sections("etcd_refused.txt"))
    assert (member.health, member.leader, member.term) == ("down", False, None)
    assert "Connection refused" in member.detail


def test_a_member_that_keeps_silent_is_down_and_asked_once(container, captured_sections) -> None:
    sections = captured_sections("etcd_silent.txt")
    assert list(sections) == ["health"]
    member = parse_member(container, URL, sections)
    assert (member.health, member.detail) == ("down", "no answer within 3 s")


def test_a_member_without_the_v2_api_says_so(container, captured_sections) -> None:
    member = parse_member(replace(container, name="f-v3"), URL, captured_sections("etcd_without_v2.txt"))
    assert (member.health, member.leader) == ("healthy", True)
    assert "--enable-v2=true" in member.detail


def test_another_member_at_this_address_is_not_this_one(container, captured_sections) -> None:
    member = parse_member(container, URL, captured_sections("etcd3_leader.txt"))
    assert (member.health, member.detail) == ("unhealthy", f"the member at {URL} reports the name etcd3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"health":"true"}', ("healthy", "")),
        ('{"health":true}', ("healthy", "")),
        ('{"health":"false","reason":"RAFT NO LEADER"}', ("unhealthy", "RAFT NO LEADER")),
        ('{"health":"false"}', ("unhealthy", "it has no leader, or cannot commit")),
    ],
)
def test_health_is_taken_from_every_version_of_etcd(text: str, expected: tuple[str, str]) -> None:
    assert parse_health(Section(text, 0)) == expected


@pytest.mark.parametrize("text", ["<html>It works!</html>", "{}", "[]", '{"healthy": 1}', ""])
def test_another_server_s_answer_is_refused(container, text: str) -> None:
    with pytest.raises(ValueError, match=r"not JSON|not a JSON object|/health answered"):
        parse_member(
            container, URL, {"health": Section(text, 0)} | dict.fromkeys(("self", "version", "raft"), Section("", 1))
        )


def test_a_node_without_http_client_is_an_error_not_a_dead_member(container) -> None:
    with pytest.raises(ValueError, match="neither wget nor busybox nor curl"):
        parse_member(container, URL, {"health": Section("this node has neither wget nor busybox nor curl\n", 69)})
