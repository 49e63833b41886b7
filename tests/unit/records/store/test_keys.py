from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from runbook_lib.errors import InputError, KeyFileError, RecordError
from runbook_lib.records.store.keys import parse_public_key, read_public_key, signing_key


def key_file() -> Path:
    return Path(os.environ["OVERLAY_RUNBOOK_SIGNING_KEY"])


def test_a_key_is_made_on_first_use_and_is_the_same_ever_after() -> None:
    before = os.umask(0)
    try:
        first = signing_key()
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    assert [path.name for path in key_file().parent.iterdir()] == [key_file().name]
    assert signing_key().public.id == first.public.id
    assert "PRIVATE" not in repr(first)


def test_what_was_signed_is_known_by_the_public_half_alone() -> None:
    key = signing_key()
    public = parse_public_key(key.public.pem.encode())
    assert public.id == key.public.id
    assert public.signed(key.sign(b"text"), b"text")
    assert not public.signed(key.sign(b"text"), b"other")
    assert not public.signed(b"", b"text")


def note_id(queue: multiprocessing.Queue[str], go: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    go.wait()  # type: ignore[attr-defined]
    queue.put(signing_key().public.id)


def test_processes_that_make_the_key_at_once_all_use_the_same() -> None:
    context = multiprocessing.get_context("fork")
    queue, go = context.Queue(), context.Event()
    processes = [context.Process(target=note_id, args=(queue, go)) for _ in range(6)]
    for process in processes:
        process.start()
    go.set()
    assert len({queue.get() for _ in processes}) == 1
    for process in processes:
        process.join()
    assert [path.name for path in key_file().parent.iterdir()] == [key_file().name]


def test_a_key_that_others_may_read_is_refused_with_the_remedy() -> None:
    signing_key()
    key_file().chmod(0o644)
    with pytest.raises(KeyFileError, match=r"may be read by others \(mode 0644\)") as caught:
        signing_key()
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused_and_left_alone(text: str) -> None:
    key_file().parent.mkdir()
    key_file().write_text(text)
    key_file().chmod(0o600)
    with pytest.raises(KeyFileError, match="the key that signs records cannot be used"):
        signing_key()
    assert key_file().read_text() == text


def test_a_key_of_another_kind_is_refused() -> None:
    key_file().parent.mkdir()
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file().write_bytes(X25519PrivateKey.generate().private_bytes(*pem))
    key_file().chmod(0o600)
    with pytest.raises(KeyFileError, match="not an Ed25519 key"):
        signing_key()
    with pytest.raises(InputError, match="no Ed25519 public key"):
        read_public_key(key_file())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to read the key with it")
def test_openssl_reads_the_key_that_was_made() -> None:
    expected = signing_key().public.pem
    command = ["openssl", "pkey", "-in", str(key_file()), "-pubout"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == expected


def test_a_place_where_no_key_can_be_made_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "file" / "below" / "key.pem"))
    with pytest.raises(RecordError, match="the key that signs records cannot be made") as caught:
        signing_key()
    assert "OVERLAY_RUNBOOK_SIGNING_KEY" in caught.value.remedy
