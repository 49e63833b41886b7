"""The engine's client: how faults are told, how time runs out, and what the environment must not change."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.util.ssl_ import create_urllib3_context

from runbook_lib.errors import (
    CertificateError,
    DeadlineError,
    EngineConflict,
    EngineError,
    EngineNotFound,
    KeyFileError,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from ...conftest import Told
    from .engine_server import EngineServer


@pytest.fixture
def authority(stand_in: ModuleType, tmp_path: Path) -> Path:
    return Path(stand_in.make_authority(tmp_path / "tls"))


@pytest.fixture
def daemon(stand_in: ModuleType, authority: Path) -> Iterator[EngineServer]:
    server = stand_in.EngineServer(authority)
    yield server
    server.close()


def tls_engine(
    port: int,
    authority: Path,
    *,
    connect: float = PATIENCE_SECONDS,
    command: float = PATIENCE_SECONDS,
    **docker: Any,
) -> Engine:
    access = {"via": "tls", "host": "127.0.0.1", "port": port, "ca": str(authority / "ca.pem")}
    access |= {"cert": str(authority / "client.pem"), "key": str(authority / "client-key.pem")}
    ssh = {"host": "127.0.0.1", "key_file": "none", "known_hosts": "none"}
    node = NodeSpec.model_validate(
        {"name": "node1", "cluster_address": "10.0.0.1", "ssh": ssh, "docker": access | docker}
    )
    timeouts = Timeouts(connect=connect, command=command)
    return Engine(node, SshConnection(node, timeouts), timeouts)


@pytest.fixture
def engine(daemon: EngineServer, authority: Path) -> Iterator[Engine]:
    with tls_engine(daemon.server_port, authority) as opened:
        yield opened


def test_it_speaks_the_engines_own_version_over_one_kept_connection(daemon: EngineServer, engine: Engine) -> None:
    assert daemon.connections == 0
    engine.ping()
    assert engine.version()["Version"] == "20.10.24"
    assert daemon.requests == [("GET", "/version"), ("GET", "/v1.41/_ping"), ("GET", "/version")]
    assert daemon.connections == 1


def test_the_environment_does_not_come_between_a_node_and_its_authority(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home/.docker").mkdir(parents=True)
    (tmp_path / "home/.docker/config.json").write_text('{"proxies": {"default": {"httpsProxy": "http://127.0.0.1:9"}}}')
    (tmp_path / "home/.netrc").write_text("machine 127.0.0.1 login a password b")
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "REQUESTS_CA_BUNDLE": "/nowhere.pem",
        "CURL_CA_BUNDLE": "/nowhere.pem",
        "SSL_CERT_FILE": "/nowhere.pem",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "DOCKER_HOST": "tcp://127.0.0.1:9",
        "DOCKER_TLS_VERIFY": "",
        "DOCKER_CERT_PATH": "/nowhere",
        "DOCKER_API_VERSION": "1.1",
        "DOCKER_CONTEXT": "other",
    }.items():
        monkeypatch.setenv(name, value)
    engine.ping()


def test_a_broken_configuration_of_the_users_docker_does_not_matter(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{broken")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine.ping()


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: x", EngineNotFound),
        (409, "Conflict. The container name is in use", EngineConflict),
        (500, "boom", EngineError),
        (400, "bad parameter", EngineError),
        (500, 'datastore for scope "global" is not initialized', StoreUnavailable),
        (500, "error getting networks: client: etcd cluster is unavailable or misconfigured", StoreUnavailable),
        (500, "could not get pools config from store during init: client: etcd cluster is", StoreUnavailable),
        (404, 'failed to get store for scope "global"', StoreUnavailable),
    ],
)
def test_a_refusal_becomes_the_error_that_fits(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType, status: int, message: str, kind: type[EngineError]
) -> None:
    daemon.answers["/containers/x/json"] = stand_in.reply(status, {"message": message})
    with pytest.raises(EngineError) as caught:
        engine.container("x")
    error = caught.value
    assert type(error) is kind
    assert (error.node, error.status, error.call) == ("node1", status, "inspect x")
    assert message in error.explanation
    assert f"Docker refused 'inspect x' (HTTP {status}): " in str(error)


def test_every_call_is_told_with_its_body_and_its_status(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType, told: Told
) -> None:
    daemon.answers["/containers/x/json"] = stand_in.reply(404, {"message": "No such container: x"})
    daemon.answers["/networks/ovr0/connect"] = stand_in.reply(200, {})
    started = time.monotonic()
    with pytest.raises(EngineNotFound):
        engine.container("x")
    engine.connect("x", "ovr0")
    seconds = time.monotonic() - started
    calls = [call for call in told.calls() if call.argv[1] != "/version"]
    assert [(call.node, call.via, call.argv[:2], call.status, call.error) for call in calls] == [
        ("node1", "docker", ("GET", "/v1.41/containers/x/json"), 404, ""),
        ("node1", "docker", ("POST", "/v1.41/networks/ovr0/connect"), 200, ""),
    ]
    assert json.loads(calls[1].argv[2])["Container"] == "x"
    assert all(call.seconds > 0 for call in calls)
    assert sum(call.seconds for call in calls) <= seconds + 0.001  # they are rounded


def test_a_call_without_an_answer_is_told_with_the_reason(daemon: EngineServer, engine: Engine, told: Told) -> None:
    daemon.close()
    with pytest.raises(UnreachableError):
        engine.ping()
    (call,) = told.calls()
    assert call.status is None
    assert call.error.startswith("ConnectionError: ")


def test_an_engine_too_old_to_be_spoken_to_is_told_as_such(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType
) -> None:
    daemon.answers["/version"] = stand_in.reply(200, {"ApiVersion": "1.22"})
    with pytest.raises(EngineError, match="too old"):
        engine.ping()


def test_an_engine_that_does_not_listen_is_unreachable(daemon: EngineServer, engine: Engine) -> None:
    daemon.close()
    with pytest.raises(UnreachableError) as caught:
        engine.ping()
    port = daemon.server_port
    assert f"the Docker engine does not answer at 127.0.0.1:{port} over TLS" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "docker.log" in caught.value.remedy


def test_certificates_of_docker_machine_are_good_whatever_the_python(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_python_3_13_on = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN

    def context(*args: Any, verify_flags: int | None = None, **kwargs: Any) -> ssl.SSLContext:
        flags = from_python_3_13_on if verify_flags is None else verify_flags
        return create_urllib3_context(*args, verify_flags=flags, **kwargs)

    monkeypatch.setattr("urllib3.connection.create_urllib3_context", context)
    engine.ping()


def test_a_certificate_for_another_address_is_told_with_its_remedy(stand_in: ModuleType, tmp_path: Path) -> None:
    authority = stand_in.make_authority(tmp_path / "tls", address="10.9.9.9")
    daemon = stand_in.EngineServer(authority)
    with tls_engine(daemon.server_port, authority) as engine, pytest.raises(CertificateError) as caught:
        engine.ping()
    daemon.close()
    assert "certificate is not valid for '127.0.0.1'" in str(caught.value)
    assert "use a certificate that is valid for this address" in caught.value.remedy


def test_a_certificate_of_another_authority_is_refused(
    daemon: EngineServer, stand_in: ModuleType, tmp_path: Path
) -> None:
    other = stand_in.make_authority(tmp_path / "other")
    with tls_engine(daemon.server_port, other) as engine, pytest.raises(CertificateError, match="certificate"):
        engine.ping()
    assert daemon.requests == []


def test_missing_or_open_files_are_the_users_to_mend(daemon: EngineServer, authority: Path) -> None:
    key = authority / "client-key.pem"
    key.chmod(0o644)
    with tls_engine(daemon.server_port, authority) as engine, pytest.raises(KeyFileError, match="read by others"):
        engine.ping()
    key.chmod(0o600)
    with (
        tls_engine(daemon.server_port, authority, ca="/nowhere/ca.pem") as engine,
        pytest.raises(KeyFileError, match=r"the certificate authority /nowhere/ca\.pem does not exist"),
    ):
        engine.ping()
    assert daemon.connections == 0


def test_a_call_that_hangs_runs_out_of_its_time(daemon: EngineServer, authority: Path, stand_in: ModuleType) -> None:
    daemon.answers["/info"] = stand_in.hang
    with tls_engine(daemon.server_port, authority, command=1) as engine:
        engine.ping()
        with pytest.raises(DeadlineError, match="the engine did not finish 'info' in 1 s") as caught:
            engine.info()
    assert caught.value.place == "node1"


def test_connecting_has_a_time_of_its_own(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    connect = socket.socket.connect

    class Noting(socket.socket):
        def connect(self, address: Any) -> None:
            limits.append(self.gettimeout() or 0.0)
            connect(self, address)

    monkeypatch.setattr(socket, "socket", Noting)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        with (
            tls_engine(full.getsockname()[1], authority, connect=0.5, command=30) as engine,
            pytest.raises(UnreachableError, match="timed out"),
        ):
            engine.ping()
        for filler in fillers:
            filler.close()
    assert limits == [0.5]


def test_closing_from_another_thread_ends_a_call(daemon: EngineServer, engine: Engine, stand_in: ModuleType) -> None:
    daemon.answers["/info"] = stand_in.hang
    with ThreadPoolExecutor() as pool:
        call = pool.submit(engine.info)
        assert daemon.hanging.wait(PATIENCE_SECONDS)
        engine.close()
        assert isinstance(call.exception(PATIENCE_SECONDS), UnreachableError)
    engine.ping()


def test_a_read_is_repeated_when_the_kept_connection_went_stale(daemon: EngineServer, engine: Engine) -> None:
    engine.ping()
    asked: list[int] = []

    def breaks_off_once(handler: Any) -> None:
        asked.append(1)
        if len(asked) == 1:
            handler.close_connection = True
            handler.connection.close()
        else:
            handler.send_json(200, {"ID": "x"})

    daemon.answers["/info"] = breaks_off_once
    assert engine.info() == {"ID": "x"}
    assert len(asked) == 2


def test_a_change_is_never_sent_twice(daemon: EngineServer, engine: Engine, stand_in: ModuleType) -> None:
    engine.ping()
    daemon.answers["/containers/x/start"] = stand_in.break_off
    with pytest.raises(UnreachableError):
        engine.start("x")
    assert [path for _, path in daemon.requests].count("/v1.41/containers/x/start") == 1


def exec_answers(stand_in: ModuleType, start: Callable[[Any], None], *statuses: int | None) -> dict[str, Any]:
    left = list(statuses)
    return {
        "/containers/x/exec": stand_in.reply(201, {"Id": "e1"}),
        "/exec/e1/start": start,
        "/exec/e1/json": lambda handler: handler.send_json(200, {"ExitCode": left.pop(0)}),
    }


def test_an_exec_returns_its_status_and_both_streams(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType
) -> None:
    frames = [(1, b"out\n"), (2, b"err\n"), (1, b""), (1, "é".encode())]
    # The engine needs a moment to know the exit status of what has just ended.
    daemon.answers |= exec_answers(stand_in, lambda handler: handler.send_frames(frames), None, 3)
    assert engine.execute("x", ["cat"]) == (3, "out\nerr\né")


def test_an_exec_without_end_runs_out_of_its_time(daemon: EngineServer, authority: Path, stand_in: ModuleType) -> None:
    drip = [(1, b"64 bytes from\n")] * 10_000
    with tls_engine(daemon.server_port, authority, command=1) as engine:
        for start in (lambda handler: handler.send_frames(drip, pause=0.1), stand_in.hang):
            daemon.answers |= exec_answers(stand_in, start)
            with pytest.raises(DeadlineError, match="did not finish 'exec x ping b' in 1 s"):
                engine.execute("x", ["ping", "b"])


@pytest.mark.parametrize("cut", [4, 10])
def test_an_exec_whose_output_is_cut_off_is_no_success(
    daemon: EngineServer, engine: Engine, stand_in: ModuleType, cut: int
) -> None:
    def cut_off(handler: Any) -> None:
        handler.send_frames([])
        handler.wfile.write(b"\1\0\0\0\0\0\0\x0512345"[:cut])

    daemon.answers |= exec_answers(stand_in, cut_off, 0)
    with pytest.raises(UnreachableError, match="the output was cut off"):
        engine.execute("x", ["cat"])


def test_an_exec_in_a_stopped_container_is_refused(daemon: EngineServer, engine: Engine, stand_in: ModuleType) -> None:
    daemon.answers |= exec_answers(stand_in, stand_in.reply(409, {"message": "Container x is not running"}))
    with pytest.raises(EngineConflict, match="is not running"):
        engine.execute("x", ["true"])
