"""Secrets are references: where to find them is said, what they are is not, wherever something is wrong with them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.model.documents import anchored
from runbook_lib.model.loading import load_parameters, load_run
from runbook_lib.model.redaction import redactor_for
from runbook_lib.model.secrets import SecretReference

if TYPE_CHECKING:
    from .conftest import Files

VALUE = "hunter2-and-more"


def reference(**where: str) -> SecretReference:
    return SecretReference.model_validate(where)


def test_a_secret_comes_from_a_variable_or_from_a_file_without_its_last_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{VALUE}\n")
    file.chmod(0o600)
    monkeypatch.setenv("LAB_PASSWORD", VALUE)
    assert reference(env="LAB_PASSWORD").resolve("") == VALUE
    assert reference(file=str(file)).resolve("") == VALUE


def test_a_secret_that_cannot_be_found_is_told_with_place_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SHORT", "q7x")
    open_to_all = tmp_path / "open"
    open_to_all.write_text(VALUE)
    open_to_all.chmod(0o644)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfehunter2")
    binary.chmod(0o600)
    cases = {
        reference(env="NOBODY_SETS_THIS"): ("variable NOBODY_SETS_THIS is not set", "export NOBODY_SETS_THIS"),
        reference(env="EMPTY"): ("the variable EMPTY holds nothing", "at least 4 characters"),
        reference(env="SHORT"): ("the variable SHORT holds less than 4 characters", "at least 4 characters"),
        reference(file=str(tmp_path / "none")): ("cannot be read (No such file or directory)", "the right file"),
        reference(file=str(tmp_path)): ("is not a regular file", "the right file"),
        reference(file=str(open_to_all)): ("may be read by others (mode 0644)", f"chmod 600 {open_to_all}"),
        reference(file=str(binary)): ("is not UTF-8 text", "the right file"),
    }
    for secret, (message, remedy) in cases.items():
        with pytest.raises(InputError) as caught:
            secret.resolve("run.yaml:4: secrets.password")
        assert message in caught.value.message
        assert remedy in caught.value.remedy
        assert caught.value.place == "run.yaml:4: secrets.password"
        assert not any(value in str(caught.value) for value in (VALUE, "q7x", "hunter2"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (VALUE, "the value of a secret never stands here, for this text goes into notebooks, records and logs"),
        (4711471147, "the value of a secret never stands here"),
        ([VALUE], "the value of a secret never stands here"),
        ({"value": VALUE}, "write one of {env: VARIABLE} and {file: PATH}, and nothing else"),
        ({"env": "A", "value": VALUE}, "write one of {env: VARIABLE} and {file: PATH}, and nothing else"),
        ({"env": "A", "file": "b"}, "write one of {env: VARIABLE} and {file: PATH}, and nothing else"),
        ({}, "write one of {env: VARIABLE} and {file: PATH}, and nothing else"),
        ({"env": f"{VALUE}!"}, "'env' must be the name of an environment variable"),
        ({"env": 4711471147}, "'env' must be the name of an environment variable"),
        ({"file": ""}, "'file' must be the path of a file"),
        ({"file": [VALUE]}, "'file' must be the path of a file"),
    ],
)
def test_what_is_no_reference_is_refused_and_not_repeated(files: Files, given: Any, said: str) -> None:
    for overrides in ({"secrets.password": given}, {"secrets": {"password": given}}):
        message = files.refusal(overrides)
        assert said in message
        assert "secrets" in message.split(said)[0]
        assert VALUE not in message
        assert "4711" not in message


@pytest.mark.parametrize("given", [VALUE, [VALUE], 4711471147])
def test_secrets_that_have_no_names_are_refused_and_not_repeated(files: Files, given: Any) -> None:
    message = files.refusal({"secrets": given})
    assert "-p secrets: this must be names with references; the value of a secret never stands here" in message
    assert VALUE not in message
    assert "4711" not in message


def test_a_literal_under_an_overridden_key_is_not_repeated(files: Files) -> None:
    files.append(f"containers: []\nsecrets: {{password: {VALUE}}}")
    assert VALUE not in files.refusal({"secrets.password.env": "X"})


def test_a_missing_secret_is_a_fault_among_the_others_with_its_line(files: Files) -> None:
    files.append("containers: []\nsecrets:\n  password: {env: NOBODY_SETS_THIS}\noverlay: {subnet: 192.168.99.0/24}")
    message = files.refusal()
    assert "/run.yaml:5: secrets.password: the environment variable NOBODY_SETS_THIS is not set (export" in message
    assert "overlay.subnet" in message
    with pytest.raises(ParameterError, match="NOBODY_SETS_THIS is not set"):
        load_parameters(files.parameters)


def test_a_declared_secret_that_is_given_as_something_else_is_not_repeated(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", VALUE)
    files.append(f"platform: {VALUE}\ncontainers: []\nsecrets: {{password: {{env: LAB_PASSWORD}}}}")
    message = files.refusal({"inventory": f"/nowhere/{VALUE}"})
    assert VALUE not in message
    assert "'[REDACTED:password]' is not one of 'auto', 'boot2docker'" in message
    assert "the inventory file does not exist: /nowhere/[REDACTED:password]" in message


def test_paths_of_secrets_are_relative_to_their_file(files: Files) -> None:
    files.write("secret", VALUE, mode=0o600)
    files.append("containers: []\nsecrets: {password: {file: secret}, other: {env: PATH}}")
    run = load_run(files.parameters)
    assert run.parameters.secrets["password"].file == str(files.folder / "secret")
    node = {"name": "a", "ssh": {"host": "h", "passphrase": {"file": "p"}}}
    anchors = anchored({"nodes": [node, {"ssh": {"passphrase": {"env": "A"}}}]}, Path("/x"))
    assert anchors["nodes"][0]["ssh"]["passphrase"] == {"file": "/x/p"}
    assert anchors["nodes"][1]["ssh"]["passphrase"] == {"env": "A"}


def test_a_passphrase_that_cannot_be_found_is_a_fault_of_the_inventory(files: Files) -> None:
    text = files.inventory_text().replace("key,", "key, passphrase: {env: NOBODY_SETS_THIS},", 1)
    files.inventory.write_text(text)
    assert "/inventory.yaml:6: nodes.0.ssh.passphrase: the environment variable NOBODY" in files.refusal()
    files.inventory.write_text(text.replace("{env: NOBODY_SETS_THIS}", VALUE))
    message = files.refusal()
    assert "nodes.0.ssh.passphrase: the value of a secret never stands here" in message
    assert VALUE not in message


def test_a_runs_redactor_knows_declared_secrets_passphrases_and_keys_line_by_line(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    tls = files.write("tls.pem", text, mode=0o600)
    files.write("ca.pem", "a certificate")
    ssh_key = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    files.write("key", ssh_key, mode=0o600)
    monkeypatch.setenv("LAB_PASSWORD", VALUE)
    monkeypatch.setenv("LAB_PASSPHRASE", "open Sesame")
    docker = f"    docker: {{via: tls, host: h, ca: {files.folder}/ca.pem, cert: {files.folder}/ca.pem, key: {tls}}}"
    inventory = files.inventory_text("192.168.99.21").replace("key,", "key, passphrase: {env: LAB_PASSPHRASE},")
    files.inventory.write_text(f"{inventory}{docker}\n")
    files.append("containers: []\nsecrets: {password: {env: LAB_PASSWORD}}")
    redact = redactor_for(load_run(files.parameters))
    assert redact(f"-p {VALUE} open Sesame") == "-p [REDACTED:password] [REDACTED:ssh-passphrase]"
    assert redact(base64.b64encode(f"me:{VALUE}".encode()).decode()).endswith("[REDACTED:password]")
    assert redact(f"<{text}>").startswith("<[REDACTED:private-key]")
    for line in text.splitlines()[1:-1]:
        assert redact(f"| {line} |") == "| [REDACTED:tls-key] |"
    for line in ssh_key.splitlines()[1:-1]:
        assert redact(line) == "[REDACTED:ssh-key]"


def test_parameters_as_they_are_recorded_say_where_a_secret_was_found_only(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", VALUE)
    files.append("containers: []\nsecrets: {password: {env: LAB_PASSWORD}}")
    parameters = load_parameters(files.parameters)
    assert parameters.model_dump(mode="json")["secrets"] == {"password": {"env": "LAB_PASSWORD", "file": None}}
    assert VALUE not in repr(parameters)


@pytest.mark.parametrize("name", ["", "a b", "1st", "a]b"])
def test_a_secrets_name_is_one_that_a_mark_can_carry(files: Files, name: str) -> None:
    assert "a secret's name is a letter, then letters" in files.refusal({"secrets": {name: {"env": "PATH"}}})
