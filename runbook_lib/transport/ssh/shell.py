"""Runs a command through a node's login shell and sudo, whatever they print and set.

sshd hands one line to the user's login shell, which may be any shell and reads its own files first (``~/.bashrc``,
``/etc/csh.cshrc``, …). They may print, change the folder, the language or the way to Docker, set proxies, or end. So
the line has only characters that mean the same to every shell, its one command is ``/bin/sh``, and what that says when
its turn comes is a random mark: output before it is not the command's, and without it the command did not run, or its
output is lost. As root there is a second mark behind sudo: a refusal is known in any language.

sudo runs without a password, or reads one from its standard input.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import uuid4

from runbook_lib.model.inventory import SshAccess

# What a program of ours would take from a node's environment, and should not.
_FOREIGN = (
    *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("LANGUAGE", "POSIXLY_CORRECT", "GREP_OPTIONS", "CDPATH", "ENV", "BASH_ENV", "PERL5OPT", "PERL5LIB"),
    *("DOCKER_API_VERSION", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
)
# 'docker' there has to speak to the node's own engine; a user's engine of its own stands behind a socket, too.
# What is looked for stands in the folders of every system, and its output is parsed.
_PREPARE = (
    "cd 2>/dev/null || cd /; "
    f"unset {' '.join(_FOREIGN)}; "
    "case ${DOCKER_HOST-} in unix:*) ;; *) unset DOCKER_HOST ;; esac; "
    "PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; "
    "LC_ALL=C; DOCKER_CONTEXT=default; export PATH LC_ALL DOCKER_CONTEXT; "
)
# The exit status of a command whose input lacks its mark: the login shell has read it.
_INPUT_TAKEN = 97
# 'read' takes a byte at a time, so that the command finds all that stands behind the mark.
_SKIP = 'while :; do IFS= read -r line || exit {taken}; [ "$line" = {mark} ] && break; done; '
_MARKED = re.compile(r"runbook-[0-9a-f]{32}-[A-Z_]+-err\n")
_LINE = """exec /bin/sh -c 'eval "$(printf %b "$1")"' sh '{}'"""


class Stage(Enum):
    """The stages of a command's start."""

    LOGIN_SHELL = "login shell"
    SUDO = "sudo"
    BEGUN = "begun"


@dataclass(frozen=True)
class Arrival:
    """The stage that a command reached, its outputs since then, and (``said``) before."""

    stage: Stage
    stdout: bytes
    stderr: bytes
    said: str = ""


@dataclass(frozen=True)
class Passage:
    """A command on its way: ``line`` is for the login shell, ``head`` the beginning of its standard input."""

    line: str
    head: bytes
    mark: str
    as_root: bool

    def token(self, stage: Stage, stream: str = "out") -> bytes:
        """What comes on an output (``out``, ``err``) when the login shell, or sudo, has been passed."""
        return _token(self.mark, stage, stream).encode() + b"\n"

    @property
    def last_token(self) -> bytes:
        """What comes on standard output right before the command's own."""
        return self.token(Stage.SUDO if self.as_root else Stage.LOGIN_SHELL)

    def arrived(self, stdout: bytes, stderr: bytes) -> Arrival:
        """What the outputs mean."""
        said = _tidy(stdout, stderr)
        stages = (Stage.LOGIN_SHELL, Stage.SUDO) if self.as_root else (Stage.LOGIN_SHELL,)
        for stage in stages:
            before, found, after = stdout.partition(self.token(stage))
            # a login shell that closed one output, or joined both, leaves no mark of its own on the other
            said_there, found_there, stderr_after = stderr.partition(self.token(stage, "err"))
            if not found:
                return Arrival(stage, stdout, stderr, said)
            stdout, stderr = after, stderr_after if found_there else stderr
            said = _tidy(before, said_there if found_there else b"")
        return Arrival(Stage.BEGUN, stdout, stderr, said)

    def quiet(self, stdout: bytes, stderr: bytes) -> bool:
        """Whether the current stage, login shell or sudo, has printed nothing."""
        arrival = self.arrived(stdout, stderr)
        return not _tidy(arrival.stdout, arrival.stderr)


def passage(
    words: Sequence[str],
    *,
    sudo: Sequence[str] = (),
    password: bytes | None = None,
    only_password: bool = False,
    has_input: bool = False,
) -> Passage:
    """A command for a node's login shell.

    Args:
        words: the command, any words at all.
        sudo: what stands before it where it is to run as root.
        password: what sudo may read from standard input, where it wants one.
        only_password: nothing stands behind the password.
        has_input: whether the command has an input of its own.
    """
    mark = f"runbook-{uuid4().hex}"
    head, first, second = b"", "", ""
    if has_input or password is not None:
        head, first = f"{mark}\n".encode(), _SKIP.format(taken=_INPUT_TAKEN, mark=mark)
    if password is not None:
        head += password + b"\n"
        if not only_password:
            # sudo leaves the password's line to the command where its rules ask for none
            head, second = head + f"{mark}\n".encode(), first
    if sudo:
        behind = f'{_PREPARE}{second}{_tell(mark, Stage.SUDO)}exec "$@"'
        words = (*sudo, "/bin/sh", "-c", behind, "sh", *words)
    text = f"{_PREPARE}{first}{_tell(mark, Stage.LOGIN_SHELL)}exec {shlex.join(words)}"
    return Passage(_LINE.format(_portable(text)), head, mark, bool(sudo))


