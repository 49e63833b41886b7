"""A node's one SSH connection, shared by its commands, files and the Docker API over SSH."""

from __future__ import annotations

import base64
import contextlib
import io
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import TracebackType
from typing import NoReturn, Self
from uuid import uuid4

import paramiko

from runbook_lib import journal
from runbook_lib.errors import CommandError, CommandTimeout, NodeError, SudoError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.ssh.destination import destination
from runbook_lib.transport.ssh.exchange import FAULTS, close, closed_at, closing, exchange
from runbook_lib.transport.ssh.link import Link, transport_of
from runbook_lib.transport.ssh.machine import machine_of_node
from runbook_lib.transport.ssh.sudo import (
    WITH_PASSWORD,
    refusal,
    sudo_password,
    sudo_words,
    typed_password,
    with_password,
)

# sshd takes 10 sessions a connection unless told otherwise (MaxSessions); two are left to the Docker API.
_SESSIONS_AT_ONCE = 8

Words = tuple[str, ...]

# The whole script is read before it begins, so that no command in it can swallow the rest of it as its input.
_SCRIPT_RUNNER = 'script=$(cat) && eval "$script" </dev/null'


@dataclass(frozen=True)
class CommandResult:
    """A finished command: who ran what, its exit status, its output and how long it took."""

    node: str
    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    seconds: float


