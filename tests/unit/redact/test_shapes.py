"""Swarm join tokens and private keys are secrets wherever they come from."""

from __future__ import annotations

import base64
import json
import random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runbook_lib.redact import Redactor, StreamRedactor

TOKEN = "SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c"
REDACTED_KEY = "[REDACTED:private-key]"


def _pem(form: serialization.PrivateFormat) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


KEYS = {
    "pkcs8": _pem(serialization.PrivateFormat.PKCS8),
    "openssl": _pem(serialization.PrivateFormat.TraditionalOpenSSL),
    "openssh": _pem(serialization.PrivateFormat.OpenSSH),
    "rsa": rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode(),
    "encrypted": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n"
    + "\n".join(["MIIEpAIBAAKCAQEA" * 4] * 5)
    + "\n-----END RSA PRIVATE KEY-----\n",
}
each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())


def body_lines(key: str) -> list[str]:
    return [line for line in key.splitlines() if not line.startswith("-----")]


def test_a_join_token_is_redacted() -> None:
    text = f"docker swarm join --token {TOKEN} 192.168.99.1:2377"
    assert Redactor()(text) == "docker swarm join --token [REDACTED:swarm-join-token] 192.168.99.1:2377"


def test_a_join_token_cut_short_is_redacted_and_prose_about_tokens_is_not() -> None:
    assert Redactor()(TOKEN[:40] + "...") == "[REDACTED:swarm-join-token]..."
    assert Redactor()("tokens look like SWMTKN-1-… or SWMTKN-1-<secret>") == (
        "tokens look like SWMTKN-1-… or SWMTKN-1-<secret>"
    )


@each_key
@pytest.mark.parametrize(
    "show",
    [
        pytest.param(str, id="as it is"),
        pytest.param(json.dumps, id="json"),
        pytest.param(lambda key: json.dumps(json.dumps(key)), id="json in json"),
        pytest.param(lambda key: json.dumps(key.splitlines()), id="a list of lines"),
        pytest.param(lambda key: "\n".join(f"  | {line}" for line in key.splitlines()), id="with a margin"),
        pytest.param(lambda key: key.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(lambda key: key.replace("\n", " "), id="one line"),
        pytest.param(lambda key: "\n".join(f"web.1 10:02 {line}" for line in key.splitlines()), id="a log"),
    ],
)
def test_a_private_key_is_redacted_whole(key: str, show: object) -> None:
    assert callable(show)
    redacted = Redactor()(f"before {show(key)} after")
    assert REDACTED_KEY in redacted
    assert not [line for line in body_lines(key) if line and line in redacted]
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


@each_key
def test_a_private_key_of_which_an_end_is_missing_is_redacted(key: str) -> None:
    lines = key.splitlines()
    tail = "\n".join(lines[-3:])
    assert Redactor()(f"out: x\n{tail}\nafter") == f"out: x\n{REDACTED_KEY}\nafter"
    if "Proc-Type" not in key:
        head = "\n".join(lines[:-1])
        assert not [line for line in body_lines(key)[:-1] if line in Redactor()(f"{head}\nafter")]


def test_certificates_public_keys_and_prose_about_keys_stay() -> None:
    body = base64.b64encode(random.Random(1).randbytes(48)).decode()
    for text in (
        f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n",
        f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n",
        "a file with PRIVATE KEY in its first line",
        "--------------------\nname  value\n--------------------\n",
    ):
        assert Redactor()(text) == text


def test_two_keys_are_two_keys() -> None:
    text = f"{KEYS['rsa']}between\n{KEYS['pkcs8']}after"
    assert Redactor()(text) == f"{REDACTED_KEY}\nbetween\n{REDACTED_KEY}\nafter"


@each_key
@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_a_key_that_comes_in_pieces_does_not_get_through(key: str, size: int) -> None:
    text = f"before -----\n{key}after\n{TOKEN} end"
    stream = StreamRedactor(Redactor())
    shown = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join([*shown, stream.flush()]) == f"before -----\n{REDACTED_KEY}\nafter\n[REDACTED:swarm-join-token] end"


def test_rules_of_dashes_wait_only_for_what_comes_next() -> None:
    stream = StreamRedactor(Redactor())
    assert stream.feed("name\n-----") == "name\n"
    assert stream.feed("-----\nvalue") == "----------\nvalue"
