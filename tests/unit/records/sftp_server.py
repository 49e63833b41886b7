"""A real SFTP server on loopback, unprivileged: paramiko's server side on the real file system."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import paramiko
from paramiko import SFTPAttributes, SFTPServer

OSERRORS_OF_PARAMIKO = (paramiko.SSHException, OSError, EOFError)


def _status(action: Any, *arguments: Any) -> int:
    try:
        action(*arguments)
    except OSError as error:
        return int(SFTPServer.convert_errno(error.errno or 0))
    return paramiko.SFTP_OK


class Handle(paramiko.SFTPHandle):
    """An open file."""

    def stat(self) -> Any:
        return SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))  # type: ignore[attr-defined]


class Files(paramiko.SFTPServerInterface):
    """SFTP as OpenSSH's sftp-server answers it: no error tells that a file exists."""

    def open(self, path: str, flags: int, attr: SFTPAttributes) -> Any:
        try:
            file = os.fdopen(os.open(path, flags, 0o644), "r+b" if flags & (os.O_RDWR | os.O_WRONLY) else "rb", 0)
        except OSError as error:
            return SFTPServer.convert_errno(error.errno or 0)
        handle = Handle(flags)
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
        return handle

    def list_folder(self, path: str) -> Any:
        try:
            return [
                SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name) for entry in os.scandir(path)
            ]
        except OSError as error:
            return SFTPServer.convert_errno(error.errno or 0)

    def stat(self, path: str) -> Any:
        try:
            return SFTPAttributes.from_stat(Path(path).stat())
        except OSError as error:
            return SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        return _status(os.mkdir, path)

    def rmdir(self, path: str) -> int:
        return _status(os.rmdir, path)

    def remove(self, path: str) -> int:
        return _status(os.remove, path)

    def rename(self, oldpath: str, newpath: str) -> int:
        return _status(os.link, oldpath, newpath) or _status(os.remove, oldpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _status(os.replace, oldpath, newpath)


class OneKey(paramiko.ServerInterface):
    """Lets in whoever has the key."""

    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key == self._key else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class Server(SFTPServer):
    """Says something first, as a login shell does that prints."""

    def __init__(self, channel: Any, name: str, server: Any, files: Any, says: bytes) -> None:
        super().__init__(channel, name, server, files)
        self._says = says

    def start_subsystem(self, name: str, transport: Any, channel: Any) -> None:
        """Begin."""
        channel.sendall(self._says)
        super().start_subsystem(name, transport, channel)


class SftpServer:
    """A listening server; ``home`` is what its clients need: their key and a known_hosts file."""

    def __init__(self, home: Path) -> None:
        self.host_key = paramiko.ECDSAKey.generate()
        client_key = paramiko.ECDSAKey.generate()
        self._client_key: paramiko.PKey = client_key
        self._clients: list[paramiko.Transport] = []
        self.says = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        (home / ".ssh").mkdir(parents=True)
        client_key.write_private_key_file(str(home / ".ssh" / "id_ecdsa"))
        self.known_hosts = home / ".ssh" / "known_hosts"
        name, key = f"[127.0.0.1]:{self.port}", self.host_key
        self.known_hosts.write_text(f"{name} {key.get_name()} {key.get_base64()}\n")
        self._listen()

    def url(self, folder: Path) -> str:
        return f"sftp://ada@127.0.0.1:{self.port}{folder}"

    def _listen(self) -> None:
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(*OSERRORS_OF_PARAMIKO):
            while True:
                client, _ = listening.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transport = paramiko.Transport(client)
                transport.add_server_key(self.host_key)
                transport.set_subsystem_handler("sftp", Server, Files, self.says)
                with contextlib.suppress(*OSERRORS_OF_PARAMIKO):
                    transport.start_server(server=OneKey(self._client_key), event=threading.Event())
                self._clients.append(transport)

    def stop(self) -> None:
        """Cut every connection, and take no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def restart(self) -> None:
        """Take connections again at the same port."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._listen()
