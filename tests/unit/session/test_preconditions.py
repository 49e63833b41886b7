from __future__ import annotations

import pytest

from runbook_lib.errors import InputError, PreconditionError, UnreachableError
from runbook_lib.session.preconditions import Precondition, insist, table

STORE = Precondition("a cluster store", (), "4 engines connected", "02_autostart_etcd")
OVERLAY = Precondition("the network ovr0", ("no network ovr0 on node1, node2",), "", "03_create_overlay")
CONTAINERS = Precondition("alpine1 running on ovr0", ("alpine1: no such container",), "", "04_run_containers")


def test_what_is_there_is_shown_with_what_was_found() -> None:
    shown = table([STORE, OVERLAY])
    assert list(shown.columns) == ["needed", "there", "found", "made by"]
    assert shown["there"].tolist() == [True, False]
    assert shown["found"].tolist() == ["4 engines connected", "no network ovr0 on node1, node2"]


def test_the_first_missing_thing_is_named_with_the_notebook_that_makes_it() -> None:
    insist([STORE])
    with pytest.raises(PreconditionError) as caught:
        insist([STORE, OVERLAY, CONTAINERS])
    assert str(caught.value).splitlines() == [
        "this notebook needs: the network ovr0",
        "  expected: the network ovr0",
        "  found:    no network ovr0 on node1, node2",
        "  remedy: run the notebook 03_create_overlay first: ./runbook run 03_create_overlay",
    ]


@pytest.mark.parametrize("thing", ["fixed addresses", "cluster store", "overlay", "containers"])
@pytest.mark.parametrize("plan", [False, True])
def test_a_node_that_is_down_is_no_missing_precondition(open_session, thing: str, plan: bool) -> None:
    run = open_session(plan=plan)
    with pytest.raises(UnreachableError, match="2 of 2 nodes did not answer"):
        run.require(thing)


def test_a_thing_that_nobody_knows_is_refused_with_those_there_are(open_session) -> None:
    with pytest.raises(InputError, match="fixed addresses, cluster store, overlay, containers"):
        open_session().require("coffee")
