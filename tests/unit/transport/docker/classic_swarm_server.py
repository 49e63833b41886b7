"""A server that answers as a classic Swarm manager does, from the files in ``classic_swarm/``, one an answer.

Each file names the request, the status and the answer, and under ``source`` the function of docker/classicswarm (1.2)
that gives it. Bodies come from four real engines behind ``tests/testbed/classic_swarm_manager.py``, which is a stand-in
too; where a real manager (built from its sources, HEAD and 1.2.9) was seen to say something else, they were edited by
hand to its form. ``test_classic_swarm_contract.py`` holds them to a manager's words and forms.

A real manager can take its place: ``RUNBOOK_CLASSIC_SWARM_ENDPOINT=tcp://HOST:3376``, with ``ca.pem``, ``cert.pem`` and
``key.pem`` in the folder ``DOCKER_CERT_PATH`` (which ``docker-machine env --swarm`` prints as well). Its nodes' own
engines are reached where it reaches them, with the same files or those of ``RUNBOOK_CLASSIC_SWARM_ENGINE_CERT_PATH``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runbook_lib.model.inventory import NodeSpec, SwarmManager
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from runbook_lib.transport.docker.classic_swarm_manager import ManagedNode, parse_system_status
from runbook_lib.transport.ssh import SshConnection
from tests.unit.transport.docker.engine_server import EngineServer, Handler, reply

FOLDER = Path(__file__).with_name("classic_swarm")
# What the engine of the recorded node3 says of itself.
ENGINE_ID = "ZWZD:OEIB:W6KC:BWAE:7WHA:OAFJ:LXAQ:PZ3Z:XJHH:Y47S:UDDW:NUHS"
TIMEOUTS = Timeouts(connect=60, command=60)
VARIABLE = "RUNBOOK_CLASSIC_SWARM_ENDPOINT"
CERTIFICATES = "DOCKER_CERT_PATH"
ENGINE_CERTIFICATES = "RUNBOOK_CLASSIC_SWARM_ENGINE_CERT_PATH"


@dataclass(frozen=True)
class Recorded:
    """One answer of a manager."""

    name: str
    source: str
    method: str
    path: str
    status: int
    json: Any = None
    text: str = ""
    output: str | None = None
    filters: Mapping[str, list[str]] = field(default_factory=dict)


@functools.cache
def recorded() -> Mapping[str, Recorded]:
    """All answers by the names of their files."""
    found = {}
    for file in sorted(FOLDER.glob("*.json")):
        data = json.loads(file.read_text())
        method, _, address = data.pop("request").partition(" ")
        found[file.stem] = Recorded(file.stem, method=method, path=address, **data)
    return found


class ManagerServer(EngineServer):
    """Answers what was recorded; a test replaces single answers by their names."""

    def __init__(self, tls: Path) -> None:
        super().__init__(tls)
        self.recorded = dict(recorded())
        self.bodies: dict[str, Any] = {}
        self.turns: dict[str, list[Any]] = {}
        self.answers = _Answers(self)  # type: ignore[assignment]

    def replace(self, name: str, status: int = 200, **answer: Any) -> None:
        """Give another answer to the request of a file."""
        old = self.recorded[name]
        self.recorded[name] = Recorded(name, "", old.method, old.path, status, **answer)

    def take_turns(self, name: str, *values: Any) -> None:
        """Answer the requests of a file with these values first, one a request, then as before."""
        self.turns[name] = list(values)

    def asked(self, part: str) -> list[str]:
        """The requests whose address contains a text, as ``METHOD path``."""
        return [f"{method} {path}" for method, path in self.requests if part in path]


class _Answers:
    """Looks an answer up by method, path, name and filters."""

    def __init__(self, server: ManagerServer) -> None:
        self._server = server

    def get(self, path: str) -> Any:
        return lambda handler: self._answer(handler, path)

    def _answer(self, handler: Handler, path: str) -> None:
        query = {key: values[-1] for key, values in parse_qs(urlsplit(handler.path).query).items()}
        self._server.bodies[f"{handler.command} {path}"] = json.loads(handler.body) if handler.body else None
        for item in self._server.recorded.values():
            known = urlsplit(item.path)
            wanted = {key: values[-1] for key, values in parse_qs(known.query).items()}
            named = "name" not in query or query["name"] == wanted.get("name")
            if item.method == handler.command and path in (known.path, _by_id(item)) and named:
                turns = self._server.turns.get(item.name)
                send(handler, dataclasses.replace(item, json=turns.pop(0)) if turns else item)
                return
        handler.send_json(404, {"message": f"nothing was recorded for {handler.command} {path}"})


def _by_id(item: Recorded) -> str:
    """A container is found by its ID as well as by node and name (cluster/container.go, Containers.Get)."""
    inspected = item.method == "GET" and isinstance(item.json, dict) and "Node" in item.json
    return f"/containers/{item.json['Id']}/json" if inspected else item.path


def send(handler: Handler, item: Recorded) -> None:
    """Send a recorded answer as the manager does: errors of its own are plain text."""
    if item.output is not None:
        handler.send_frames([(1, item.output.encode())])
        return
    body = item.text.encode() if item.json is None else json.dumps(item.json).encode()
    handler.send_response(item.status)
    if item.status not in (204, 304):
        handler.send_header("Content-Type", "text/plain" if item.json is None else "application/json")
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if item.status not in (204, 304):
        handler.wfile.write(body)


def real_manager() -> SwarmManager | None:
    """The manager that the environment names, if it names one."""
    address = urlsplit(os.environ.get(VARIABLE, ""))
    if not address.hostname:
        return None
    files = _files(Path(os.environ.get(CERTIFICATES, ".")))
    return SwarmManager(host=address.hostname, port=address.port or 3376, **files)


def real_engine(name: str, address: str) -> NodeSpec:
    """A node of the manager that the environment names, with its own engine at ``host:port``."""
    host, _, port = address.rpartition(":")
    folder = os.environ.get(ENGINE_CERTIFICATES) or os.environ.get(CERTIFICATES, ".")
    docker = {"via": "tls", "host": host, "port": int(port), **_files(Path(folder))}
    return NodeSpec.model_validate({**node(name).model_dump(), "docker": docker})


def _files(folder: Path) -> dict[str, str]:
    return {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}


def endpoint(server: EngineServer, tls: Path, port: int | None = None) -> SwarmManager:
    """How the inventory names the server."""
    return SwarmManager(
        host="127.0.0.1",
        port=port or server.server_port,
        ca=str(tls / "ca.pem"),
        cert=str(tls / "client.pem"),
        key=str(tls / "client-key.pem"),
    )


def node(name: str, tls: Path | None = None, port: int = 1, address: str = "10.0.0.3") -> NodeSpec:
    """A node whose own engine is at a port of this machine."""
    data: dict[str, Any] = {
        "name": name,
        "cluster_address": address,
        "ssh": {"host": "127.0.0.1", "port": 1, "key_file": "none", "known_hosts": "none"},
    }
    if tls is not None:
        files = {"ca": str(tls / "ca.pem"), "cert": str(tls / "client.pem"), "key": str(tls / "client-key.pem")}
        data["docker"] = {"via": "tls", "host": "127.0.0.1", "port": port, **files}
    return NodeSpec.model_validate(data)


def of_kind(method: str) -> Iterator[Recorded]:
    """The recorded answers to one method."""
    return (item for item in recorded().values() if item.method == method)


def listed() -> dict[str, ManagedNode]:
    """The recorded manager's nodes by name."""
    return {item.name: item for item in parse_system_status(recorded()["info"].json["SystemStatus"])}


