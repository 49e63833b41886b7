from ipaddress import IPv4Network

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import External
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.external import Candidate, choose, judge_candidates

SPEC = External("macvlan", "node1", "node3", "web-macvlan", "ext-macvlan", "alpine", IPv4Network("192.168.99.96/29"))
OFFER = ("192.168.99.96", "192.168.99.97", "192.168.99.98")
STRANGER = "02:00:00:00:09:09"


def container(node: str, name: str) -> ContainerFacts:
    return ContainerFacts(node, "1" * 64, name, "alpine", "", "", "running", "", "no")


def verdicts(candidate: Candidate, pool: str | None = "192.168.99.104-192.168.99.254") -> list[Check]:
    ssh = {"host": "192.0.2.1", "key_file": "/nowhere/key", "known_hosts": "/nowhere/known_hosts"}
    network = {"subnet": "192.168.99.0/24", "gateway": "192.168.99.1", "dhcp_pool": pool}
    nodes = [{"name": "node1", "cluster_address": "192.168.99.104", "ssh": ssh}]
    return list(judge_candidates(Inventory.model_validate({"network": network, "nodes": nodes}), [candidate]))


def test_the_first_address_at_which_nobody_answers_and_no_engine_has_given_out_is_chosen() -> None:
    candidate = choose(SPEC, OFFER, {OFFER[0]: {"node3": STRANGER}}, {OFFER[1]: container("node2", "other")})
    assert candidate.address == OFFER[2]
    assert {check.verdict for check in verdicts(candidate)} == {Verdict.PASS}


def test_a_container_that_is_there_keeps_its_address() -> None:
    answers = {OFFER[1]: {"node3": "02:42:c0:a8:63:61"}}
    candidate = choose(SPEC, OFFER, answers, {OFFER[1]: container("node1", "web-macvlan")})
    assert (candidate.address, candidate.ours) == (OFFER[1], True)
    assert {check.verdict for check in verdicts(candidate)} == {Verdict.PASS}


def test_two_macs_at_its_address_are_a_failure() -> None:
    answers = {OFFER[0]: {"node3": "02:42:c0:a8:63:60", "node1": STRANGER}}
    candidate = choose(SPEC, OFFER, answers, {OFFER[0]: container("node1", "web-macvlan")})
    failed = [check for check in verdicts(candidate) if check.verdict is Verdict.FAIL]
    assert [check.check for check in failed] == ["web-macvlan: who answers there"]
    assert STRANGER in failed[0].found


def test_a_block_without_a_free_address_is_a_failure_with_its_remedy() -> None:
    candidate = choose(SPEC, OFFER[:1], {OFFER[0]: {"node3": STRANGER}}, {})
    (check,) = verdicts(candidate)
    assert (check.verdict, check.found) == (Verdict.FAIL, "every address of 192.168.99.96/29 is in use")


def test_an_address_in_the_pool_fails_and_an_unknown_pool_is_a_warning() -> None:
    free = Candidate(SPEC, OFFER[0], {})
    assert verdicts(free, "192.168.99.90-192.168.99.254")[1].verdict is Verdict.FAIL
    assert verdicts(free, None)[1].verdict is Verdict.WARN
