from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, PreconditionError, UnreachableError
from runbook_lib.facts.control_planes.base import Registration
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model import commands
from runbook_lib.model.parameters import Parameters
from runbook_lib.session.questions import preconditions
from runbook_lib.session.questions.preconditions import TABLE, Precondition, raise_if_missing

STORE = Precondition("a cluster store", (), "4 engines connected", "02_autostart_etcd")
OVERLAY = Precondition("the network ovr0", ("no network ovr0 on node1, node2",), "", "03_create_overlay")
CONTAINERS = Precondition("alpine1 running on ovr0", ("alpine1: no such container",), "", "04_run_containers")


def test_what_is_there_is_shown_with_what_was_found() -> None:
    shown = TABLE([STORE, OVERLAY])
    assert list(shown.columns) == ["needed", "there", "found", "made by"]
    assert shown["there"].tolist() == [True, False]
    assert shown["found"].tolist() == ["4 engines connected", "no network ovr0 on node1, node2"]


def test_the_first_missing_thing_is_named_with_the_notebook_that_makes_it() -> None:
    raise_if_missing([STORE])
    with pytest.raises(PreconditionError) as caught:
        raise_if_missing([STORE, OVERLAY, CONTAINERS])
    assert str(caught.value).splitlines() == [
        "this notebook needs: the network ovr0",
        "  expected: the network ovr0",
        "  found:    no network ovr0 on node1, node2",
        "  remedy: run the notebook 03_create_overlay first: ./runbook run 03_create_overlay",
    ]


def test_the_command_names_the_cluster_at_hand() -> None:
    commands.at_hand(Path("params/learn.yaml"), {"overlay.name": "ovr9", "plan": True}, "learn")
    with pytest.raises(PreconditionError) as caught:
        raise_if_missing([OVERLAY])
    assert caught.value.remedy == (
        "run the notebook 03_create_overlay first: "
        "./runbook run 03_create_overlay -f params/learn.yaml -p overlay.name ovr9"
    )


def test_an_inventory_that_stands_in_the_notebook_itself_can_be_in_no_command() -> None:
    commands.at_hand_by_inventory({"nodes": []})
    with pytest.raises(PreconditionError) as caught:
        raise_if_missing([OVERLAY])
    assert caught.value.remedy == "run the notebook 03_create_overlay first, with the same parameters"


@pytest.mark.parametrize(
    ("notebook", "address"),
    [("05_ping_tests", "03_create_overlay.ipynb"), ("05_solutions", "../03_create_overlay.ipynb")],
)
def test_somebody_in_front_of_the_notebook_gets_a_link_in_the_place_of_a_command(
    open_session, displayed, monkeypatch: pytest.MonkeyPatch, notebook: str, address: str
) -> None:
    monkeypatch.setattr("runbook_lib.session.questions.preconditions.attended", lambda: True)
    monkeypatch.setattr(preconditions, "check_preconditions", lambda *_: (STORE, OVERLAY))
    run = open_session()
    run.notebook = notebook
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("runbook_lib.session.questions.preconditions.publish_display_data", shown.append)
    with pytest.raises(PreconditionError) as caught:
        run.require("overlay")
    assert caught.value.remedy == "run the notebook 03_create_overlay first: the link above opens it"
    (link,) = shown
    assert f'<a href="{address}">03_create_overlay</a>' in link["text/html"]
    assert link["text/plain"].startswith("Open 03_create_overlay and run it first")


@pytest.mark.parametrize("thing", ["fixed addresses", "advertised addresses", "cluster store", "overlay", "containers"])
@pytest.mark.parametrize("plan", [False, True])
def test_a_node_that_is_down_is_no_missing_precondition(open_session, thing: str, plan: bool) -> None:
    run = open_session(plan=plan)
    with pytest.raises(UnreachableError, match="2 of 2 nodes did not answer"):
        run.require(thing)


def test_a_thing_that_nobody_knows_is_refused_with_those_there_are(open_session) -> None:
    with pytest.raises(InputError, match="fixed addresses, advertised addresses, cluster store, overlay, containers"):
        open_session().require("coffee")


HEARD = Gossip("node1", "192.168.99.104", frozenset({"192.168.99.104"}))
SILENT = Gossip("node1", "192.168.99.104", trouble="its engine listens at 192.168.99.104:7946 but sends no answer")


def look_for_the_store(monkeypatch: pytest.MonkeyPatch, answers: Iterator[Gossip]) -> Precondition:
    """What is found of one connected engine that gives these answers, one a look."""
    plane = SimpleNamespace(
        read_gossip=lambda node: next(answers),
        read_registrations=lambda cluster: (Registration("node1", "192.168.99.104:2376", True),),
    )
    outcome = lambda ask: [SimpleNamespace(error=None, result=ask("node1"))]  # noqa: E731
    monkeypatch.setattr(preconditions, "control_plane_of", lambda parameters: plane)
    monkeypatch.setattr(preconditions, "_advertised_addresses", lambda cluster, parameters: STORE)
    monkeypatch.setattr(preconditions, "_PAUSE", 0)
    cluster = cast("Cluster", SimpleNamespace(each=outcome))
    (found,) = preconditions.check_preconditions(cluster, Parameters(), ["cluster store"])
    return found


def test_an_engine_that_keeps_silent_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_for_the_store(monkeypatch, iter([SILENT, SILENT, HEARD])).there


def test_an_engine_that_stays_silent_is_named_with_the_cause_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "_REUNION_SECONDS", 0.05)
    found = look_for_the_store(monkeypatch, iter(lambda: SILENT, None))
    assert found.faults == (f"node1: {SILENT.trouble}",)
    assert "open tcp 7946 on node1" in found.remedy


OVR0 = NetworkFacts("node1", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "10.0.0.1")


def look_for_the_overlay(monkeypatch: pytest.MonkeyPatch, answers: Iterator[NetworkFacts | None]) -> Precondition:
    """What is found where node1 always finds the network and node2's engine gives these answers, one a look."""
    nodes = [SimpleNamespace(name=name) for name in ("node1", "node2")]

    class Nodes(list[SimpleNamespace]):
        def each(self, ask: Callable[[SimpleNamespace], object]) -> list[SimpleNamespace]:
            return [SimpleNamespace(error=None, result=ask(node)) for node in self]

    monkeypatch.setattr(
        preconditions, "control_plane_of", lambda parameters: SimpleNamespace(read_manages=lambda node: True)
    )
    monkeypatch.setattr(
        preconditions, "read_network", lambda node, name: OVR0 if node.name == "node1" else next(answers)
    )
    monkeypatch.setattr(preconditions, "read_containers", lambda node: ())
    monkeypatch.setattr(preconditions, "_PAUSE", 0)
    (found,) = preconditions.check_preconditions(cast("Cluster", Nodes(nodes)), Parameters(), ["overlay"])
    return found


def test_an_engine_that_does_not_find_the_overlay_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_for_the_overlay(monkeypatch, iter([None, None, OVR0])).there


def test_an_engine_that_never_finds_an_overlay_which_another_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "STORE_RECHECK_SECONDS", 0.0)
    found = look_for_the_overlay(monkeypatch, iter(lambda: None, OVR0))
    assert found.faults == ("node2's engine does not find ovr0 (aaaaaaaaaaaa), which node1 has",)
    assert found.remedy.startswith("restart dockerd on node2")
