"""The fetching script with the real HTTP clients of this machine, against a real server."""

from __future__ import annotations

import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from runbook_lib.facts.control_planes.etcd.access import (
    FETCH,
    fetch_over_tls,
    fetch_trouble,
    has_client,
    http_status,
    parse_json,
)
from runbook_lib.facts.sections import Section, parse_sections, reading_script
from runbook_lib.testbed.node.certificates import Authority
from tests.waiting import PATIENCE_SECONDS

TOOLS = ("timeout", "true")
NO_PROXY = {"no_proxy": "*"}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/good": 200, "/missing": 404, "/sick": 503}[self.path]
        body = b'{"health":"true"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def tools(folder: Path, *clients: str) -> str:
    for name in (*TOOLS, *clients):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"this machine has no {name}")
        (folder / name).symlink_to(found)
    return str(folder)


def fetch(url: str, path: str, program: str = FETCH, *, environment: Mapping[str, str] = NO_PROXY) -> Section:
    result = subprocess.run(
        ["/bin/sh", "-s", "--", url],
        input=reading_script(program + 'section it fetch "$1"\n'),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
        env={"PATH": path, **environment},
    )
    return parse_sections(result.stdout)["it"]


@pytest.fixture(params=["wget", "curl", "busybox"])
def client(request, tmp_path: Path) -> str:
    """A PATH with one HTTP client in it."""
    return tools(tmp_path, request.param)


def test_a_good_answer_is_the_body_alone(client: str, server: str) -> None:
    section = fetch(f"{server}/good", client)
    assert (section.text, http_status(section), fetch_trouble(section)) == ('{"health":"true"}', 200, "")


@pytest.mark.parametrize(("page", "status"), [("missing", 404), ("sick", 503)])
def test_a_refused_request_tells_its_status(client: str, server: str, page: str, status: int) -> None:
    section = fetch(f"{server}/{page}", client)
    assert section.exit_status != 0
    assert http_status(section) == status
    assert fetch_trouble(section) == f"the server answers HTTP {status}"


def test_a_proxy_in_the_environment_or_in_a_file_of_the_client_is_passed_by(
    client: str, server: str, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        (tmp_path / ".wgetrc").write_text(f"use_proxy = on\nhttp_proxy = {proxy}\n")
        (tmp_path / ".curlrc").write_text(f"proxy = {proxy}\n")
        names = ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
        environment = {"HOME": str(tmp_path), **dict.fromkeys(names, proxy)}
        section = fetch(f"{server}/good", client, environment=environment)
        refused = fetch(f"{server}/missing", client, environment=environment)
    assert (section.text, http_status(refused)) == ('{"health":"true"}', 404)


def test_nobody_listening_is_no_answer(client: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        section = fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/", client)
    assert http_status(section) is None
    assert fetch_trouble(section)


def test_a_server_that_keeps_silent_is_given_up(client: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        section = fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/", client)
    assert http_status(section) is None
    assert fetch_trouble(section) == "no answer within 3 s"


def test_a_machine_without_any_client_says_so(tmp_path: Path, server: str) -> None:
    section = fetch(f"{server}/good", tools(tmp_path))
    assert not has_client(section)
    assert "neither wget nor busybox nor curl" in section.text


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that wants a client certificate, and the folder with one."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority.create("store")
    for name, addresses in (("server", ("127.0.0.1",)), ("client", ())):
        certificate, key = authority.issue(name, addresses=addresses)
        (folder / f"{name}.pem").write_text(certificate)
        (folder / f"{name}-key.pem").write_text(key)
    (folder / "ca.pem").write_text(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["curl", "wget"])
@pytest.mark.parametrize(("page", "status"), [("good", 200), ("missing", 404), ("sick", 503)])
def test_a_server_that_wants_a_client_certificate_gets_it(
    secure: tuple[str, Path], tmp_path: Path, name: str, page: str, status: int
) -> None:
    url, folder = secure
    program = fetch_over_tls(*(str(folder / file) for file in ("ca.pem", "client.pem", "client-key.pem")))
    section = fetch(f"{url}/{page}", tools(tmp_path, name, "grep"), program)
    assert http_status(section) == status
    if status == 200:
        assert section.text == '{"health":"true"}'


@pytest.mark.parametrize("clients", [(), ("busybox",)])
def test_a_machine_that_cannot_ask_over_tls_says_what_to_install(
    secure: tuple[str, Path], tmp_path: Path, clients: tuple[str, ...]
) -> None:
    url, folder = secure
    program = fetch_over_tls(*[str(folder / "ca.pem")] * 3)
    section = fetch(f"{url}/good", tools(tmp_path, *clients), program)
    assert not has_client(section)
    assert "install curl" in section.text


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '"text"', "{"])
def test_anything_but_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_json(text)
