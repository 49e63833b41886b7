"""The readiness stages of a booting node (process, address, SSH, engine, boot finished), and its logs.

The logs are files on a boot2docker node, and the journal on a Debian one.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runbook_lib.errors import TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import ENGINE_PORT, Layout, NodeLayout
from runbook_lib.testbed.node import node as nodes

_LINES = 15
_JOURNAL_TIMEOUT = 10


class Log(Protocol):
    """A log; ``str`` gives its location."""

    def tail(self) -> str:
        """Its last lines, or the reason in brackets."""


@dataclass(frozen=True)
class FileLog:
    """A text file."""

    path: Path

    def tail(self) -> str:
        """Its last lines."""
        return host.tail_of(self.path, _LINES)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class JournalLog:
    """The journal on a node's disk, read with the host's journalctl; of one unit, or all."""

    folder: Path
    unit: str = ""

    @property
    def command(self) -> list[str]:
        """The command that shows the whole log."""
        return ["journalctl", f"--directory={self.folder}", *([f"--unit={self.unit}"] if self.unit else [])]

    def tail(self) -> str:
        """The last lines of the last boot."""
        options = ["--boot", f"--lines={_LINES}", "--no-pager", "--quiet", "--output=short-monotonic"]
        try:
            done = host.run([*self.command, *options], timeout=_JOURNAL_TIMEOUT, check=False)
        except TestbedError as error:
            return f"({error.message})"
        return host.tail(done.stdout or done.stderr, _LINES) or "(the log is empty)"

    def __str__(self) -> str:
        return f"'{' '.join(self.command)}'"


def console_log(node: NodeLayout) -> Log:
    """The output of the supervisor and the container's console."""
    return FileLog(node.console_log)


def boot_log(node: NodeLayout) -> Log:
    """The log of the node's boot."""
    return JournalLog(node.journal) if node.boots_systemd else FileLog(node.boot_log)


def docker_log(node: NodeLayout) -> Log:
    """The log of the node's dockerd."""
    return JournalLog(node.journal, "docker.service") if node.boots_systemd else FileLog(node.docker_log)


# dockerd alone takes over a minute if no host has an address of its store.
TIMEOUT = 120.0
_POLL = 0.02
_PROBE_TIMEOUT = 2.0
_NEVER = threading.Event()


@dataclass(frozen=True)
class ReadinessStage:
    """One stage of a boot: its name, whether it is reached, and the log that shows why it is not."""

    name: str
    reached: Callable[[], bool]
    log: Log


def readiness_stages(layout: Layout, node: NodeLayout) -> tuple[ReadinessStage, ...]:
    """The stages of one node's boot, in order."""
    tls = client_context(layout.certificates)
    console, boot, docker = console_log(node), boot_log(node), docker_log(node)
    return (
        ReadinessStage("process", lambda: nodes.init(node) is not None, console),
        ReadinessStage("address", lambda: bool(nodes.cluster_addresses(layout, node)), boot),
        ReadinessStage("SSH banner", lambda: has_ssh_banner(node.management_address), boot),
        ReadinessStage("Docker /_ping", lambda: engine_answers(node.management_address, tls), docker),
        ReadinessStage("boot finished", lambda: boot_finished(node), boot),
    )


def wait_until_ready(
    layout: Layout,
    node: NodeLayout,
    supervisor: Process,
    *,
    upto: str = "boot finished",
    timeout: float = TIMEOUT,
    abandoned: threading.Event | None = None,
) -> None:
    """Wait until a node has reached the last stage, or the one named ``upto``.

    Raises:
        TestbedError: the node ended, the wait was ``abandoned``, or a stage was not reached within
            ``timeout`` seconds of the beginning; ``readiness_stage`` names it, ``log_tail`` is the end of its log.
    """
    begun = time.monotonic()
    for stage in readiness_stages(layout, node):
        while not stage.reached():
            waited = time.monotonic() - begun
            if not supervisor.alive:
                raise _failure(node, stage, f"the node ended {waited:.1f} s after its start", console_log(node))
            if waited > timeout:
                raise _failure(node, stage, f"not reached {waited:.0f} s after the node's start", stage.log)
            if (abandoned or _NEVER).wait(_POLL):
                raise _failure(node, stage, f"given up {waited:.1f} s after its start", stage.log)
        if stage.name == upto:
            return


def _failure(node: NodeLayout, stage: ReadinessStage, what: str, log: Log) -> TestbedError:
    cut = any((node.folder / f"cut.{kind}").exists() for kind in ("cluster", "management"))
    return TestbedError(
        f"stage '{stage.name}': {what}; the end of {log}:",
        place=node.name,
        readiness_stage=stage.name,
        log_tail=log.tail(),
        remedy=f"a cable of it is pulled: {command_on_testbed(f'restore {node.name}', node.testbed)}" if cut else "",
    )


def has_ssh_banner(address: str) -> bool:
    """Whether an SSH server sends its banner at the address."""
    try:
        with socket.create_connection((address, 22), _PROBE_TIMEOUT) as connection:
            connection.settimeout(_PROBE_TIMEOUT)
            return connection.recv(16).startswith(b"SSH-")
    except OSError:
        return False


def client_context(certificates: Path) -> ssl.SSLContext:
    """TLS with the testbed's authority and client certificate, without the machine's own trusted authorities."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return context


def engine_answers(address: str, context: ssl.SSLContext) -> bool:
    """Whether the Docker engine at the address answers ``/_ping`` over TLS."""
    connection = http.client.HTTPSConnection(address, ENGINE_PORT, timeout=_PROBE_TIMEOUT, context=context)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def boot_finished(node: NodeLayout) -> bool:
    """Whether the node's boot script, or systemd's default target, has finished."""
    try:
        return node.boot_status.read_text().strip() == "finished"
    except OSError:
        return False
