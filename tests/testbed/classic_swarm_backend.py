"""The nodes of the stand-in for a classic Swarm manager, as cluster/engine.go of docker/classicswarm keeps them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import urllib3

from runbook_lib.model.inventory import NodeSpec

Json = dict[str, Any]
# cluster/engine.go, refreshLoop: the manager answers from what it heard last, here a second ago at most.
REMEMBERED_SECONDS = 1.0
ANSWER = urllib3.Timeout(connect=1.0, read=60.0)
STATE = urllib3.Timeout(connect=1.0, read=2.0)


class Refusal(Exception):
    """``httpError`` of api/utils.go: plain text with a status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Backend:
    """``Engine`` of cluster/engine.go: one node's dockerd, reached over TLS.

    ``stale`` are IDs of containers whose start the manager has missed, as it does while it reconnects: they stay listed
    as they were.
    """

    spec: NodeSpec
    stale: set[str] = field(default_factory=set)
    execs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        access = self.spec.docker
        self.name, self.addr = self.spec.name, f"{access.host}:{access.port}"
        self.pool = urllib3.HTTPSConnectionPool(
            str(access.host), access.port, ca_certs=access.ca, cert_file=access.cert, key_file=access.key, maxsize=8
        )
        self.heard, self.specs, self.error = 0.0, Json(), ""
        self.refreshing = threading.Lock()

    def call(
        self, method: str, path: str, body: object = None, *, stream: bool = False, timeout: urllib3.Timeout = ANSWER
    ) -> urllib3.BaseHTTPResponse:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Content-Type": "application/json"} if data else {}
        return self.pool.request(
            method, path, body=data, headers=headers, preload_content=not stream, retries=False, timeout=timeout
        )

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        if answer.status >= 400:
            raise Refusal(500, f"Error response from daemon: {answer.json()['message']}")
        return answer.json()

    def healthy(self) -> bool:
        """``IsHealthy``, as of the last refresh."""
        with self.refreshing:
            if time.monotonic() - self.heard > REMEMBERED_SECONDS:
                try:
                    self.call("GET", "/_ping", timeout=STATE)
                    self.specs, self.error = self.specs or self.get("/info"), ""
                except (urllib3.exceptions.HTTPError, OSError):
                    self.error = "Cannot connect to the docker engine endpoint"
                self.heard = time.monotonic()
        return not self.error

    def containers(self) -> list[Json]:
        found = [] if not self.healthy() else list(self.get("/containers/json?all=1"))
        exited = {"State": "exited", "Status": "Exited (0) 17 minutes ago"}
        return [{**item, **exited} if item["Id"] in self.stale else item for item in found]

    def engine_id(self) -> str:
        """``ID`` since 1.2.7: with the address, by which cloned engines differ."""
        return f"{self.specs['ID']}|{self.addr}" if self.specs else ""

    def labels(self) -> dict[str, str]:
        """``Labels`` that every engine has."""
        return {key.lower(): str(self.specs.get(key, "")) for key in ("KernelVersion", "OperatingSystem", "OSType")} | {
            "storagedriver": str(self.specs.get("Driver", ""))
        }

    def networks(self) -> list[Json]:
        return [] if not self.healthy() else list(self.get("/networks"))

    def status(self) -> Iterator[tuple[str, str]]:
        """One node's part of ``Info``, cluster/swarm/cluster.go."""
        state = "Healthy" if self.healthy() else "Unhealthy"
        found = self.containers()
        states = [item["State"] for item in found]
        running, paused = states.count("running"), states.count("paused")
        counts = f"{running} Running, {paused} Paused, {len(found) - running - paused} Stopped"
        yield f" {self.name}", self.addr
        yield "  └ ID", self.engine_id()
        yield "  └ Status", state
        yield "  └ Containers", f"{len(found)} ({counts})" if self.healthy() else str(len(found))
        yield "  └ Reserved CPUs", f"0 / {self.specs.get('NCPU', 0)}"
        yield "  └ Reserved Memory", f"0 B / {self.specs.get('MemTotal', 0) / 2**30:.4g} GiB"
        yield "  └ Labels", ", ".join(f"{key}={value}" for key, value in self.labels().items())
        if self.error:
            yield "  └ Error", self.error
        yield "  └ UpdatedAt", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        yield "  └ ServerVersion", self.specs.get("ServerVersion", "")
