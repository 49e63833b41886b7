"""Runs one prober in the network namespace of each container: one SSH command per node, all nodes at once.

Three methods, the best that a node allows:

- ``perl``: one Perl process a container sends everything itself. As root over SSH, where the node has Perl.
- ``ping``: one ``ping`` process a pair, started together, and busybox's ``nc`` for connections. As root over SSH, where
  it has none (boot2docker).
- ``exec``: the same with the container's own tools, through one ``docker exec`` a container; needs no SSH at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import CommandError, RunbookError
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.model.parameters import Probes
from runbook_lib.verify.probe import FullSize

Method = Literal["auto", "perl", "ping", "exec"]

# kinds of lines, with the least number of fields that they have
_FACTS = {"size": 3, "tcp": 3, "listen": 1, "error": 2, "end": 1}
# Where the probers listen for each other: below the ports that kernels hand out by themselves.
_PORTS = (20000, 29999)

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
# iputils: "… icmp_seq=1 ttl=64 time=0.301 ms"; busybox counts from 0: "… seq=0 ttl=64 time=0.088 ms"
_REPLY = re.compile(r"seq=(\d+).* time=([\d.]+) ms")
_SENT = re.compile(r"(\d+) packets transmitted")


@dataclass(frozen=True)
class Echoes:
    """The echo requests to one address: the time of each in milliseconds, ``None`` for one that was lost."""

    address: str
    times: tuple[float | None, ...]
    trouble: str = ""
    shared: bool = False


@dataclass
class Reading:
    """What the prober of one container found. ``answers`` maps a name to its address or the reason why it has none.

    ``sizes`` and ``connections`` are by target; a connection's text is ``passed`` or what became of it. ``listens``
    tells whether other probers could connect to this one.
    """

    answers: dict[str, str] = field(default_factory=dict)
    echoes: dict[tuple[str, str], Echoes] = field(default_factory=dict)
    sizes: dict[str, FullSize] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)
    listens: bool = False
    complete: bool = False
    error: str = ""


def program(name: str) -> str:
    """The text of a script that runs on a node."""
    return resources.files("runbook_lib.verify").joinpath("files", name).read_text(encoding="utf-8")


def shell_prober() -> str:
    """The text of the prober that needs no perl."""
    return program("callers.sh") + program("prober.sh")


def run_probers(
    cluster: Cluster,
    sources: Sequence[ContainerFacts],
    targets: Mapping[str, str],
    probes: Probes,
    by: Sequence[str],
    method: Method = "auto",
    *,
    carry: bool = False,
) -> dict[str, Reading]:
    """Probe all targets (name to address, which may be empty) from every source; one ``Reading`` a source.

    With ``carry`` each target that answers also gets a packet of full size and a TCP connection. A node or namespace
    that fails leaves its error in the readings of its sources.
    """
    arguments = (
        str(probes.count),
        f"{probes.timeout_seconds:g}",
        ",".join(by),
        str(random.randint(*_PORTS)) if carry else "0",
        *(f"{name}={address}" for name, address in targets.items()),
    )
    local: dict[str, list[ContainerFacts]] = {}
    for source in sources:
        local.setdefault(source.node, []).append(source)
    limit = 30 + 3 * (probes.count + 1) * probes.timeout_seconds * (1 + len(targets) // 6)

    def ask(node: Node) -> dict[str, Reading]:
        if method == "exec":
            return _by_exec(node, local[node.name], arguments)
        return _over_ssh(node, local[node.name], arguments, method, limit)

    outcomes = cluster.each(ask, nodes=[cluster.node(name) for name in local])
    readings: dict[str, Reading] = {}
    for outcome in outcomes:
        readings |= _of_node(outcome, local[outcome.node])
    return readings


def _of_node(outcome: Outcome[dict[str, Reading]], sources: Sequence[ContainerFacts]) -> dict[str, Reading]:
    if outcome.error is not None:
        return {source.name: Reading(error=outcome.error.message) for source in sources}
    found = outcome.value or {}
    return {source.name: found.get(source.name, Reading()) for source in sources}


def _over_ssh(
    node: Node, sources: Sequence[ContainerFacts], arguments: Sequence[str], method: Method, limit: float
) -> dict[str, Reading]:
    pids = "\n".join(f"{source.name} {source.pid}" for source in sources)
    result = node.ssh.script(
        program("node.sh"),
        method,
        program("prober.pl"),
        shell_prober(),
        pids,
        *arguments,
        sudo=True,
        check=False,
        timeout=limit,
    )
    if result.stdout.startswith("prober\t"):
        return parse_readings(result.stdout, int(arguments[0]))
    if method == "auto":  # no root over SSH, or no nsenter: the containers' own tools remain
        return _by_exec(node, sources, arguments)
    raise CommandError(
        node.name,
        ("nsenter",),
        exit_status=result.exit_status,
        stdout=result.stdout,
        stderr=result.stderr,
        destination=node.ssh.destination,
    )


def _by_exec(node: Node, sources: Sequence[ContainerFacts], arguments: Sequence[str]) -> dict[str, Reading]:
    def probe(source: ContainerFacts) -> Reading:
        try:
            status, output = node.engine.execute(source.id, ["sh", "-c", shell_prober(), "sh", source.name, *arguments])
        except RunbookError as error:
            return Reading(error=error.message)
        reading = parse_readings(output, int(arguments[0])).get(source.name, Reading())
        if not reading.complete:
            reading.error = f"exit status {status}: {output.strip()[-200:]}"
        return reading

    with ThreadPoolExecutor(max_workers=max(1, len(sources)), thread_name_prefix=f"exec-{node.name}") as pool:
        return dict(zip((source.name for source in sources), pool.map(probe, sources), strict=True))


def parse_readings(text: str, count: int) -> dict[str, Reading]:
    """What the probers printed, by source (the formats are described in prober.pl and prober.sh).

    Lines that are none of theirs are left out. A source whose ``end`` line is missing is not ``complete``.
    """
    readings: dict[str, Reading] = {}
    times: dict[tuple[str, str, str, str], list[float | None]] = {}
    troubles: dict[tuple[str, str, str, str], str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        kind, *fields = line.split("\t")
        if kind == "dns" and len(fields) == 3:
            readings.setdefault(fields[0], Reading()).answers[fields[1]] = fields[2]
        elif kind == "echo" and len(fields) >= 6:
            source, target, by, address, _, time = fields[:6]
            key = (source, target, by, address)
            times.setdefault(key, []).append(None if time == "-" else float(time))
            if len(fields) > 6:
                troubles[key] = fields[6]
        elif kind == "ping" and len(fields) == 4:
            _add_ping(readings.setdefault(fields[0], Reading()), fields, lines, count)
        elif kind in _FACTS and len(fields) >= _FACTS[kind]:
            _add_fact(readings.setdefault(fields[0], Reading()), kind, fields)
    for (source, target, by, address), values in times.items():
        trouble = troubles.get((source, target, by, address), "")
        readings.setdefault(source, Reading()).echoes[target, by] = Echoes(address, tuple(values), trouble)
    return readings


def _add_fact(reading: Reading, kind: str, fields: Sequence[str]) -> None:
    match kind:
        case "size":
            reading.sizes[fields[1]] = _full_size(fields[2:])
        case "tcp":
            reading.connections[fields[1]] = fields[2]
        case "listen":
            reading.listens = True
        case "error":
            reading.error = fields[1]
        case "end":
            reading.complete = True


def _full_size(fields: Sequence[str]) -> FullSize:
    if len(fields) < 4:
        return FullSize(doubt=fields[0])
    wanted, largest, sent, answered = map(int, fields[:4])
    return FullSize(wanted, largest, sent, answered, *fields[4:5])


def _add_ping(reading: Reading, fields: Sequence[str], lines: Iterator[str], count: int) -> None:
    _, target, ways, address = fields
    text: list[str] = []
    for line in lines:
        if line == "pong":
            break
        text.append(line)
    times, trouble = parse_ping("\n".join(text), count)
    for way in ways.split(","):
        reading.echoes[target, way] = Echoes(address, times, trouble, shared="," in ways)


def parse_ping(text: str, count: int) -> tuple[tuple[float | None, ...], str]:
    """The time of each probe from the output of iputils' or busybox's ``ping``, and what went wrong at sending.

    Duplicates and answers beyond ``count`` are left out. Nothing sent gives no times, and ping's own words.
    """
    sent = _SENT.search(text)
    if sent is None:
        return (), text.strip().splitlines()[-1] if text.strip() else "ping printed nothing"
    first = 1 if "icmp_seq=" in text else 0
    times: list[float | None] = [None] * min(count, int(sent[1]))
    for sequence, time in _REPLY.findall(text):
        place = int(sequence) - first
        if 0 <= place < len(times) and times[place] is None:
            times[place] = float(time)
    refusals = [line for line in text.splitlines() if "nreachable" in line]
    return tuple(times), refusals[0].strip() if refusals and all(time is None for time in times) else ""


def is_address(answer: str) -> bool:
    """True for an IPv4 address, false for a reason why there is none."""
    return _ADDRESS.fullmatch(answer) is not None
