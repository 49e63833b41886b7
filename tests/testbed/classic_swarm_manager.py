"""A stand-in for a classic Swarm manager over real engines: it merges, prefixes, places and forwards as that does.

No engine of today's package archives contains the manager itself. Each method names the function of docker/classicswarm
(1.2: api/handlers.go, api/utils.go, cluster/swarm/cluster.go, cluster/…) that it follows; what the walkthrough does
not need (builds, volumes, affinities, events) is left out and answers as an unknown page.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import urllib3

from runbook_lib.model.inventory import Inventory, SwarmManager
from tests.testbed.classic_swarm_backend import Backend, Json, Refusal
from tests.unit.transport.docker.engine_server import make_authority

VERSION, API_VERSION = "swarm/1.2.9", "1.30"
FILTERS = "health, port, containerslots, dependency, affinity, constraint, whitelist"
CONSTRAINTS, SWARM_ID = "com.docker.swarm.constraints", "com.docker.swarm.id"


class Manager(ThreadingHTTPServer):
    """The endpoint: TLS with client certificates, one thread a connection."""

    daemon_threads = True

    def __init__(self, backends: Sequence[Backend], tls: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.discovered, self.requests = tuple(backends), list[tuple[str, str]]()
        self.unheard = 0
        self.scheduler = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server-key.pem")
        context.load_verify_locations(tls / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """``c.engines``: none until it was asked ``unheard`` times, as before the first agent registers."""
        return self.discovered if self.unheard <= 0 else ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault."""

    def container(self, reference: str) -> tuple[Backend, Json]:
        """``Containers.Get`` of cluster/container.go: an ID, a name, or engine/name; nothing when two have it."""
        found = [(backend, item) for backend in self.backends for item in backend.containers()]
        for backend, item in found:
            if reference in (item["Id"], item["Id"][:12]):
                return backend, item
        named = [
            (backend, item)
            for backend, item in found
            if any(reference in (name, name[1:], backend.name + name) for name in item["Names"])
        ]
        if len(named) != 1:
            raise Refusal(404, f"No such container {reference}")
        if not named[0][0].healthy():
            raise Refusal(500, f"Container {reference} running on unhealthy node {named[0][0].name}")
        return named[0]

    def network(self, reference: str) -> tuple[Backend, Json]:
        """``Networks().Uniq().Get`` of cluster/network.go."""
        unique = {item["Id"]: (backend, item) for backend in self.backends for item in backend.networks()}
        if reference in unique:
            return unique[reference]
        named = [
            (backend, item)
            for backend, item in unique.values()
            if reference in (item["Name"], f"{backend.name}/{item['Name']}")
        ]
        if len(named) != 1:
            raise Refusal(404, f"No such network: {reference}")
        return named[0]

    def select(self, constraints: Sequence[str]) -> Backend:
        """``SelectNodesForContainer``: the health filter, constraints on the node's name, then spread."""
        candidates = [backend for backend in self.backends if backend.healthy()]
        if not candidates:
            raise Refusal(500, "No healthy node available in the cluster")
        for constraint in constraints:
            name = constraint.removeprefix("node==").removeprefix("~")
            candidates = [backend for backend in candidates if backend.name == name]
        if not candidates:
            raise Refusal(
                500, f"Unable to find a node that satisfies the following conditions \n[{' '.join(constraints)}]"
            )
        return min(candidates, key=lambda backend: len(backend.containers()))


