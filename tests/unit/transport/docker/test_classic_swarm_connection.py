"""The connection to a classic Swarm manager: nodes that it does not list yet or has lost, and its own faults."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import (
    InputError,
    RunbookError,
    UnreachableError,
)
from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from runbook_lib.transport.ssh import SshConnection
from tests.unit.transport.docker.classic_swarm_server import (
    TIMEOUTS,
    ManagerServer,
    connect,
    endpoint,
    listed,
    listing,
    node,
    recorded,
)
from tests.unit.transport.docker.engine_server import EngineServer, make_authority, reply
from tests.waiting import wait_until

NODES = listed()
HASTY = TIMEOUTS.model_copy(update={"reboot": 0.2})


def system_status(node: str, **told: str) -> dict[str, Any]:
    """The recorded info with other words told of one node."""
    pairs: list[list[str]] = []
    for item in NODES.values():
        words = {**dict(item.pairs), **(told if item.name == node else {})}
        pairs += [[f" {item.name}", item.address], *([f"  └ {key}", value] for key, value in words.items())]
    return {"ServerVersion": "swarm/1.2.9", "SystemStatus": pairs}


@pytest.mark.parametrize("status", ["Unhealthy", "Pending", "Disconnected"])
def test_a_node_that_the_manager_does_not_reach_is_unreachable_and_no_other(
    manager: ManagerServer, own: EngineServer, tls: Path, status: str
) -> None:
    manager.replace("info", json=system_status("node3", Status=status, Error="connection refused"))
    with connect(manager, own, tls) as lost, connect(manager, own, tls, name="node4") as other:
        calls = (lost.ping, lost.info, lost.containers, lost.networks, lost.images, lambda: lost.create_network("n"))
        for call in calls:
            with pytest.raises(UnreachableError, match=rf"\({status}: connection refused\)") as caught:
                call()
            assert caught.value.node == "node3"
        assert [item["Names"] for item in other.containers()] == [["/alpine2"]]


def test_a_node_that_was_never_reached_is_known_by_its_address(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    pairs = [[" (unknown)", "10.0.0.9:2376"], ["  └ Status", "Pending"], ["  └ Error", "no route to host"]]
    manager.replace("info", json={"SystemStatus": pairs})
    with (
        connect(manager, own, tls, name="node9", address="10.0.0.9") as engine,
        pytest.raises(UnreachableError, match="Pending: no route to host"),
    ):
        engine.containers()


def test_a_name_that_the_manager_does_not_know_is_told_with_those_that_it_knows(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    # at once: an engine that is listed under another name will never be listed under this one
    said = "no node 'box3': it lists that engine as node3"
    with connect(manager, own, tls, name="box3") as engine, pytest.raises(InputError, match=said) as caught:
        engine.containers()
    assert "its nodes: node1 (" in caught.value.remedy
    assert "node4 (" in caught.value.remedy


def test_a_node_that_is_not_listed_yet_is_waited_for(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.take_turns("info", listing("node1", "node2"), listing("node1", "node2", "node4"))
    assert [item["Names"] for item in engine.containers()] == [["/alpine1"], ["/etcd3"]]
    assert manager.turns["info"] == []


def test_a_node_of_which_the_manager_has_just_heard_is_waited_for(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.take_turns("info", {"SystemStatus": [[" (unknown)", "10.0.0.3:2376"], ["  └ Status", "Pending"]]})
    assert engine.info()["ID"] == NODES["node3"].engine_id
    assert manager.turns["info"] == []


@pytest.mark.parametrize("listed", [(), ("node1", "node2")])
def test_a_node_that_is_never_listed_is_unreachable_and_no_bad_input(
    manager: ManagerServer, own: EngineServer, tls: Path, listed: tuple[str, ...]
) -> None:
    manager.replace("info", json=listing(*listed))
    own.answers["/info"] = reply(200, {"ID": "NOT-LISTED", "ServerVersion": "20.10.24"})
    with connect(manager, own, tls, timeouts=HASTY) as engine:
        for call in (
            lambda: engine.create_container("new", "alpine:latest"),
            lambda: engine.create_network("ovr1"),
            *((engine.ping, engine.info, engine.containers) if listed else ()),
        ):
            with pytest.raises(UnreachableError, match=r"has not listed this node within 0\.2 s") as caught:
                call()
            assert "swarm-agent" in caught.value.remedy
            assert "notebook 02_autostart_etcd" in caught.value.remedy
            assert f"Its nodes: {'node1 (' if listed else 'none'}" in caught.value.remedy
    assert manager.asked("create") == []


def test_a_node_that_is_never_listed_is_waited_for_once_and_no_longer_than_until_it_is_listed(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    unlisted = manager.recorded["info"]
    manager.replace("info", json=listing("node1"))
    own.answers["/info"] = reply(200, {"ID": "NOT-LISTED", "ServerVersion": "20.10.24"})
    with connect(manager, own, tls, timeouts=HASTY) as engine:
        texts = []
        for _ in range(3):
            before = len(manager.asked("info"))
            with pytest.raises(UnreachableError) as caught:
                engine.networks()
            texts.append(str(caught.value))
            asked = len(manager.asked("info")) - before
        assert (asked, len(set(texts))) == (1, 1)
        manager.recorded["info"] = unlisted
        assert engine.managed() is not None
        # it has its time again when it is lost again
        manager.take_turns("info", listing("node1"))
        assert engine.managed() is not None


def test_while_the_manager_lists_no_node_the_own_engine_is_asked(
    engine: SwarmEngine, manager: ManagerServer, own: EngineServer
) -> None:
    manager.replace("info", json=listing())
    inspected = recorded()["container"].json | {"Name": "/etcd3"}
    own.answers |= {
        "/containers/json": reply(200, [{"Id": "1", "Names": ["/etcd3"]}]),
        "/containers/etcd3/json": reply(200, inspected),
        "/images/json": reply(200, [{"Id": "2"}]),
        "/networks/ovr0": reply(200, {"Id": "3"}),
        "/containers/etcd3/update": reply(200, {}),
        **{f"/containers/etcd3/{action}": reply(204, None) for action in ("start", "stop")},
        **{f"/networks/ovr0/{action}": reply(200, {}) for action in ("connect", "disconnect")},
    }
    engine.ping()
    assert engine.info()["SystemStatus"] == []
    assert engine.containers(every=False) == [{"Id": "1", "Names": ["/etcd3"]}]
    assert engine.container("etcd3")["Name"] == "/etcd3"
    assert engine.images() == [{"Id": "2"}]
    assert engine.network("ovr0") == {"Id": "3"}
    engine.set_restart_policy("etcd3", "always")
    engine.start("etcd3")
    engine.connect("etcd3", "ovr0")
    engine.disconnect("etcd3", "ovr0")
    assert ("POST", "/v1.41/containers/etcd3/start") in own.requests
    assert {path for _, path in manager.requests} == {"/version", "/v1.30/info"}


def test_what_is_to_be_placed_waits_for_the_manager_to_list_nodes(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.take_turns("info", listing(), listing())
    assert engine.create_container("new", "alpine:latest") == recorded()["container_created"].json["Id"]
    assert manager.turns["info"] == []


def test_closing_ends_the_wait_for_a_node_that_is_not_listed(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    manager.replace("info", json=listing("node1"))
    own.answers["/info"] = reply(200, {"ID": "NOT-LISTED", "ServerVersion": "20.10.24"})
    with connect(manager, own, tls) as engine, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.containers)
        wait_until(lambda: waiting.done() or ("GET", "/v1.41/info") in own.requests)
        engine.close()
        with pytest.raises(UnreachableError):
            waiting.result(timeout=TIMEOUTS.reboot / 2)


@pytest.mark.parametrize("status", [{}, {"SystemStatus": None}])
def test_an_endpoint_that_is_one_engine_is_told(
    engine: SwarmEngine, manager: ManagerServer, status: dict[str, None]
) -> None:
    manager.replace("info", json={"ServerVersion": "20.10.24", **status})
    with pytest.raises(
        InputError, match=r"is not a classic Swarm manager but one engine \(Docker 20.10.24\)"
    ) as caught:
        engine.containers()
    assert "docker-machine env --swarm" in caught.value.remedy


def test_pairs_that_make_no_sense_are_told(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("info", json={"SystemStatus": [["  └ ID", "x"]]})
    with pytest.raises(InputError, match="does not list nodes like a classic Swarm manager"):
        engine.containers()


def test_a_manager_that_is_too_old_is_told_with_the_one_to_run(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("version", json={"Version": "swarm/1.2.8", "ApiVersion": "1.22"})
    with pytest.raises(InputError, match=r"is too old: it speaks API 1\.22") as caught:
        engine.containers()
    assert "swarm:1.2.9" in caught.value.remedy


def one_sentence(error: RunbookError) -> None:
    assert "\n" not in error.message
    assert "Traceback" not in error.message
    assert error.remedy


def test_a_manager_that_is_down_is_told(own: EngineServer, tls: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        spec = node("node3", tls, own.server_port)
        where = endpoint(own, tls, closed.getsockname()[1])
        engine = SwarmEngine(spec, where, SshConnection(spec, TIMEOUTS), TIMEOUTS)
        with engine, pytest.raises(UnreachableError, match="the Swarm manager does not answer at") as caught:
            engine.containers()
    assert "refused" in caught.value.message
    one_sentence(caught.value)


@pytest.mark.parametrize(
    ("ended", "words"),
    [(True, r"client\.pem expired on 2"), (False, "alert|EOF")],
    ids=["expired", "of another authority"],
)
def test_a_client_certificate_that_the_manager_refuses_is_told(
    tmp_path: Path, own: EngineServer, tls: Path, ended: bool, words: str
) -> None:
    served = make_authority(tmp_path / "served", client_ended=ended)
    shown = served if ended else make_authority(tmp_path / "other")
    with contextlib.closing(ManagerServer(served)) as manager:
        where = endpoint(manager, shown).model_copy(update={"ca": str(served / "ca.pem")})
        spec = node("node3", tls, own.server_port)
        engine = SwarmEngine(spec, where, SshConnection(spec, TIMEOUTS), TIMEOUTS)
        with engine, pytest.raises(UnreachableError, match=f"refuses the client certificate .*{words}") as caught:
            engine.containers()
    one_sentence(caught.value)
    assert "swarm_manager.cert" in caught.value.remedy


def test_a_manager_whose_certificate_is_of_another_authority_is_told(
    tmp_path: Path, manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    other = make_authority(tmp_path / "other")
    where = endpoint(manager, tls).model_copy(update={"ca": str(other / "ca.pem")})
    spec = node("node3", tls, own.server_port)
    engine = SwarmEngine(spec, where, SshConnection(spec, TIMEOUTS), TIMEOUTS)
    with engine, pytest.raises(UnreachableError, match="certificate verify failed") as caught:
        engine.containers()
    assert "swarm_manager.ca" in caught.value.remedy
    one_sentence(caught.value)