def trouble(arrival: Arrival, exit_status: int | None, user: str) -> tuple[str, str]:
    """Why there is no sign of a command behind a login shell, or sudo, in one sentence, and the remedy.

    ``exit_status`` is ``None`` for one that goes on.
    """
    if arrival.stage is Stage.SUDO:
        why = f"sudo has not begun the command yet; it says: {_tidy(arrival.stderr) or 'nothing'}"
        return why, "check the node's load; else look for what it waits for: sudo true"
    files = "the files that it reads at its start (~/.bashrc, ~/.profile, ~/.cshrc, /etc/profile.d, …)"
    said = f"; it says: {arrival.said}" if arrival.said else ""
    if exit_status is None:
        return (
            f"the login shell of {user} has not begun the command yet{said or ', and says nothing'}",
            f"check the node's load; else look for what waits in {files}",
        )
    if exit_status == _INPUT_TAKEN:
        return (
            f"the login shell of {user} reads the input of the command that it is to begin{said}",
            f"look for what reads its standard input in {files}: it should only do so on a terminal",
        )
    return (
        f"the login shell of {user} ended (exit status {exit_status}) without starting the command{said}",
        f"look for 'exit', 'exec' or a menu in {files}, and for ForceCommand in sshd_config: they must let commands"
        " through that come without a terminal",
    )


def without_marks(stderr: str) -> str:
    """What a command has said on its standard error, without what came before it."""
    return _MARKED.split(stderr)[-1].strip()


def _token(mark: str, stage: Stage, stream: str) -> str:
    return f"{mark}-{stage.name}-{stream}"


def _tell(mark: str, stage: Stage) -> str:
    return f"echo {_token(mark, stage, 'err')} >&2; echo {_token(mark, stage, 'out')}; "


def _portable(text: str) -> str:
    """The text for ``printf %b``, in characters that are plain within single quotes of sh, csh and fish."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\!" else f"\\0{byte:03o}"
        for byte in text.encode(errors="surrogateescape")
    )


def _tidy(*outputs: bytes) -> str:
    lines = _MARKED.sub("", " ".join(output.decode(errors="replace") for output in outputs)).split()
    text = "".join(letter for letter in " ".join(lines) if letter.isprintable())
    return text if len(text) <= 300 else f"{text[:300]}…"


WITHOUT_PASSWORD = ("sudo", "-n", "--")
WITH_PASSWORD = ("sudo", "-S", "-p", "", "--")


def sudo_words(access: SshAccess) -> tuple[str, ...]:
    """What stands before a command that is to run as root; nothing where the user is root."""
    if access.user == "root":
        return ()
    return WITHOUT_PASSWORD if access.sudo_password is None else WITH_PASSWORD


def sudo_password(access: SshAccess, node: str) -> bytes:
    """The password that the inventory refers to, as sudo reads it. Raises ``InputError``."""
    assert access.sudo_password is not None
    return access.sudo_password.resolve(f"{node}: ssh.sudo_password").encode(errors="surrogateescape")


def typed_password(access: SshAccess) -> str:
    """A POSIX shell's words for the password's line, which never stands in an error itself."""
    reference = access.sudo_password
    if reference is None:
        return ""
    if reference.env is not None:
        return f'"${reference.env}"'
    return f'"$(cat {shlex.quote(str(reference.file))})"'


# What sudo, and sudo-rs after it, say when they do not run a command, in the order of their meaning; in English, for
# they are called with LC_ALL=C. That they did not run it is known without a word of theirs.
_NO_RIGHT = re.compile(
    r"is not in the sudoers file|(may not|is not allowed to) run sudo on |^Sorry, user .* is not allowed to execute "
    r"|^sudo: I'm sorry .*\. I'm afraid I can't do that",
    re.MULTILINE,
)
_WRONG = re.compile(
    r"incorrect (password|authentication) attempt|Sorry, try again|Authentication failed|no password was"
)
_WANTS_PASSWORD = re.compile(r"a password is required|interactive authentication is required")
_WANTS_TERMINAL = re.compile(r"must have a tty")
_NO_SUDO = re.compile(r"sudo: (command )?not found|sudo: No such file")


# Where sudoers names single programs, sudo refuses the shell, or asks for a password to say so.
_THROUGH_SHELL = "; it must allow /bin/sh, which every command goes through, not only single programs such as docker"


def refusal(stderr: str, access: SshAccess) -> tuple[str, str]:
    """Why sudo did not run a command, from its error output, and the remedy."""
    user = access.user
    if _NO_RIGHT.search(stderr):
        return (
            f"{user} has no sudo right on the node",
            f"let an administrator of the node add {user} to its sudoers{_THROUGH_SHELL}, or name another user",
        )
    if _WANTS_TERMINAL.search(stderr):
        return (
            "sudo requires a terminal there (requiretty), but commands here have none",
            f"write 'Defaults:{user} !requiretty' into a file in /etc/sudoers.d",
        )
    if _WRONG.search(stderr) and access.sudo_password is not None:
        return (
            f"sudo refuses the password in {access.sudo_password} for {user}",
            "put the right one there; the inventory's ssh.sudo_password is its reference",
        )
    if _WANTS_PASSWORD.search(stderr):
        return (
            f"sudo asks {user} for a password, but the inventory has none",
            "set its reference, ssh: {sudo_password: {env: VARIABLE}} or {file: PATH}, or let sudoers ask for none "
            f"(NOPASSWD){_THROUGH_SHELL}",
        )
    if _NO_SUDO.search(stderr):
        return "sudo is not installed on the node", "install it there, or name root as ssh.user"
    words = " ".join(stderr.split())[:300]
    return (
        f"sudo did not run the command for {user}: it says {words or 'nothing'}",
        "let an administrator of the node look at its sudo, or name another user",
    )
