"""One SSH connection a node: commands, scripts and files. The only user of paramiko."""

from runbook_lib.transport.ssh.connection import CommandResult, SshConnection
from runbook_lib.transport.ssh.known_hosts import fingerprint

__all__ = ["CommandResult", "SshConnection", "fingerprint"]
