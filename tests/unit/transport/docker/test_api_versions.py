"""The version of the API that is spoken: with engines old and new, and with those that share none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import docker.constants
import pytest

from runbook_lib.errors import EngineError, NodeError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.connection import HIGHEST, LOWEST, negotiate, number
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection

if TYPE_CHECKING:
    from .engine_server import EngineServer


@pytest.fixture(scope="module")
def authority(stand_in: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(stand_in.make_authority(tmp_path_factory.mktemp("versions") / "tls"))


@pytest.fixture
def daemon(stand_in: ModuleType, authority: Path) -> Iterator[EngineServer]:
    server = stand_in.EngineServer(authority)
    server.bodies = []

    def created(handler: Any) -> None:
        server.bodies.append(json.loads(handler.body))
        handler.send_json(201, {"Id": "1" * 64})

    server.answers |= {
        "/networks/create": created,
        "/containers/create": created,
        "/networks/ovr0": stand_in.reply(200, {"Name": "ovr0"}),
        "/networks/ovr0/connect": created,
    }
    yield server
    server.close()


@pytest.fixture
def engine(daemon: EngineServer, authority: Path) -> Iterator[Engine]:
    access = {"via": "tls", "host": "127.0.0.1", "port": daemon.server_port, "ca": str(authority / "ca.pem")}
    access |= {"cert": str(authority / "client.pem"), "key": str(authority / "client-key.pem")}
    ssh = {"host": "127.0.0.1", "key_file": "none", "known_hosts": "none"}
    node = NodeSpec.model_validate({"name": "node1", "cluster_address": "10.0.0.1", "ssh": ssh, "docker": access})
    timeouts = Timeouts(connect=60, command=60)
    with Engine(node, SshConnection(node, timeouts), timeouts) as opened:
        yield opened


@pytest.mark.parametrize(
    ("says", "spoken"),
    [
        ({"Version": "1.12.6", "ApiVersion": "1.24"}, "1.24"),
        ({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}, "1.41"),
        ({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}, "1.45"),
        ({"Version": "28.5.1", "ApiVersion": "1.51", "MinAPIVersion": "1.24"}, "1.51"),
        ({"Version": "29.0.4", "ApiVersion": "1.52", "MinAPIVersion": "1.44"}, "1.51"),
    ],
)
def test_an_engine_is_spoken_to_in_the_newest_version_that_both_know(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType, says: dict[str, str], spoken: str
) -> None:
    daemon.answers["/version"] = stand_in.reply(200, says)
    assert engine.network("ovr0", verbose=True) == {"Name": "ovr0"}
    assert engine.create_network("ovr0", subnet="10.0.0.0/24") == "1" * 64
    engine.create_container("alpine1", "alpine", network="ovr0", address="10.0.0.5", stop_timeout=2)
    engine.connect("alpine1", "ovr0", address="10.0.0.5")
    asked = [path for _, path in daemon.requests]
    assert asked[0] == "/version"
    assert all(path.startswith(f"/v{spoken}/") for path in asked[1:])
    network, container, endpoint = daemon.bodies  # type: ignore[attr-defined]  # the stand-in's own
    assert ("verbose" in asked[1]) == (spoken != "1.24")
    assert container.get("StopTimeout") == (None if spoken == "1.24" else 2)
    assert network.get("CheckDuplicate") == (True if number(spoken) < (1, 44) else None)
    assert container["NetworkingConfig"]["EndpointsConfig"]["ovr0"]["IPAMConfig"]["IPv4Address"] == "10.0.0.5"
    assert endpoint["EndpointConfig"]["IPAMConfig"]["IPv4Address"] == "10.0.0.5"


def test_an_engine_below_the_lowest_is_refused_with_what_to_do(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType
) -> None:
    daemon.answers["/version"] = stand_in.reply(200, {"Version": "1.10.3", "ApiVersion": "1.22"})
    with pytest.raises(
        EngineError, match=r"Docker 1\.10\.3 supports API 1\.22 at most, but 1\.24 is the lowest"
    ) as caught:
        engine.info()
    assert "update Docker there to 1.12 or newer" in caught.value.remedy
    assert [path for _, path in daemon.requests] == ["/version"]


def test_an_engine_whose_oldest_is_above_the_highest_is_refused_with_what_to_do(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType
) -> None:
    says = {"Version": "35.0.1", "ApiVersion": "1.70", "MinAPIVersion": "1.60"}
    daemon.answers["/version"] = stand_in.reply(200, says)
    with pytest.raises(EngineError, match=f"accepts no API older than 1.60, but {HIGHEST} is the highest") as caught:
        engine.info()
    assert f"DOCKER_MIN_API_VERSION={HIGHEST}" in caught.value.remedy


@pytest.mark.parametrize("says", [{}, {"ApiVersion": "new"}, {"ApiVersion": None}, {"ApiVersion": "1.41.2"}, []])
def test_what_says_no_version_is_no_engine(says: Any) -> None:
    with pytest.raises(NodeError, match="not a Docker engine"):
        negotiate("node1", says)


def test_versions_are_compared_as_numbers() -> None:
    assert negotiate("node1", {"ApiVersion": "1.100", "MinAPIVersion": "1.9"}) == HIGHEST


def test_the_lowest_is_the_docker_sdks_own() -> None:
    assert docker.constants.MINIMUM_DOCKER_API_VERSION == LOWEST