class Handler(BaseHTTPRequestHandler):
    """The routes of api/primary.go."""

    protocol_version = "HTTP/1.1"
    server: Manager
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(address.query).items()}
        path = re.sub(r"^/v[0-9]+\.[0-9]+(?=/)", "", address.path)
        self.server.requests.append((self.command, path))
        try:
            for method, pattern, handler in ROUTES:
                match = re.fullmatch(pattern, path)
                if method == self.command and match:
                    handler(self, *match.groups())
                    return
            raise Refusal(404, "404 page not found")  # gorilla/mux: no such route
        except Refusal as refusal:
            self.send(refusal.status, str(refusal).encode() + b"\n", "text/plain; charset=utf-8")

    do_POST = do_DELETE = do_HEAD = do_PUT = do_GET

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)

    def answer(self, value: object, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode())

    def forward(self, backend: Backend, path: str) -> None:
        """``proxyAsync`` of api/utils.go: the node's answer as it is."""
        query = urlsplit(self.path).query
        answer = backend.call(self.command, f"{path}?{query}" if query else path, self.body or None)
        self.send(answer.status, answer.data, answer.headers.get("Content-Type", "application/json"))

    def filters(self, key: str) -> list[str]:
        chosen = json.loads(self.query.get("filters") or "{}").get(key, [])
        return list(chosen)

    def ping(self) -> None:
        self.send(200, b"OK", "text/plain; charset=utf-8")

    def version(self) -> None:
        """``getVersion``."""
        self.answer({"Version": VERSION, "ApiVersion": API_VERSION, "GoVersion": "go1.7.5", "Os": "linux"})

    def info(self) -> None:
        """``getInfo`` with ``Info`` of cluster/swarm/cluster.go."""
        backends = self.server.backends
        self.server.unheard -= 1
        pairs = [("Role", "primary"), ("Strategy", "spread"), ("Filters", FILTERS)]
        pairs += [("Nodes", str(len(backends))), *(pair for backend in backends for pair in backend.status())]
        containers = sum(len(backend.containers()) for backend in backends)
        self.answer({"ServerVersion": VERSION, "Containers": containers, "Name": "manager", "SystemStatus": pairs})

    def list_containers(self) -> None:
        """``getContainersJSON``: the node before every name, its address for 0.0.0.0, its filter a pattern."""
        result = []
        for backend in self.server.backends:
            if self.filters("node") and not any(re.search(name, backend.name) for name in self.filters("node")):
                continue
            for item in backend.containers():
                hidden = item["State"] != "running" or item["Image"].split(":")[0] == "swarm"
                if hidden and self.query.get("all", "0") in ("0", "false"):
                    continue
                labels = [f"{key}={value}" for key, value in item["Labels"].items()]
                if not set(self.filters("label")) <= {*labels, *item["Labels"]}:
                    continue
                result.append({**item, "Names": [f"/{backend.name}{name}" for name in item["Names"]]})
        self.answer(sorted(result, key=lambda item: -int(item["Created"])))

    def inspect_container(self, name: str) -> None:
        """``getContainerJSON``: the node's answer with ``Node``."""
        backend, item = self.server.container(name)
        host = backend.addr.partition(":")[0]
        node = {"ID": backend.engine_id(), "IP": host, "Addr": backend.addr, "Name": backend.name}
        node |= {"Cpus": backend.specs["NCPU"], "Memory": backend.specs["MemTotal"], "Labels": backend.labels()}
        text = json.dumps(backend.get(f"/containers/{item['Id']}/json"))
        text = text.replace('"HostIp": "0.0.0.0"', f'"HostIp": "{host}"')
        self.answer({**json.loads(text), "Node": node})

    def create_container(self) -> None:
        """``postContainersCreate``, ``createContainer``; constraints leave the environment (cluster/config.go)."""
        config, name = json.loads(self.body), self.query.get("name", "")
        with self.server.scheduler:
            if any(f"/{name}" in item["Names"] for backend in self.server.backends for item in backend.containers()):
                raise Refusal(
                    409,
                    f"Conflict: The name {name} is already assigned. You have to delete (or rename) that container to "
                    f"be able to assign {name} to a container again.",
                )
            mark = "constraint:"
            constraints = [item.removeprefix(mark) for item in config.get("Env") or () if item.startswith(mark)]
            config["Env"] = [item for item in config.get("Env") or () if not item.startswith(mark)]
            labels = {CONSTRAINTS: json.dumps(constraints)} if constraints else {}
            config["Labels"] = {**(config.get("Labels") or {}), **labels, SWARM_ID: secrets.token_hex(32)}
            backend = self.server.select(constraints)
            answer = backend.call("POST", f"/v{API_VERSION}/containers/create?name={name}", config)
        self.wrapped(answer, lambda: self.answer({"Id": answer.json()["Id"]}, 201))

    def wrapped(self, answer: urllib3.BaseHTTPResponse, done: Callable[[], None]) -> None:
        """What the manager's own client of the node makes of an error: a 500 with the daemon's words."""
        if answer.status >= 400:
            raise Refusal(500, f"Error response from daemon: {answer.json()['message']}")
        done()

    def start_container(self, name: str) -> None:
        """``postContainersStart``; the refresh makes it forget execs that have ended."""
        backend, item = self.server.container(name)
        backend.execs.clear()
        answer = backend.call("POST", f"/containers/{item['Id']}/start")
        self.wrapped(answer, lambda: self.send(204, b""))

    def proxy_container(self, name: str, action: str) -> None:
        """``proxyContainer``, ``proxyContainerAndForceRefresh``."""
        backend, item = self.server.container(name)
        if action not in ("logs", "top"):
            backend.execs.clear()
        self.forward(backend, f"/v{API_VERSION}/containers/{item['Id']}/{action}")

    def remove_container(self, name: str) -> None:
        """``deleteContainers``."""
        backend, item = self.server.container(name)
        answer = backend.call("DELETE", f"/containers/{item['Id']}?{urlsplit(self.path).query}")
        self.wrapped(answer, lambda: self.send(204, b""))

    def create_exec(self, name: str) -> None:
        """``postContainersExec``: the ID is kept with the container."""
        backend, item = self.server.container(name)
        answer = backend.call("POST", f"/containers/{item['Id']}/exec", self.body)
        if answer.status >= 400:
            raise Refusal(500, answer.data.decode())
        backend.execs[answer.json()["Id"]] = item["Id"]
        self.send(answer.status, answer.data)

    def exec_backend(self, exec_id: str) -> Backend:
        """``getContainerFromVars`` for an exec."""
        for backend in self.server.backends:
            if exec_id in backend.execs:
                return backend
        raise Refusal(404, f"Exec {exec_id} not found")

    def start_exec(self, exec_id: str) -> None:
        """``postExecStart`` → ``proxyHijack``: the node's stream as it comes, until it ends."""
        answer = self.exec_backend(exec_id).call("POST", f"/exec/{exec_id}/start", self.body, stream=True)
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.end_headers()
        while data := answer.read1():
            self.wfile.write(data)
            self.wfile.flush()

    def inspect_exec(self, exec_id: str) -> None:
        self.forward(self.exec_backend(exec_id), f"/exec/{exec_id}/json")

    def list_networks(self) -> None:
        """``getNetworks``: each ID once, the node before the name of a local one."""
        unique = {item["Id"]: (backend, item) for backend in self.server.backends for item in backend.networks()}
        self.answer(
            [
                {**item, "Name": f"{backend.name}/{item['Name']}"} if item["Scope"] == "local" else item
                for backend, item in unique.values()
            ]
        )

    def inspect_network(self, reference: str) -> None:
        """``getNetwork``: the endpoints of all nodes together (``Uniq``), a container's own in place of ``ep-…``."""
        item = self.server.network(reference)[1]
        seen = [backend for backend in self.server.backends if item["Id"] in {n["Id"] for n in backend.networks()}]
        details: list[Json] = [backend.get(f"/networks/{item['Id']}") for backend in seen]
        ends = {key: end for network in details for key, end in (network["Containers"] or {}).items()}
        owned = {end["EndpointID"] for key, end in ends.items() if not key.startswith("ep-")}
        kept = {key: end for key, end in ends.items() if not key.startswith("ep-") or end["EndpointID"] not in owned}
        self.answer({**details[0], "Containers": kept})

    def create_network(self) -> None:
        """``postNetworksCreate``, ``CreateNetwork``: ``node3/name`` is made there."""
        request = json.loads(self.body)
        node, slash, name = request["Name"].partition("/")
        backend = self.server.select([f"node=={node}"] if slash else [])
        config = {**request, "Name": name if slash else node, "Driver": request.get("Driver") or "overlay"}
        answer = backend.call("POST", f"/v{API_VERSION}/networks/create", config)
        self.wrapped(answer, lambda: self.send(201, answer.data))

    def attach(self, reference: str, action: str) -> None:
        """``proxyNetworkConnect``, ``proxyNetworkDisconnect``: the body goes to the container's node as it is."""
        network, body = self.server.network(reference)[1], json.loads(self.body)
        if action == "disconnect" and body.get("Force") and network["Scope"] == "global":
            backend = self.server.select([])
        else:
            backend = self.server.container(body["Container"])[0]
        self.forward(backend, f"/v{API_VERSION}/networks/{network['Id']}/{action}")

    def remove_network(self, reference: str) -> None:
        """``deleteNetworks``."""
        backend, item = self.server.network(reference)
        self.wrapped(backend.call("DELETE", f"/networks/{item['Id']}"), lambda: self.send(204, b""))

    def list_images(self) -> None:
        """``getImagesJSON``: the node's filter is a name here; an ID is listed once."""
        chosen = [
            item for item in self.server.backends if not self.filters("node") or item.name in self.filters("node")
        ]
        unique = {item["Id"]: item for backend in chosen if backend.healthy() for item in backend.get("/images/json")}
        self.answer(list(unique.values()))

    def inspect_image(self, name: str) -> None:
        """``proxyImage``: whichever node has it."""
        for backend in self.server.backends:
            for item in backend.get("/images/json"):
                if name in (item["Id"], *(item["RepoTags"] or ())):
                    self.forward(backend, f"/images/{item['Id']}/json")
                    return
        raise Refusal(404, f"No such image: {name}")

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("GET", r"/_ping", Handler.ping),
    ("GET", r"/version", Handler.version),
    ("GET", r"/info", Handler.info),
    ("GET", r"/containers/json", Handler.list_containers),
    ("GET", r"/containers/(.*)/json", Handler.inspect_container),
    ("GET", r"/containers/(.*)/(logs|top)", Handler.proxy_container),
    ("POST", r"/containers/create", Handler.create_container),
    ("POST", r"/containers/(.*)/start", Handler.start_container),
    ("POST", r"/containers/(.*)/(stop|kill|restart|update|wait)", Handler.proxy_container),
    ("POST", r"/containers/(.*)/exec", Handler.create_exec),
    ("DELETE", r"/containers/(.*)", Handler.remove_container),
    ("POST", r"/exec/(.*)/start", Handler.start_exec),
    ("GET", r"/exec/(.*)/json", Handler.inspect_exec),
    ("GET", r"/networks", Handler.list_networks),
    ("POST", r"/networks/create", Handler.create_network),
    ("POST", r"/networks/(.*)/(connect|disconnect)", Handler.attach),
    ("GET", r"/networks/(.*)", Handler.inspect_network),
    ("DELETE", r"/networks/(.*)", Handler.remove_network),
    ("GET", r"/images/json", Handler.list_images),
    ("GET", r"/images/(.*)/json", Handler.inspect_image),
)


@contextmanager
def swarm_manager(inventory: Inventory, folder: Path) -> Iterator[tuple[Manager, SwarmManager]]:
    """Run a manager over the engines of an inventory, which must be reached over TLS; yields it and its endpoint."""
    tls = make_authority(folder)
    manager = Manager([Backend(node) for node in inventory.nodes], tls)
    thread = threading.Thread(target=manager.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    files: Mapping[str, str] = {
        "ca": str(tls / "ca.pem"),
        "cert": str(tls / "client.pem"),
        "key": str(tls / "client-key.pem"),
    }
    try:
        yield manager, SwarmManager(host="127.0.0.1", port=manager.server_address[1], **files)
    finally:
        manager.shutdown()
        manager.server_close()
        thread.join()
