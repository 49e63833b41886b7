"""One SSH connection per node: commands, scripts, files. The only user of paramiko."""

from runbook_lib.transport.ssh.channel import ChannelSocket
from runbook_lib.transport.ssh.connection import CommandResult, SshConnection
from runbook_lib.transport.ssh.known_hosts import fingerprint
from runbook_lib.transport.ssh.login import SOCKET_OPTIONS
from runbook_lib.transport.ssh.route import OfferedKey, TrustState, ask_for_key, machines_by_depth
from runbook_lib.transport.ssh.shell import without_marks

__all__ = [
    "SOCKET_OPTIONS",
    "ChannelSocket",
    "CommandResult",
    "OfferedKey",
    "SshConnection",
    "TrustState",
    "ask_for_key",
    "fingerprint",
    "machines_by_depth",
    "without_marks",
]
