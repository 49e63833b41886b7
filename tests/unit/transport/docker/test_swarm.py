"""The engine's calls about Swarm mode: what they send, and that a join token is told to nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbook_lib.errors import EngineError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection

if TYPE_CHECKING:
    from ...conftest import Told
    from .engine_server import EngineServer, Handler

TOKEN = "SWMTKN-1-" + "3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl" + "-" + "7p73s1dx5in4tatdymyhg9hu2"


@pytest.fixture
def daemon(stand_in: ModuleType, tmp_path: Path) -> Iterator[EngineServer]:
    server = stand_in.EngineServer(stand_in.make_authority(tmp_path / "tls"))
    yield server
    server.close()


@pytest.fixture
def engine(daemon: EngineServer, tmp_path: Path) -> Iterator[Engine]:
    tls = tmp_path / "tls"
    keys = {"ca": tls / "ca.pem", "cert": tls / "client.pem", "key": tls / "client-key.pem"}
    node = NodeSpec.model_validate(
        {
            "name": "node2",
            "cluster_address": "10.0.0.2",
            "ssh": {"host": "127.0.0.1", "key_file": "none", "known_hosts": "none"},
            "docker": {"via": "tls", "host": "127.0.0.1", "port": daemon.server_port}
            | {name: str(path) for name, path in keys.items()},
        }
    )
    with Engine(node, SshConnection(node)) as opened:
        yield opened


def test_a_join_token_reaches_the_engine_and_neither_the_journal_nor_a_log_nor_a_print(
    engine: Engine, daemon: EngineServer, told: Told, stand_in: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    bodies: list[bytes] = []

    def join(handler: Handler) -> None:
        bodies.append(handler.body)
        handler.send_json(503, {"message": f"this node is already part of a swarm, {len(handler.body)} bytes"})

    daemon.answers["/swarm"] = stand_in.reply(200, {"JoinTokens": {"Manager": TOKEN, "Worker": f"{TOKEN}w"}})
    daemon.answers["/swarm/join"] = join
    caplog.set_level(logging.DEBUG)
    token = engine.swarm_join_token("manager")
    with pytest.raises(EngineError, match="already part of a swarm") as caught:
        engine.swarm_join(["10.0.0.1:2377"], token, "10.0.0.2")
    sent = json.loads(bodies[0])
    assert (sent["JoinToken"], sent["RemoteAddrs"], sent["AdvertiseAddr"]) == (TOKEN, ["10.0.0.1:2377"], "10.0.0.2")
    journal = repr(told.entries())
    assert "/swarm/join" in journal
    assert "10.0.0.1:2377" in journal
    assert "[REDACTED:swarm-join-token]" in journal
    for text in (journal, caplog.text, str(caught.value), repr(token)):
        assert TOKEN[-25:] not in text


def test_a_worker_has_another_token(engine: Engine, daemon: EngineServer, stand_in: ModuleType) -> None:
    daemon.answers["/swarm"] = stand_in.reply(200, {"JoinTokens": {"Manager": TOKEN, "Worker": f"{TOKEN}w"}})
    assert engine.swarm_join_token("worker").get_secret_value() == f"{TOKEN}w"


def test_an_engine_outside_of_any_swarm_answers_with_nothing(
    engine: Engine, daemon: EngineServer, stand_in: ModuleType
) -> None:
    daemon.answers["/info"] = stand_in.reply(200, {"Swarm": None})
    assert engine.swarm_info() == {}
