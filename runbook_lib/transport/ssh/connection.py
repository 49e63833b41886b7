"""A node's one SSH connection, shared by its commands, files and the Docker API over SSH."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

import paramiko

from runbook_lib import journal
from runbook_lib.errors import CommandError, CommandTimeout, NodeError, SudoError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.ssh.channel import NotBegun, close, closed_at, closing, exchange, read_until
from runbook_lib.transport.ssh.endpoint import destination, machine_of_node
from runbook_lib.transport.ssh.route import Link, transport_of
from runbook_lib.transport.ssh.shell import (
    WITH_PASSWORD,
    Arrival,
    Passage,
    Stage,
    passage,
    refusal,
    sudo_password,
    sudo_words,
    trouble,
    typed_password,
)

# sshd's default MaxSessions is 10 per connection; two are left to the Docker API.
_SESSIONS_AT_ONCE = 8
# A login shell with output that has not begun the command by then is waiting for something. A silent one may be on a
# busy node and gets the command's whole time.
_SHELL_SECONDS = 10.0

Words = tuple[str, ...]

# The whole script is read before it begins, so that no command in it can swallow the rest of it as its input.
_SCRIPT_RUNNER = 'script=$(cat) && eval "$script" </dev/null'

# Exit status 66 stands for "no such file", which no failing command here returns.
_NO_FILE = 66
_READ = '[ -e "$1" ] || exit 66; exec cat -- "$1"'
# The content comes on standard input, which ends when the connection does: what is not whole is never put in place.
_WRITE = (
    'set -e; umask 077; new=$2.new; trap \'rm -f -- "$new"\' EXIT; cat >"$new"; '
    'size=$(($(wc -c <"$new"))); if [ "$size" -ne "$1" ]; then echo "only $size of $1 bytes came" >&2; exit 1; fi; '
    'if [ -n "$4" ] && [ -e "$2" ] && [ ! -e "$4" ]; then cp -p "$2" "$4"; fi; '
    'chmod "$3" "$new"; mv -f "$new" "$2"; sync "$2" "${2%/*}/"'
)


@dataclass(frozen=True)
class CommandResult:
    """A finished command: who ran what, its exit status, its output and how long it took.

    ``stdout`` is ``raw`` as text. ``refused``: sudo did not run it, and the output is sudo's.
    """

    node: str
    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    seconds: float
    raw: bytes = field(default=b"", repr=False)
    refused: bool = False


class SshConnection:
    """A node's SSH connection: opened at first use, kept, reopened when the node went away in between.

    Threads may share it: each command has its own channel.
    """

    def __init__(self, node: NodeSpec, timeouts: Timeouts | None = None) -> None:
        self._node = node
        self._machine = machine_of_node(node)
        self._timeouts = timeouts or Timeouts()
        self._link = Link(self._machine, self._timeouts.connect)
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
        """The arguments of an equivalent ``ssh`` command."""
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
            NodeError: the user's login shell does not begin it.
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
                return self._judged(replace(tried, argv=(*prefix, *words)), stdin, check)
        with journal.call(self._node.name, "ssh", (*prefix, *told)) as answer:
            result = self._run(prefix, words, answer, stdin, timeout or self._timeouts.command)
            return self._judged(result, stdin, check)

    def _password_tried(self) -> CommandResult:
        """sudo's answer to the password, with no other input that it could read as a password.

        Once per connection: repeated wrong passwords may lock the user out.
        """
        with self._trying_password:
            tried = self._tried_password
            if tried is None:
                with journal.call(self._node.name, "ssh", (*WITH_PASSWORD, "true")) as answer:
                    tried = self._run(WITH_PASSWORD, ("true",), answer, b"", self._timeouts.command, trial=True)
                self._tried_password = tried
            return tried

    def _passage(self, prefix: Words, words: Words, *, has_input: bool, trial: bool = False) -> Passage:
        password = sudo_password(self._node.ssh, self._node.name) if prefix == WITH_PASSWORD else None
        return passage(words, sudo=prefix, password=password, only_password=trial, has_input=has_input)

    def _run(
        self, prefix: Words, words: Words, answer: journal.Answer, stdin: bytes, limit: float, *, trial: bool = False
    ) -> CommandResult:
        """Run words, as root where a prefix stands before them; the result's status is -1 when a signal ended it."""
        started = time.monotonic()
        way = self._passage(prefix, words, has_input=bool(stdin), trial=trial)
        deadline = started + limit
        try:
            with self._sessions, closing(self._link.session(deadline)) as channel:
                with self._link.translate_disconnects(channel), closed_at(channel, deadline):
                    channel.exec_command(way.line)
                sign, begin_by = way.token(Stage.LOGIN_SHELL), self._begin_by()
                with self._link.translate_disconnects(channel):
                    output = exchange(
                        channel, way.head + stdin, deadline, sign=sign, begin_by=begin_by, quiet=way.quiet
                    )
                status = channel.recv_exit_status()
                answer.status = status if status != -1 else None
                alive = transport_of(channel).is_active()
        except NotBegun as error:
            raise self._shell_trouble(way.arrived(error.stdout, error.stderr), None) from error
        except TimeoutError as error:
            raise CommandTimeout(
                self._node.name,
                (*prefix, *words),
                limit=limit,
                stdin=stdin,
                destination=self.destination,
                password=typed_password(self._node.ssh) if prefix == WITH_PASSWORD else "",
            ) from error
        if status == -1 and not alive:
            raise self._machine.unreachable(f"the connection closed before '{words[0]}' ended")
        arrival = way.arrived(*output)
        if arrival.stage is Stage.LOGIN_SHELL:
            raise self._shell_trouble(arrival, status)
        stdout, stderr = (part.decode(errors="replace") for part in (arrival.stdout, arrival.stderr))
        return CommandResult(
            self._node.name,
            (*prefix, *words),
            status,
            stdout,
            stderr,
            time.monotonic() - started,
            raw=arrival.stdout,
            refused=arrival.stage is Stage.SUDO and status != -1,
        )

    def _judged(self, result: CommandResult, stdin: bytes, check: bool) -> CommandResult:
        """The result, unless it is an error."""
        signalled = result.exit_status == -1
        if not signalled and (not check or result.exit_status == 0):
            return result
        if result.refused:
            raise self._refusal(result)
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

    def _refusal(self, result: CommandResult) -> SudoError:
        """The error for a command that sudo did not run."""
        why, remedy = refusal(result.stderr, self._node.ssh)
        return SudoError(
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
        found = self.run(("sh", "-c", _READ, "sh", path), sudo=sudo, check=False)
        if found.exit_status == _NO_FILE:
            return None
        if found.refused:
            raise self._refusal(found)
        if found.exit_status != 0:
            raise NodeError(
                self._node.name,
                f"cannot read {path}: {found.stderr.strip() or f'exit status {found.exit_status}'}",
                remedy="look at it on the node by hand",
            )
        return found.raw

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644, backup: str | None = None) -> None:
        """Put a file in place as root: whole and under another name first, then renamed and synced.

        The sync matters: a hard power-off right after an unsynced write loses it. It is of the file and its
        folder, where ``sync`` knows how: a whole machine's takes long. With ``backup`` the file that stood
        there is first copied to that name, once.

        Raises:
            CommandError: the file cannot be written; or as ``run``.
        """
        place = str(PurePosixPath(path))
        words = ("sh", "-c", _WRITE, "sh", str(len(content)), place, f"{mode:04o}", backup or "")
        self.run(words, sudo=True, stdin=content)

    def transport(self) -> paramiko.Transport:
        """The open transport, for channels (opened now if need be)."""
        return self._link.connected()[0]

    def stream(self, argv: Sequence[str], *, sudo: bool = False) -> paramiko.Channel:
        """Start a command and hand over its channel: its standard input and outputs. The caller closes it.

        Raises:
            UnreachableError, HostKeyError: as ``run``.
            SudoError: sudo does not let the user run it.
            CommandTimeout: the node does not start it in time.
            NodeError: the user's login shell does not begin it.
        """
        words = tuple(argv)
        prefix = sudo_words(self._node.ssh) if sudo else ()
        if prefix == WITH_PASSWORD:
            self._judged(replace(self._password_tried(), argv=(*prefix, *words)), b"", check=True)
        limit = max(self._timeouts.connect, self._timeouts.command)
        with journal.call(self._node.name, "ssh", (*prefix, *words)):
            try:
                return self._started(prefix, words, time.monotonic() + limit)
            except TimeoutError as error:
                raise CommandTimeout(
                    self._node.name, (*prefix, *words), limit=limit, destination=self.destination
                ) from error

    def _begin_by(self) -> float:
        return time.monotonic() + max(_SHELL_SECONDS, self._timeouts.connect)

    def _started(self, prefix: Words, words: Words, deadline: float) -> paramiko.Channel:
        way = self._passage(prefix, words, has_input=False)
        channel = self._link.session(deadline)
        try:
            with self._link.translate_disconnects(channel), closed_at(channel, deadline):
                channel.exec_command(way.line)
                if way.head:
                    channel.sendall(way.head)
            with self._link.translate_disconnects(channel):
                output = read_until(channel, way.last_token, deadline, begin_by=self._begin_by(), quiet=way.quiet)
            arrival = way.arrived(*output)
            if arrival.stage is not Stage.BEGUN:
                raise self._not_started((*prefix, *words), arrival, channel, deadline)
        except NotBegun as error:
            close(channel)
            raise self._shell_trouble(way.arrived(error.stdout, error.stderr), None) from error
        except BaseException:
            close(channel)
            raise
        return channel

    def _not_started(self, words: Words, arrival: Arrival, channel: paramiko.Channel, deadline: float) -> NodeError:
        """The error for a command whose channel ended before it began."""
        ended = channel.status_event.wait(max(0.0, deadline - time.monotonic()))
        status = channel.recv_exit_status() if ended else -1
        if status == -1 and not transport_of(channel).is_active():
            return self._machine.unreachable(f"the connection closed before '{words[0]}' began")
        if arrival.stage is Stage.LOGIN_SHELL:
            return self._shell_trouble(arrival, status)
        stderr = arrival.stderr.decode(errors="replace")
        return self._refusal(CommandResult(self._node.name, words, status, "", stderr, 0.0, refused=True))

    def _shell_trouble(self, arrival: Arrival, status: int | None) -> NodeError:
        why, remedy = trouble(arrival, status, self._node.ssh.user)
        return NodeError(self._node.name, why, remedy=f"{remedy}; try it by hand: ssh {self.destination} true")
