from __future__ import annotations

from dataclasses import replace

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import OWNER_LABEL
from runbook_lib.widgets.connection_facts import Connections, join


def container(name: str, *networks: str, state: str = "running", **more: object) -> ContainerFacts:
    facts = {"node": "node3", "id": name, "image": "alpine", "image_id": "", "command": "", "status": state}
    addresses = dict.fromkeys(networks, "10.0.0.2")
    return ContainerFacts(  # type: ignore[arg-type]
        **facts, name=name, state=state, restart_policy="no", networks=networks, addresses=addresses, **more
    )


def network(name: str, driver: str) -> NetworkFacts:
    return NetworkFacts(node="node3", id=name, name=name, driver=driver, scope="global", subnet="", gateway="")


MINE = {OWNER_LABEL: "testbed"}
NETWORKS = [network("ovr0", "overlay"), network("bridge", "bridge"), network("outside", "macvlan")]


def names(*containers: ContainerFacts, **parameters: object) -> list[str]:
    return [row.name for row in join(containers, NETWORKS, Parameters.model_validate(parameters))]


def test_a_container_off_the_overlay_still_has_a_toggle_for_it() -> None:
    rows = join([container("alpine1")], NETWORKS, Parameters())
    assert [(row.name, row.connected, row.switchable) for row in rows] == [("alpine1 on ovr0", False, True)]


def test_only_an_overlay_can_be_switched_for_another_network_may_not_give_the_address_back() -> None:
    rows = join([container("alpine1", "ovr0", "outside")], NETWORKS, Parameters())
    assert {row.network: row.switchable for row in rows} == {"ovr0": True, "outside": False}


def test_a_stopped_container_is_shown_and_cannot_be_switched() -> None:
    (row,) = join([container("alpine1", "ovr0", state="exited")], NETWORKS, Parameters())
    assert (row.connected, row.switchable, row.state) == (True, False, "exited")


def test_members_of_etcd_and_containers_of_others_have_no_toggles() -> None:
    others = [container("etcd1", "bridge"), container("stranger", "bridge"), container("guest", "ovr0")]
    assert names(*others) == []
    assert names(*others, container("tool", labels={OWNER_LABEL: "testbed"})) == ["tool on ovr0"]


def test_an_overlay_of_others_is_shown_where_a_container_is_on_it_and_cannot_be_switched() -> None:
    networks = [*NETWORKS, network("theirs", "overlay"), replace(network("ovr1", "overlay"), labels=MINE)]
    assert [row.name for row in join([container("alpine1")], networks, Parameters())] == [
        "alpine1 on ovr0",
        "alpine1 on ovr1",
    ]
    rows = join([container("alpine1", "theirs")], networks, Parameters())
    assert {row.network: row.switchable for row in rows} == {"ovr0": True, "ovr1": True, "theirs": False}


def test_the_table_has_its_columns_also_without_a_row() -> None:
    assert list(Connections().table) == ["container", "node", "state", "network", "driver", "connected", "address"]
