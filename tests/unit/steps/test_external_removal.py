from dataclasses import replace

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.steps.base import Verb
from runbook_lib.steps.external_address import ExternalRemoval, OwnedExternals, RemoveExternals
from runbook_lib.steps.published_port import labels

NETWORK = NetworkFacts("node1", "a" * 64, "ext-macvlan", "macvlan", "local", "", "", labels=labels("macvlan", "mine"))
CONTAINER = ContainerFacts(
    "node1", "1" * 64, "web-macvlan", "alpine", "sha256:1", "sh", "running", "running", "no", networks=("ext-macvlan",)
)
OURS = OwnedExternals((NETWORK,), (CONTAINER,))


def test_removal_is_by_id_containers_before_networks() -> None:
    finding = RemoveExternals("mine").assess({"node1": OURS}, frozenset())["node1"]
    assert (finding.before, finding.after) == ("web-macvlan, ext-macvlan", "none of ours")
    assert finding.work == ExternalRemoval(("1" * 64,), ("a" * 64,))


def test_where_nothing_is_ours_nothing_is_to_do() -> None:
    finding = RemoveExternals("mine").assess({"node1": OwnedExternals((), ())}, frozenset())["node1"]
    assert finding.verb is Verb.SATISFIED


def test_a_network_with_a_container_of_others_on_it_is_refused() -> None:
    finding = RemoveExternals("mine").assess({"node1": replace(OURS, guests=("theirs",))}, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "disconnect theirs first" in finding.detail
