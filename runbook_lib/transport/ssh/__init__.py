"""One SSH connection a node: commands, scripts and files. The only user of paramiko."""

from runbook_lib.transport.ssh.connection import CommandResult, SshConnection
from runbook_lib.transport.ssh.exchange import FAULTS
from runbook_lib.transport.ssh.known_hosts import fingerprint
from runbook_lib.transport.ssh.login import SOCKET_OPTIONS

__all__ = ["FAULTS", "SOCKET_OPTIONS", "CommandResult", "SshConnection", "fingerprint"]
