"""A small HTTP server that answers as a Docker engine does, with or without TLS and client certificates.

It stands in for what no real engine does on demand: break off, hang, refuse in a given way.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's table of paths."""

    protocol_version = "HTTP/1.1"
    server: EngineServer

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.server.requests.append((self.command, self.path))
        self.server.headers_seen.append(dict(self.headers))
        answer = self.server.answers.get(path)
        if answer is None:
            self.send_json(404, {"message": f"page not found: {path}"})
        else:
            answer(self)

    do_POST = do_DELETE = do_HEAD = do_GET

    def send_json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_frames(self, frames: list[tuple[int, bytes]], *, pause: float = 0.0) -> None:
        """Answer as the engine streams an exec's output: raw frames until it closes."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.end_headers()
        self.close_connection = True
        for stream, data in frames:
            self.wfile.write(struct.pack(">BxxxL", stream, len(data)) + data)
            self.wfile.flush()
            time.sleep(pause)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


def reply(status: int, value: object) -> Answer:
    return lambda handler: handler.send_json(status, value)


def hang(handler: Handler) -> None:
    """Give no answer before the server is closed."""
    handler.server.hanging.set()
    handler.server.let_go.wait()


def break_off(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


class EngineServer(ThreadingHTTPServer):
    """Listens on loopback until it is closed."""

    daemon_threads = True

    def __init__(self, tls: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.connections = 0
        self.hanging, self.let_go = threading.Event(), threading.Event()  # of what hangs
        self.answers: dict[str, Answer] = {
            "/version": reply(200, {"Version": "20.10.24", "ApiVersion": "1.41"}),
            "/_ping": lambda handler: handler.send_json(200, "OK"),
        }
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "server.pem", tls / "server-key.pem")
            context.load_verify_locations(tls / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> tuple[object, object]:  # type: ignore[override]
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""

    def close(self) -> None:
        self.let_go.set()
        self.shutdown()
        self.server_close()


def make_authority(folder: Path, *, address: str = "127.0.0.1", client_ended: bool = False) -> Path:
    """ca.pem, server.pem and client.pem with their keys (mode 0600), as docker-machine makes them."""
    folder.mkdir(exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("ca", ca_key, None, ca_key)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, ca, ca_key, address, ended=client_ended and name == "client")
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        path = folder / f"{name}-key.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return folder


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    address: str = "",
    *,
    ended: bool = False,
) -> x509.Certificate:
    # as docker-machine's libmachine/cert writes them: an organization is all there is, and nobody has a key identifier
    organization = {"ca": "user", "client": "user.<bootstrap>", "server": "user.node1"}[name]
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(minutes=-1 if ended else 24 * 60))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(_key_usage(name), critical=True)
    )
    if issuer is not None:
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH][: 2 if name == "server" else 1]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if address and name == "server":
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(name: str) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=name != "client",
        data_encipherment=False,
        key_agreement=name != "client",
        key_cert_sign=name == "ca",
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
