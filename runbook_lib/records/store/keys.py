"""The key that signs records: Ed25519, made on first use, mode 0600, outside the archive.

What it signs is canonical JSON (RFC 8785, ``canonical``): there is one way to write a value, so that its hash and its
signature mean the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runbook_lib.errors import InputError, KeyFileError, RecordError
from runbook_lib.files import write_whole
from runbook_lib.model.keyfiles import check_key_file
from runbook_lib.model.locations import SIGNING_KEY_VARIABLE, signing_key_file
from runbook_lib.records.store.disk import record_error

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True)
class PublicKey:
    """The public half; ``id`` is the beginning of its SHA-256 in hexadecimal."""

    id: str
    key: Ed25519PublicKey

    @property
    def pem(self) -> str:
        """The key as PEM text, as openssl reads it."""
        encoding, format_ = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(encoding, format_).decode()

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether the private half signed the data."""
        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """The private key of this machine's user."""

    public: PublicKey
    private: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of the data."""
        return self.private.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"


def signing_key() -> SigningKey:
    """This user's key, made if there is none yet.

    Raises:
        KeyFileError: the file has no usable key, or others may read it.
        RecordError: it cannot be made.
    """
    path = signing_key_file()
    if not path.exists():
        _make(path)
    check_key_file(str(path), "signing key")
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, str(error)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(path, "it is not an Ed25519 key")
    return SigningKey(_public(private.public_key()), private)


def parse_public_key(pem: bytes) -> PublicKey:
    """The public key in PEM text. Raises ``ValueError``."""
    try:
        key = serialization.load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return _public(key)


def read_public_key(path: Path) -> PublicKey:
    """The public key in a file that the user named. Raises ``InputError``."""
    try:
        return parse_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"it has no Ed25519 public key ({error})", place=str(path), remedy="name the .pem file of the key to trust"
        ) from error


def _public(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(hashlib.sha256(key.public_bytes(*_RAW)).hexdigest()[:16], key)


def _make(path: Path) -> None:
    """Make the key; of several that make it at once one is first, and all use that one."""
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, private, durable=True, mode=0o600, overwrite=False)
    except OSError as error:
        failed: RecordError = record_error(error, path)
        raise RecordError(
            f"the key that signs records cannot be made: {failed.message}",
            place=str(path),
            remedy=f"name a place for it that can be written: {SIGNING_KEY_VARIABLE}=FILE",
        ) from error


def _unusable(path: Path, reason: str) -> KeyFileError:
    return KeyFileError(
        f"the key that signs records cannot be used ({reason})",
        place=str(path),
        remedy="restore it from a backup; or move it away, and a new one is made, with which verify names both keys",
    )


def canonical(value: Mapping[str, str | int]) -> bytes:
    """The value as canonical JSON in UTF-8."""
    return rfc8785.dumps(dict(value))