@contextlib.contextmanager
def own_engine(tls: Path) -> Iterator[EngineServer]:
    """The own engine of the recorded node3, which sees the global network and its own ones."""
    networks = [item for item in recorded()["networks"].json if item["Name"].partition("/")[0] in ("ovr0", "node3")]
    seen = [item | {"Name": item["Name"].rpartition("/")[2]} for item in networks]
    info = {"ID": ENGINE_ID, "ServerVersion": "20.10.24", "ClusterStore": "etcd://10.0.0.1:2379"}
    with contextlib.closing(EngineServer(tls)) as server:
        server.answers |= {"/info": reply(200, info), "/networks": reply(200, seen)}
        yield server


def connect(
    manager: EngineServer,
    own: EngineServer,
    tls: Path,
    *,
    name: str = "node3",
    address: str = "10.0.0.3",
    timeouts: Timeouts = TIMEOUTS,
) -> SwarmEngine:
    """One node as a manager and its own engine show it."""
    spec = node(name, tls, own.server_port, address)
    return SwarmEngine(spec, endpoint(manager, tls), SshConnection(spec, timeouts), timeouts)


def listing(*names: str) -> dict[str, Any]:
    """The recorded info of a manager that lists these nodes alone."""
    pairs = [["Nodes", str(len(names))]]
    for item in (listed()[name] for name in names):
        pairs += [[f" {item.name}", item.address], *([f"  └ {key}", value] for key, value in item.pairs)]
    return {"ServerVersion": "swarm/1.2.9", "SystemStatus": pairs}
