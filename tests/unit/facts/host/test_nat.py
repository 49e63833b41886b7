from __future__ import annotations

import pytest

from runbook_lib.facts.host.ip import NatRule, parse_nat_rules


def test_a_node_lends_its_own_address_to_what_leaves_its_bridges(captured_sections) -> None:
    rules = parse_nat_rules(captured_sections("nat_rules_node.txt")["rules"].text)
    assert NatRule("POSTROUTING", "MASQUERADE", "", "172.18.0.0/16", "", None, None, "!docker_gwbridge", "") in rules
    assert {rule.action for rule in rules} == {"MASQUERADE"}


def test_a_published_port_is_a_rule_too() -> None:
    line = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
    (rule,) = parse_nat_rules(line)
    assert (rule.protocol, rule.destination_port, rule.becomes) == ("tcp", 8080, "172.17.0.2:80")


def test_other_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rule"):
        parse_nat_rules("iptables: Permission denied (you must be root).")
