"""Every error this package raises, in one tree.

::

    RunbookError                      exit 3   message, place, remedy
    ├── InputError                    exit 2   the user's file, argument or machine; nothing was touched
    │   ├── ParameterError                     faults: every fault of a parameter file, each with its place
    │   ├── KeyFileError                       an SSH or TLS key that is missing, unreadable or world-readable
    │   ├── HostKeyError                       node, offered and expected fingerprint
    │   └── RequirementError                   this machine cannot carry a testbed
    ├── CheckFailed                   exit 1   expected, found, node
    │   ├── PreconditionError                  something another notebook makes is missing
    │   └── StepFailed                         step, rows: one line per failed node
    ├── NodeError                     exit 3   node
    │   ├── UnreachableError                   no SSH or Docker connection to the node
    │   │   └── CertificateError               TLS: a certificate is not valid, or not accepted
    │   ├── CommandError                       argv, exit status, output tails, a line to paste into a shell
    │   │   ├── SudoError                      sudo did not run it: no right, no password or a wrong one
    │   │   └── CommandTimeout        exit 5   it did not end in time, and may go on running on the node
    │   └── EngineError                        the Docker Engine API refused a call: status, explanation
    │       ├── EngineNotFound                 404
    │       ├── EngineConflict                 409
    │       └── StoreUnavailable               the engine has no cluster store, or cannot reach it
    ├── TestbedError                  exit 3   the embedded testbed: readiness_stage, log tail
    ├── RecordError                   exit 3   an archive of records cannot be written, or a record in it not be read
    ├── LockedError                   exit 7   another run holds the cluster
    ├── DeadlineError                 exit 5   an operation ran out of its time
    └── InterruptedRun                exit 4   Ctrl-C, SIGTERM or SIGHUP

Exit codes are the command line's contract: 0 pass, 1 a check failed, 2 bad input, 3 error, 4 interrupted,
5 timeout, 6 kernel died, 7 locked.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "CertificateError",
    "CheckFailed",
    "CommandError",
    "CommandTimeout",
    "DeadlineError",
    "EngineConflict",
    "EngineError",
    "EngineNotFound",
    "ExitCode",
    "Fault",
    "HostKeyError",
    "InputError",
    "InterruptedRun",
    "KeyFileError",
    "LockedError",
    "NodeError",
    "ParameterError",
    "PreconditionError",
    "RecordError",
    "RequirementError",
    "RunbookError",
    "StepFailed",
    "StoreUnavailable",
    "SudoError",
    "TestbedError",
    "UnreachableError",
]


class ExitCode(IntEnum):
    """What the command line returns."""

    PASS = 0
    CHECK_FAILED = 1
    BAD_INPUT = 2
    ERROR = 3
    INTERRUPTED = 4
    TIMEOUT = 5
    KERNEL_DIED = 6
    LOCKED = 7


class RunbookError(Exception):
    """Base of the tree: one sentence, where it happened, what to do about it."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  remedy: {self.remedy}" if self.remedy else text

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: these errors explain themselves."""
        return [f"{type(self).__name__}: {self}"]


class InputError(RunbookError):
    """The user gave something unusable; nothing was touched."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Fault:
    """One fault of a parameter file: the place in it and what is wrong there."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ParameterError(InputError):
    """A parameter file or value that does not validate; ``faults`` lists every fault."""

    def __init__(self, faults: Sequence[Fault], *, place: str = "parameters", remedy: str = "") -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(
            f"{count} fault{'s' if count != 1 else ''}, nothing was touched:{lines}",
            place=place,
            remedy=remedy or "correct each place named above and run again",
        )


class KeyFileError(InputError):
    """A private key that is missing, unreadable or readable by others."""


class HostKeyError(InputError):
    """A host key that is not in the inventory's known_hosts."""

    def __init__(
        self,
        node: str,
        *,
        offered: str,
        expected: str | None,
        known_hosts: str,
        host: str,
        revoked: bool = False,
        hint: str = "",
    ) -> None:
        self.node = node
        self.offered = offered
        self.expected = expected
        known = f"known_hosts expects {expected}" if expected else "known_hosts has no key for it"
        if revoked:
            known = "known_hosts says that this key is revoked"
        super().__init__(
            f"host key of {host} refused: the host offers {offered}, {known}",
            place=node,
            remedy=f"find out why; only if the new key is right, put it into {known_hosts}{hint}",
        )


class RequirementError(InputError):
    """This machine lacks something that the testbed needs."""


class CheckFailed(RunbookError):
    """What was expected is not what was found."""

    exit_code = ExitCode.CHECK_FAILED

    def __init__(
        self, message: str, *, expected: object = None, found: object = None, node: str = "", remedy: str = ""
    ) -> None:
        self.expected = expected
        self.found = found
        self.node = node
        if expected is not None or found is not None:
            message = f"{message}\n  expected: {expected}\n  found:    {found}"
        super().__init__(message, place=node, remedy=remedy)


class PreconditionError(CheckFailed):
    """Something that another notebook makes is not there."""


class StepFailed(CheckFailed):
    """A step did not succeed on every node; ``rows`` has a line for each node that failed."""

    def __init__(self, step: str, rows: Sequence[str], *, remedy: str = "") -> None:
        self.step = step
        self.rows = tuple(rows)
        lines = "".join(f"\n  - {row}" for row in self.rows)
        super().__init__(
            f"step '{step}' did not succeed:{lines}",
            remedy=remedy or "remove the cause and run it again: completed work is not repeated",
        )


