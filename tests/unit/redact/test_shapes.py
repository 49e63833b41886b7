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
UNLOCK_KEY = "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"
GOSSIP_KEYS = "Keys:[[" + "] [".join(" ".join(str(7 * at + add) for at in range(16)) for add in (1, 90, 140)) + "]]"
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


def test_the_key_that_unlocks_a_swarm_is_redacted_and_prose_about_it_is_not() -> None:
    text = f"    {UNLOCK_KEY}\n\nPlease remember to store this key"
    assert Redactor()(text) == "    [REDACTED:swarm-unlock-key]\n\nPlease remember to store this key"
    assert Redactor()("unlock keys look like SWMKEY-1-…") == "unlock keys look like SWMKEY-1-…"


def test_the_gossip_keys_in_dockerds_own_log_are_redacted_and_nothing_else_of_the_line() -> None:
    # As Docker 26.1 wrote it, with other numbers.
    said = "New memberlist node - Node:node1 will use memberlist nodeID:4fb92a68a320 with config:&{NodeID:4fb92a68a320 "
    line = said + f"BindPort:0 {GOSSIP_KEYS} PacketBufferSize:1400 StatsPrintPeriod:5m0s}}"
    assert Redactor()(line) == said + (
        "BindPort:0 Keys:[[[REDACTED:swarm-gossip-keys]]] PacketBufferSize:1400 StatsPrintPeriod:5m0s}"
    )
    assert Redactor()("BindPort:0 Keys:[] PacketBufferSize:1400") == "BindPort:0 Keys:[] PacketBufferSize:1400"
    assert Redactor()("Keys:[[1 2 3]]") == "Keys:[[1 2 3]]"


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


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (UNLOCK_KEY, "[REDACTED:swarm-unlock-key]"),
        (GOSSIP_KEYS, "Keys:[[[REDACTED:swarm-gossip-keys]]]"),
    ],
)
def test_a_swarms_key_that_comes_in_pieces_does_not_get_through(secret: str, shown: str, size: int) -> None:
    text = f"before {secret} after"
    stream = StreamRedactor(Redactor())
    pieces = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join([*pieces, stream.flush()]) == f"before {shown} after"


def test_rules_of_dashes_wait_only_for_what_comes_next() -> None:
    stream = StreamRedactor(Redactor())
    assert stream.feed("name\n-----") == "name\n"
    assert stream.feed("-----\nvalue") == "----------\nvalue"
