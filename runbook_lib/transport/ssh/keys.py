"""Private key files, with and without a passphrase."""

from __future__ import annotations

import shlex
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.pkey import UnknownKeyType

from runbook_lib.errors import KeyFileError
from runbook_lib.model.keyfiles import check_key_file
from runbook_lib.model.secrets import SecretReference

# Held while a key is opened, so that threads that want the same one open it once.
_UNLOCKING = threading.Lock()


def private_key(path: str, reference: SecretReference | None, node: str) -> paramiko.PKey:
    """The key in a file, opened with the passphrase that ``reference`` leads to where it needs one.

    Raises:
        KeyFileError: it is missing, readable by others, no key, or encrypted and the passphrase is wrong or not
            referred to.
        InputError: the passphrase cannot be found.
    """
    check_key_file(path, node)
    try:
        try:
            return _load(path, None)
        except (paramiko.PasswordRequiredException, TypeError) as error:
            # cryptography says TypeError when a passphrase is needed and none was given
            if reference is None:
                raise _needs_passphrase(path, node) from error
        return _unlocked(path, reference, node)
    except (ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as error:
        raise KeyFileError(
            f"{path} holds no private key that SSH could use ({error})",
            place=node,
            remedy="name the private half of an ed25519, ECDSA or RSA key",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"the private key {path} cannot be read ({error.strerror})",
            place=node,
            remedy="name a key file that you may read",
        ) from error


def needs_passphrase(path: str) -> bool:
    """Whether a file holds a private key that only a passphrase opens."""
    try:
        _load(path, None)
    except (paramiko.PasswordRequiredException, TypeError):
        return True
    except (ValueError, OSError, paramiko.SSHException, UnknownKeyType):
        return False  # no key at all: whoever logs in with it is told
    return False


def _load(path: str, passphrase: bytes | None) -> paramiko.PKey:
    # paramiko says str, and cryptography, which it hands it to, takes bytes only.
    key: paramiko.PKey = paramiko.PKey.from_path(path, password=cast(Any, passphrase))
    return key


@lru_cache(maxsize=16)
def _load_once(path: str, _state: tuple[int, int], passphrase: bytes) -> paramiko.PKey:
    """The key in its present state. To open one takes a quarter of a second on purpose, and nodes often share it."""
    return _load(path, passphrase)


def _unlocked(path: str, reference: SecretReference, node: str) -> paramiko.PKey:
    passphrase = reference.resolve(f"{node}: ssh.passphrase")
    found = Path(path).stat()
    try:
        with _UNLOCKING:
            return _load_once(path, (found.st_mtime_ns, found.st_size), passphrase.encode(errors="surrogateescape"))
    except ValueError as error:
        raise KeyFileError(
            f"the passphrase in {reference} does not open the private key {path}",
            place=node,
            remedy=f"put the right one there (ssh-keygen -y -f {shlex.quote(path)} asks for it and tells)",
        ) from error


def _needs_passphrase(path: str, node: str) -> KeyFileError:
    return KeyFileError(
        f"the private key {path} is protected by a passphrase, and nobody is there to type it",
        place=node,
        remedy="say where the passphrase is found, ssh: {passphrase: {env: VARIABLE}} or {file: PATH}, "
        f"or use a key without one (ssh-keygen -p -f {shlex.quote(path)} removes it from this one)",
    )