class SshConnection:
    """A node's SSH connection: opened at first use, kept, reopened when the node went away in between.

    Threads may share it: each command has a channel of its own.
    """

    def __init__(self, node: NodeSpec, timeouts: Timeouts | None = None) -> None:
        self._node = node
        self._machine = machine_of_node(node)
        self._timeouts = timeouts or Timeouts()
        self._link = Link(node, self._timeouts.connect)
        self._sessions = threading.BoundedSemaphore(_SESSIONS_AT_ONCE)
        self._trying_password = threading.Lock()  # held while sudo's password is tried, which is done once
        self._tried_password: CommandResult | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def destination(self) -> str:
        """What a person would type after ``ssh``: the same key, known hosts and jump hosts."""
        return destination(self._node.ssh)

    def close(self) -> None:
        """Close the connection, ending whatever runs over it; the next call opens a new one."""
        self._tried_password = None
        self._link.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        sudo: bool = False,
        stdin: bytes = b"",
        timeout: float | None = None,
        check: bool = True,
    ) -> CommandResult:
        """Run one command; its arguments are quoted, never spliced.

        A command that does not end in time loses its channel, but may go on running on the node:
        without a terminal sshd sends it no signal. Start it with ``timeout`` there when that matters.

        Raises:
            UnreachableError: the node cannot be reached, or goes away in the middle.
            HostKeyError: the host key is unknown or changed.
            CommandError: it exits non-zero (unless ``check`` is false), or a signal ends it.
            SudoError: sudo does not let the user run it (unless ``check`` is false: sudo's own exit status then is 1).
            CommandTimeout: it does not end in time.
        """
        if not argv:
            raise ValueError("not a command: it has no words")
        return self._call(tuple(argv), tuple(argv), stdin=stdin, sudo=sudo, timeout=timeout, check=check)

    def script(
        self, text: str, *arguments: str, sudo: bool = False, timeout: float | None = None, check: bool = True
    ) -> CommandResult:
        """Run a POSIX shell script given on standard input; ``arguments`` become ``$1``, ``$2``, … in it.

        Its commands find their own standard input empty. Raises what ``run`` raises.
        """
        words = ("sh", "-c", _SCRIPT_RUNNER, "sh", *arguments)
        # What is told is the script, not how it gets there.
        told = ("sh", "-c", text, "sh", *arguments)
        return self._call(words, told, stdin=text.encode(), sudo=sudo, timeout=timeout, check=check)

    @property
    def sudo_takes_the_password(self) -> bool:
        """Whether the inventory refers to a password of sudo, and sudo takes it (tried now if need be)."""
        return sudo_words(self._node.ssh) == WITH_PASSWORD and self._password_tried().exit_status == 0

    def _call(
        self, words: Words, told: Words, *, stdin: bytes, sudo: bool, timeout: float | None, check: bool
    ) -> CommandResult:
        if any("\0" in word for word in words):
            raise ValueError(f"not a command: {words!r}")
        prefix = sudo_words(self._node.ssh) if sudo else ()
        if prefix == WITH_PASSWORD:
            tried = self._password_tried()
            if tried.exit_status != 0:
                return self._judged(replace(tried, argv=(*prefix, *words)), stdin, sudo, check)
        with journal.call(self._node.name, "ssh", (*prefix, *told)) as answer:
            result = self._run(prefix, words, answer, stdin, timeout or self._timeouts.command)
            return self._judged(result, stdin, sudo, check)

    def _password_tried(self) -> CommandResult:
        """What sudo says to the password, with no other input that it could take for further passwords.

        It is asked once a connection: a wrong one must not be tried again and again, which may lock the user out.
        """
        with self._trying_password:
            tried = self._tried_password
            if tried is None:
                password = sudo_password(self._node.ssh, self._node.name) + b"\n"
                with journal.call(self._node.name, "ssh", (*WITH_PASSWORD, "true")) as answer:
                    tried = self._run((), (*WITH_PASSWORD, "true"), answer, password, self._timeouts.command)
                self._tried_password = tried
            return tried

    def _run(self, prefix: Words, words: Words, answer: journal.Answer, stdin: bytes, limit: float) -> CommandResult:
        """Run words, as root where a prefix stands before them; the result's status is -1 when a signal ended it."""
        started = time.monotonic()
        sent, head = (*prefix, *words), b""
        if prefix == WITH_PASSWORD:
            sent, head = with_password(words, sudo_password(self._node.ssh, self._node.name))
        output = b"", b""
        try:
            with self._sessions, closing(self._link.session(started + limit)) as channel:
                with self._link.may_vanish(channel), closed_at(channel, started + limit):
                    channel.exec_command(_command_line(sent))
                with self._link.may_vanish(channel):
                    output = exchange(channel, head + stdin, started + limit)
                status = channel.recv_exit_status()
                answer.status = status if status != -1 else None
                alive = transport_of(channel).is_active()
        except TimeoutError as error:
            raise CommandTimeout(
                self._node.name,
                (*prefix, *words),
                limit=limit,
                stdin=b"" if words[: len(WITH_PASSWORD)] == WITH_PASSWORD else stdin,  # a password on trial
                destination=self.destination,
                password=typed_password(self._node.ssh) if head else "",
            ) from error
        if status == -1 and not alive:
            raise self._machine.unreachable(f"the connection closed before '{words[0]}' ended")
        stdout, stderr = (part.decode(errors="replace") for part in output)
        return CommandResult(self._node.name, (*prefix, *words), status, stdout, stderr, time.monotonic() - started)

    def _judged(self, result: CommandResult, stdin: bytes, sudo: bool, check: bool) -> CommandResult:
        """The result, unless it is an error."""
        signalled = result.exit_status == -1
        if not signalled and (not check or result.exit_status == 0):
            return result
        if sudo:
            self._raise_refusal(result)
        with_sudo_password = result.argv[: len(WITH_PASSWORD)] == WITH_PASSWORD
        raise CommandError(
            self._node.name,
            result.argv,
            exit_status=None if signalled else result.exit_status,
            reason="ended by a signal" if signalled else "",
            stdout=result.stdout,
            stderr=result.stderr,
            stdin=stdin,
            destination=self.destination,
            password=typed_password(self._node.ssh) if with_sudo_password else "",
        )

    def _raise_refusal(self, result: CommandResult) -> None:
        """Raise ``SudoError`` when it was sudo that did not run the command."""
        found = refusal(result.stderr, self._node.ssh)
        if found is not None:
            why, remedy = found
            raise SudoError(
                self._node.name,
                result.argv,
                why=why,
                remedy=remedy,
                exit_status=result.exit_status,
                stderr=result.stderr,
            )

    def read_file(self, path: str, *, sudo: bool = False) -> bytes | None:
        """The content of a file on the node, or ``None`` when there is none.

        Raises:
            NodeError: it is there and cannot be read; or as ``run``.
        """
        if sudo:
            # exit status 66 stands for "no such file", which no failing command here returns
            script = '[ -e "$1" ] || exit 66; exec base64 -- "$1"'
            found = self.script(script, path, sudo=True, check=False)
            if found.exit_status == 66:
                return None
            if found.exit_status != 0:
                self._raise_refusal(found)
                raise NodeError(self._node.name, f"cannot read {path}: {found.stderr.strip()}")
            return base64.b64decode(found.stdout)
        with self._sftp(f"read {path}") as (sftp, answer):
            content = io.BytesIO()
            try:
                sftp.getfo(path, content)
            except FileNotFoundError:
                answer.error = "no such file"
                return None
            answer.status = 0
            return content.getvalue()

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644, backup: str | None = None) -> None:
        """Put a file in place as root: SFTP to a temporary name, ``install``, ``sync``.

        The sync matters: a hard power-off right after an unsynced write loses it. It is of the file and its
        folder, where ``sync`` knows how: a whole machine's takes long. With ``backup`` the file that stood
        there is first copied to that name, once.

        Raises:
            NodeError: the file cannot be written; or as ``run``.
        """
        temporary = f"/tmp/.runbook-{uuid4().hex}"
        with self._sftp(f"write {temporary}") as (sftp, answer):
            sftp.putfo(io.BytesIO(content), temporary, file_size=len(content))
            answer.status = 0
        script = (
            "set -e; trap 'rm -f \"$1\"' EXIT; "
            'if [ -n "$4" ] && [ -e "$2" ] && [ ! -e "$4" ]; then cp -p "$2" "$4"; fi; '
            'install -m "$3" "$1" "$2.new"; mv -f "$2.new" "$2"; sync "$2" "${2%/*}/"'
        )
        self.script(script, temporary, str(PurePosixPath(path)), f"{mode:04o}", backup or "", sudo=True)

    def transport(self) -> paramiko.Transport:
        """The open transport, for channels (opened now if need be)."""
        return self._link.connected()[0]

    def stream(self, argv: Sequence[str], *, sudo: bool = False) -> paramiko.Channel:
        """Start a command and hand over its channel: its standard input and outputs. The caller closes it.

        Raises:
            UnreachableError, HostKeyError: as ``run``.
            SudoError: sudo does not take the password. Where it wants one and none is named, it says so in the channel.
            CommandTimeout: the node does not start it in time.
        """
        words, head = tuple(argv), b""
        prefix = sudo_words(self._node.ssh) if sudo else ()
        if prefix == WITH_PASSWORD:
            self._judged(replace(self._password_tried(), argv=(*prefix, *words)), b"", sudo=True, check=True)
            sent, head = with_password(words, sudo_password(self._node.ssh, self._node.name))
        else:
            sent = (*prefix, *words)
        deadline = time.monotonic() + self._timeouts.connect
        with journal.call(self._node.name, "ssh", (*prefix, *words)):
            try:
                return self._started(sent, head, deadline)
            except TimeoutError as error:
                raise CommandTimeout(
                    self._node.name, (*prefix, *words), limit=self._timeouts.connect, destination=self.destination
                ) from error

    def _started(self, words: Words, head: bytes, deadline: float) -> paramiko.Channel:
        channel = self._link.session(deadline)
        try:
            with self._link.may_vanish(channel), closed_at(channel, deadline):
                channel.exec_command(_command_line(words))
                if head:
                    channel.sendall(head)
        except BaseException:
            close(channel)
            raise
        return channel

    @contextlib.contextmanager
    def _sftp(self, what: str) -> Iterator[tuple[paramiko.SFTPClient, journal.Answer]]:
        limit = self._timeouts.command
        deadline = time.monotonic() + limit
        with (
            journal.call(self._node.name, "ssh", ("sftp", *what.split(maxsplit=1))) as answer,
            self._sessions,
            closing(self._link.session(deadline)) as channel,
        ):
            try:
                with closed_at(channel, deadline):
                    channel.invoke_subsystem("sftp")
                    channel.settimeout(limit)
                    yield paramiko.SFTPClient(channel), answer
            except TimeoutError as error:
                raise CommandTimeout(
                    self._node.name, ["sftp", what], limit=limit, destination=self.destination
                ) from error
            except FAULTS as error:
                self._sftp_failed(what, channel, error)

    def _sftp_failed(self, what: str, channel: paramiko.Channel, error: Exception) -> NoReturn:
        transport = transport_of(channel)
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if not transport.is_active():
            self._link.discard(transport)
            raise self._machine.unreachable(why) from error
        raise NodeError(self._node.name, f"cannot {what} over SFTP: {why}") from error


def _command_line(words: Sequence[str]) -> str:
    """The words as one line for the node's shell; a first word such as ``A=b`` is no assignment there."""
    line = shlex.join(words)
    return f"'{words[0]}'{line[len(words[0]) :]}" if "=" in words[0] and line.startswith(words[0]) else line
