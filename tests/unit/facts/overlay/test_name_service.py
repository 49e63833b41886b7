from __future__ import annotations

import pytest

from runbook_lib.facts.docker.containers import parse_container
from runbook_lib.facts.overlay.name_service import parse_name_service


@pytest.fixture
def service(captured_json, captured_sections):
    container = parse_container("node3", captured_json("container_on_overlay.json"))
    return parse_name_service(container, captured_sections("name_service.txt"))


def test_questions_are_turned_to_a_port_on_which_dockerd_listens(service) -> None:
    assert (service.container, service.node, service.server) == ("alpine1", "node3", "127.0.0.11")
    turned = {(rule.protocol, rule.becomes) for rule in service.rules if rule.action == "DNAT"}
    listening = {(item.protocol, f"{item.address}:{item.port}"): item.process for item in service.listeners}
    assert {protocol for protocol, _ in turned} == {"udp", "tcp"}
    assert {listening[end] for end in turned} == {"dockerd"}


def test_answers_get_the_port_back_from_which_they_were_asked(service) -> None:
    back = [rule for rule in service.rules if rule.action == "SNAT"]
    assert {rule.becomes for rule in back} == {":53"}
