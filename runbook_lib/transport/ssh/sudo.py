"""Commands as root: sudo without a password, or with one that it reads from its standard input."""

from __future__ import annotations

import re
import shlex

from runbook_lib.model.inventory import SshAccess

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
    """Why sudo, which said this, did not run a command, and the remedy. Words that nobody knows are told as such."""
    user = access.user
    if _NO_RIGHT.search(stderr):
        return (
            f"{user} has no right to become root there: sudo says so",
            f"let an administrator of the node add {user} to its sudoers{_THROUGH_SHELL}, or name another user",
        )
    if _WANTS_TERMINAL.search(stderr):
        return (
            "sudo wants a terminal there (requiretty), and commands here have none",
            f"write 'Defaults:{user} !requiretty' into a file in /etc/sudoers.d",
        )
    if _WRONG.search(stderr) and access.sudo_password is not None:
        return (
            f"sudo refuses the password in {access.sudo_password} for {user}",
            "put the right one there; ssh.sudo_password of the inventory says where it is looked for",
        )
    if _WANTS_PASSWORD.search(stderr):
        return (
            f"sudo asks {user} for a password, and the inventory names none",
            "say where it is found, ssh: {sudo_password: {env: VARIABLE}} or {file: PATH}, or let sudoers ask for none "
            f"(NOPASSWD){_THROUGH_SHELL}",
        )
    if _NO_SUDO.search(stderr):
        return "there is no sudo on the node", "install it there, or name root as ssh.user"
    words = " ".join(stderr.split())[:300]
    return (
        f"sudo did not run the command for {user}: it says {words or 'nothing'}",
        "let an administrator of the node look at its sudo, or name another user",
    )
