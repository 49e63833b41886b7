"""A remote archive at a URL through fsspec, of which this machine has a mirror.

Records are written into the mirror and uploaded when they are finished: all files, then ``record.json``, then the
chain. A writer of the chain holds a lock beside it, and reads back what it wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from runbook_lib.errors import InputError, RecordError, RunbookError
from runbook_lib.files import temporary_beside
from runbook_lib.records.store.archive import CHAIN_FILE, KEYS_FOLDER, LOCK_FILE, RECORD_FILE, SEAL_FILE, is_record_name
from runbook_lib.records.store.disk import files_in
from runbook_lib.transport.ssh.known_hosts import KnownHostsPolicy

_SSH = frozenset({"sftp", "ssh"})
_CONNECT_SECONDS = 20.0
# A holder needs a few seconds. One that was killed leaves its lock, which is broken after this.
_LOCK_SECONDS = 60.0
# The holder's name follows at once, if it lives.
_UNNAMED_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.25
_CREATE_ATTEMPTS = 5
# What paramiko says of a first packet that begins with text.
_NOT_SFTP = "Garbage packet received"
# Written last: the first makes a record of a folder.
_LAST = (SEAL_FILE, RECORD_FILE)


class Place:
    """An archive at a URL. Every method raises ``RecordError`` if the URL cannot be reached, read or written."""

    def __init__(self, url: str) -> None:
        self.url = url
        with self._reported("connected to"):
            self._fs, self._path = _connect(url)
        self._path = self._path.rstrip("/")

    def close(self) -> None:
        """Close the connection, if it is a permanent one."""
        client = getattr(self._fs, "client", None)
        if urlsplit(self.url).scheme in _SSH and client is not None:
            client.close()

    def prepare(self) -> None:
        """Check that files can be written there."""
        probe = self._at(f".probe.{secrets.token_hex(4)}")
        with self._reported("written"):
            self._fs.makedirs(self._path, exist_ok=True)
            self._fs.pipe_file(probe, b"may it be written?\n")
            self._fs.rm_file(probe)

    def record_names(self) -> tuple[str, ...]:
        """The folders of the records, sorted; none when there is no archive yet."""
        with self._reported("listed"):
            return tuple(sorted(name for name in self._names("") if is_record_name(name)))

    def fetch(self, name: str, target: Path, *, missing_ok: bool = False) -> bool:
        """Copy one file; ``False`` when it is not there and need not be."""
        with self._reported("read", name), temporary_beside(target) as temporary:
            if missing_ok and not self._fs.exists(self._at(name)):
                return False
            self._fs.get_file(self._at(name), str(temporary))
            temporary.replace(target)
        return True

    def fetch_folder(self, name: str, target: Path) -> None:
        """Copy everything below a folder; nothing is copied when it is not there."""
        with self._reported("read", name):
            found = self._fs.find(self._at(name)) if self._fs.exists(self._at(name)) else []
        for path in found:
            inner = str(path).removeprefix(self._at(name)).lstrip("/")
            local = target / inner
            if not local.resolve().is_relative_to(target.resolve()):
                raise RecordError(f"it has a file outside of its folder: {inner}", place=self._shown(name))
            local.parent.mkdir(parents=True, exist_ok=True)
            self.fetch(f"{name}/{inner}", local)

    def upload(self, folder: Path, *, last: bool) -> None:
        """Put a record's files there: all but ``seal.json`` and ``record.json``, or, as the ``last``, those two."""
        with self._reported("written", folder.name):
            names = _LAST if last else sorted(set(files_in(folder)) - set(_LAST))
            for parent in sorted({str(Path(name).parent) for name in names}):
                self._fs.makedirs(self._at(f"{folder.name}/{parent}".removesuffix("/.")), exist_ok=True)
            for name in names:
                self._fs.put_file(str(folder / name), self._at(f"{folder.name}/{name}"))

    def remove(self, name: str) -> None:
        """Remove a record's folder, ``record.json`` first, so that no half a record is ever taken for one."""
        with self._reported("removed", name):
            if self._fs.exists(self._at(f"{name}/{RECORD_FILE}")):
                self._fs.rm_file(self._at(f"{name}/{RECORD_FILE}"))
            if self._fs.exists(self._at(name)):
                self._fs.rm(self._at(name), recursive=True)

    def pull_chain(self, root: Path) -> None:
        """Download the chain and public keys into a mirror."""
        (root / KEYS_FOLDER).mkdir(parents=True, exist_ok=True)
        if not self.fetch(CHAIN_FILE, root / CHAIN_FILE, missing_ok=True):
            (root / CHAIN_FILE).unlink(missing_ok=True)
        with self._reported("listed", KEYS_FOLDER):
            names = self._names(KEYS_FOLDER)
        for stale in (root / KEYS_FOLDER).iterdir():
            if stale.name not in names:
                stale.unlink()
        for name in names:
            self.fetch(f"{KEYS_FOLDER}/{name}", root / KEYS_FOLDER / name)
        if not names:
            (root / KEYS_FOLDER).rmdir()

    def push_chain(self, root: Path) -> None:
        """Upload a mirror's chain and public keys, and check that no other writer changed the chain in the meantime."""
        with self._reported("written", CHAIN_FILE):
            self._fs.makedirs(self._at(KEYS_FOLDER), exist_ok=True)
            for key in (root / KEYS_FOLDER).iterdir():
                self._fs.put_file(str(key), self._at(f"{KEYS_FOLDER}/{key.name}"))
            hidden = self._at(f".{CHAIN_FILE}.{secrets.token_hex(4)}")
            try:
                self._fs.put_file(str(root / CHAIN_FILE), hidden)
                self._fs.mv(hidden, self._at(CHAIN_FILE))
            except BaseException:
                if self._fs.exists(hidden):
                    self._fs.rm_file(hidden)
                raise
            written = self._fs.cat_file(self._at(CHAIN_FILE))
        if written != (root / CHAIN_FILE).read_bytes():
            raise RecordError(
                "another writer changed the chain at the same moment",
                place=self._shown(CHAIN_FILE),
                remedy="run again: what is finished here is uploaded then",
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock beside the chain."""
        lock, token = self._at(LOCK_FILE), secrets.token_hex(8)
        with self._reported("locked", LOCK_FILE):
            self._fs.makedirs(self._path, exist_ok=True)
            self._acquire(lock, token)
        try:
            yield
        finally:
            with self._reported("unlocked", LOCK_FILE):
                if self._holder(lock).get("token") == token:
                    self._fs.rm_file(lock)

    def _acquire(self, lock: str, token: str) -> None:
        holder = json.dumps({"token": token, "host": socket.gethostname(), "pid": os.getpid()}).encode()
        seen, since = None, time.monotonic()
        while not self._create(lock):
            now = self._holder(lock)
            if now != seen:
                seen, since = now, time.monotonic()
            elif _is_dead(now) or time.monotonic() - since > (_LOCK_SECONDS if now else _UNNAMED_LOCK_SECONDS):
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(lock)
                continue
            time.sleep(_LOCK_POLL_SECONDS)
        self._fs.pipe_file(lock, holder)

    def _create(self, lock: str) -> bool:
        """Make the lock's file; ``False`` when it is there already."""
        for attempts_left in reversed(range(_CREATE_ATTEMPTS)):
            try:
                # The file stays empty here: what opens it exclusively need not be able to write it, as with paramiko.
                with self._fs.open(lock, "xb"):
                    return True
            except FileExistsError:
                return False
            except (NotImplementedError, ValueError):
                return self._create_less_strictly(lock)
            except OSError:
                # SFTP has no word for "it exists"; and its holder may have removed it before the question.
                if self._fs.exists(lock):
                    return False
                if not attempts_left:
                    raise
        return False

    def _create_less_strictly(self, lock: str) -> bool:
        try:
            self._fs.pipe_file(lock, b"", mode="create")
        except FileExistsError:
            return False
        return True

    def _holder(self, lock: str) -> dict[str, Any]:
        try:
            found = json.loads(self._fs.cat_file(lock))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _names(self, folder: str) -> tuple[str, ...]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return ()
        return tuple(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _shown(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}" if name else self.url

    @contextlib.contextmanager
    def _reported(self, verb: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except RunbookError:
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            remedy = "see that the place is there and lets you in, or name another: --records LOCATION"
            if _NOT_SFTP in reason:
                reason = "the login shell there prints something before SFTP begins"
                remedy = "let ~/.bashrc and its like print on a terminal only: [ -t 1 ] && echo …"
            raise RecordError(f"it cannot be {verb} ({reason})", place=self._shown(name), remedy=remedy) from error


def check_url(url: str) -> None:
    """Make sure that a URL is one that an installed package opens, and has no secret in it. Raises ``InputError``."""
    parts = urlsplit(url)
    if parts.password:
        raise InputError(
            "the URL has a password in it, which would be shown and kept",
            place=f"{parts.scheme}://{parts.hostname}",
            remedy="use a key, or set the password in the environment (FSSPEC_<PROTOCOL>_PASSWORD)",
        )
    try:
        fsspec.get_filesystem_class(parts.scheme)
    except (ValueError, ImportError) as error:
        raise InputError(
            f"records cannot be written there: {error}",
            place=url,
            remedy="install the package that fsspec names, or name a path",
        ) from error


def _connect(url: str) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    scheme = urlsplit(url).scheme
    if scheme in _SSH:
        options = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _CONNECT_SECONDS)
        if "host_key_policy" not in fsspec.config.conf.get(scheme, {}):
            options["host_key_policy"] = KnownHostsPolicy(Path("~/.ssh/known_hosts").expanduser())
    # A connection that another notebook opened may have died since.
    fs, path = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)
    return fs, str(path)


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a lock's holder was a process of this machine that has ended."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    return not Path(f"/proc/{holder['pid']}").exists()


def open_place(url: str) -> contextlib.AbstractContextManager[Place]:
    """The archive at a URL, connected until the block ends. Raises ``InputError``, ``RecordError``."""
    check_url(url)
    return contextlib.closing(Place(url))