class NodeError(RunbookError):
    """Something went wrong on one node."""

    def __init__(self, node: str, message: str, *, remedy: str = "") -> None:
        self.node = node
        super().__init__(message, place=node, remedy=remedy)


class UnreachableError(NodeError):
    """No connection to the node."""


class CertificateError(UnreachableError):
    """The endpoint answers, but TLS fails: a certificate is invalid or not accepted."""


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


# Longer lines are left out of the message; the error's ``paste`` has them.
_LONGEST_PASTE = 2000


def _paste_line(destination: str, argv: Sequence[str], stdin: bytes, password: str) -> str:
    """The call as one line for a POSIX shell, its standard input included where that is text.

    ``password`` is how a shell finds sudo's password, which is the first line of the input then.
    """
    line = f"ssh {destination} -- {shlex.quote(shlex.join(argv))}"
    first = [f"printf '%s\\n' {password}"] if password else []
    if not stdin:
        return " | ".join([*first, line])
    try:
        text = stdin.decode()
    except UnicodeDecodeError:
        note = f"  # INPUT: a file with the {len(stdin)} bytes that it was given"
        return (f"{{ {first[0]}; cat INPUT; }} | {line}" if first else f"{line} < INPUT") + note
    given = f"printf %s {shlex.quote(text)}"
    return f"{{ {first[0]}; {given}; }} | {line}" if first else f"{given} | {line}"


class CommandError(NodeError):
    """A command on a node failed: how it was called, its exit status and the end of its output.

    ``exit_status`` is ``None`` when it has none: a signal ended it, or it did not end in time.
    """

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        *,
        exit_status: int | None,
        stdout: str = "",
        stderr: str = "",
        stdin: bytes = b"",
        reason: str = "",
        destination: str = "",
        password: str = "",
        remedy: str = "",
    ) -> None:
        self.argv = tuple(argv)
        self.exit_status = exit_status
        self.stdout_tail = _tail(stdout)
        self.stderr_tail = _tail(stderr)
        self.paste = _paste_line(destination or node, self.argv, stdin, password)
        what = reason or f"exit status {exit_status}"
        output = self.stderr_tail or self.stdout_tail
        message = f"command failed ({what}): {shlex.join(self.argv)}"
        if output:
            message += "\n" + "\n".join(f"  | {line}" for line in output.splitlines())
        if not remedy and len(self.paste) <= _LONGEST_PASTE:
            remedy = f"try it by hand: {self.paste}"
        super().__init__(node, message, remedy=remedy)


class CommandTimeout(CommandError):
    """A command did not end within ``limit`` seconds; it may go on running on the node."""

    exit_code = ExitCode.TIMEOUT

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        *,
        limit: float,
        stdin: bytes = b"",
        destination: str = "",
        password: str = "",
    ) -> None:
        self.limit = limit
        super().__init__(
            node,
            argv,
            exit_status=None,
            stdin=stdin,
            reason=f"no end after {limit:g} s, it may still be running there",
            destination=destination,
            password=password,
        )


class SudoError(CommandError):
    """sudo did not let the node's user run a command, which has not begun; ``why`` says it in one sentence."""

    def __init__(
        self, node: str, argv: Sequence[str], *, why: str, remedy: str, exit_status: int | None, stderr: str
    ) -> None:
        super().__init__(node, argv, exit_status=exit_status, stderr=stderr, remedy=remedy)
        self.message = why
        self.args = (why,)


class EngineError(NodeError):
    """The Docker Engine API refused a call."""

    def __init__(self, node: str, call: str, explanation: str, *, status: int | None = None, remedy: str = "") -> None:
        self.call = call
        self.status = status
        self.explanation = explanation
        code = f" (HTTP {status})" if status else ""
        super().__init__(node, f"Docker refused '{call}'{code}: {explanation}", remedy=remedy)


class EngineNotFound(EngineError):
    """404: no such container, network or image."""


class EngineConflict(EngineError):
    """409: the name is taken, or the object is in use."""


class StoreUnavailable(EngineError):
    """The engine has no cluster store or cannot reach it."""


class TestbedError(RunbookError):
    """The embedded testbed failed, at ``readiness_stage``; ``log_tail`` is the end of the right log."""

    __test__ = False  # pytest would otherwise collect a class whose name begins with Test

    def __init__(
        self, message: str, *, place: str = "", readiness_stage: str = "", log_tail: str = "", remedy: str = ""
    ) -> None:
        self.readiness_stage = readiness_stage
        self.log_tail = log_tail
        if log_tail:
            message += "\n" + "\n".join(f"  | {line}" for line in log_tail.splitlines())
        super().__init__(message, place=place, remedy=remedy)


class RecordError(RunbookError):
    """An archive of records that cannot be written, or a record that cannot be read."""


class LockedError(RunbookError):
    """Another run holds the cluster."""

    exit_code = ExitCode.LOCKED


class DeadlineError(RunbookError):
    """An operation ran out of its time."""

    exit_code = ExitCode.TIMEOUT


class InterruptedRun(RunbookError):
    """The run was interrupted by the user or a signal."""

    exit_code = ExitCode.INTERRUPTED
