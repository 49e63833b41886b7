"""Host keys that machines offer, beside what known_hosts says of them, before anybody trusts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import paramiko

from runbook_lib.model.inventory import Inventory
from runbook_lib.transport.ssh.jump import offered_key
from runbook_lib.transport.ssh.known_hosts import fingerprint, record_key
from runbook_lib.transport.ssh.machine import Machine, machine_of_jump, machine_of_node


class Standing(Enum):
    """What known_hosts says of a machine and the key that it offers."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    DIFFERENT = "different"
    REVOKED = "revoked"


@dataclass(frozen=True)
class OfferedKey:
    """The host key that a machine offers: ``fingerprint`` is its SHA-256, ``expected`` those of the recorded keys."""

    machine: Machine
    key: paramiko.PKey
    standing: Standing
    expected: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Its type, such as ``ssh-ed25519``."""
        return fingerprint(self.key).split()[0]

    @property
    def fingerprint(self) -> str:
        """Its SHA-256 fingerprint, as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.key).split()[1]

    def record(self) -> None:
        """Add it to the machine's known_hosts file, which is made where there is none.

        Raises:
            ValueError: another key is recorded, or this one is revoked; neither is ever replaced.
            InputError: the file cannot be written.
        """
        if self.standing in (Standing.DIFFERENT, Standing.REVOKED):
            raise ValueError(f"the key of {self.machine.address} is {self.standing.value}")
        hop = self.machine.hop
        if self.standing is Standing.UNKNOWN:
            record_key(hop.known_hosts, hop.host, hop.port, self.key)


def machines_by_depth(inventory: Inventory) -> Iterator[list[Machine]]:
    """Every machine of an inventory once, jump hosts before what is behind them: first those reached from here.

    Two nodes at the same host and port are one machine, if they have the same known_hosts file and way there.
    """
    machines: dict[tuple[object, ...], Machine] = {}
    for node in inventory.nodes:
        jumps = [machine_of_jump(node.ssh.jump[: end + 1]) for end in range(len(node.ssh.jump))]
        for machine in (*jumps, machine_of_node(node)):
            hop = machine.hop
            machines.setdefault((hop.host, hop.port, hop.known_hosts, machine.jump), machine)
    depth = 0
    while level := [machine for machine in machines.values() if len(machine.jump) == depth]:
        yield level
        depth += 1


def ask_for_key(machine: Machine, seconds: float) -> OfferedKey:
    """The key that a machine offers now. Its jump hosts are logged in on, the machine itself is not.

    Raises:
        UnreachableError: it does not answer, or a jump host lets nobody through.
        HostKeyError: the key of a jump host is not known yet, or not the right one.
        InputError: known_hosts cannot be read; or as a login on a jump host.
    """
    key, known = offered_key(machine, seconds)
    return OfferedKey(machine, key, _standing(key, known.trusted, known.revokes(key)), _fingerprints(known.trusted))


def _standing(key: paramiko.PKey, trusted: Sequence[paramiko.PKey], revoked: bool) -> Standing:
    if revoked:
        return Standing.REVOKED
    if key.asbytes() in {one.asbytes() for one in trusted}:
        return Standing.KNOWN
    return Standing.DIFFERENT if trusted else Standing.UNKNOWN


def _fingerprints(keys: Sequence[paramiko.PKey]) -> tuple[str, ...]:
    return tuple(fingerprint(key) for key in keys)
