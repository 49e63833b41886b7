"""What must be hidden of one run: every secret that its parameters and its nodes' logins lead to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.loading import Run
from runbook_lib.model.secrets import SecretReference
from runbook_lib.redact import SHORTEST_SECRET, Redactor

SSH_KEY = "ssh-key"
SSH_PASSPHRASE = "ssh-passphrase"
SSH_PASSWORD = "ssh-password"
SUDO_PASSWORD = "sudo-password"
TLS_KEY = "tls-key"
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


def redactor_for(run: Run) -> Redactor:
    """What keeps a run's secrets out of everything that is shown and written.

    It knows the declared secrets by their names, the passphrases of SSH keys, the passwords of logins and of sudo, and
    the text of every private key of the inventory, whole and line by line.

    Raises:
        InputError: a secret that cannot be found, or a key that cannot be read.
    """
    redactor = Redactor()
    for name, reference in run.parameters.secrets.items():
        redactor.add(name, reference.resolve(f"secrets.{name}"))
    keys: dict[str, str] = {}
    for node in run.inventory.nodes:
        for name, reference, place in _login_secrets(node):
            redactor.add(name, reference.resolve(f"{node.name}: {place}"))
        keys |= {hop.key_file: SSH_KEY for hop in (node.ssh, *node.ssh.jump) if hop.key_file is not None}
        if node.docker.key is not None:
            keys.setdefault(node.docker.key, TLS_KEY)
    if run.inventory.swarm_manager is not None:
        keys.setdefault(run.inventory.swarm_manager.key, TLS_KEY)
    for path, name in keys.items():
        for text in _telling_parts(path):
            redactor.add(name, text)
    return redactor


def _login_secrets(node: NodeSpec) -> Iterator[tuple[str, SecretReference, str]]:
    """Name, reference and place of what logs in on a node and on the way to it."""
    if node.ssh.sudo_password is not None:
        yield SUDO_PASSWORD, node.ssh.sudo_password, "ssh.sudo_password"
    for hop in (node.ssh, *node.ssh.jump):
        if hop.passphrase is not None:
            yield SSH_PASSPHRASE, hop.passphrase, "ssh.passphrase"
        if hop.password is not None:
            yield SSH_PASSWORD, hop.password, "ssh.password"


def _telling_parts(path: str) -> Iterator[str]:
    """The text of a private key, and each line of it that could give it away by itself."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"the private key {path} cannot be read ({error.strerror})", remedy="name the right key file"
        ) from error
    if len(text.strip()) >= SHORTEST_SECRET:
        yield text.strip()
    yield from filter(_KEY_LINE.fullmatch, map(str.strip, text.splitlines()))
