"""The last thing that an engine, or a member of the store, wrote into its log: what a wait that failed has to tell."""

from __future__ import annotations

from runbook_lib.cluster import Node
from runbook_lib.errors import DeadlineError, NodeError
from runbook_lib.facts.reading import read_sections

_LONGEST = 300

# boot2docker and the testbed write dockerd's log to a file; systemd hosts keep it in the journal.
_LOG_SCRIPT = """\
unit=$1
shift
if [ -d /run/systemd/system ]; then
    section log journalctl --unit "$unit" --lines 3 --output cat --no-pager --quiet
    exit 0
fi
for file in "$@"; do
    if [ -f "$file" ]; then
        section log tail -n 3 "$file"
        exit 0
    fi
done
"""
_ENGINE_LOGS = ("/var/lib/boot2docker/log/docker.log", "/var/lib/boot2docker/docker.log", "/var/log/docker.log")


def container_last_line(node: Node, container: str) -> str:
    """The last line of a container's log; where it cannot be read, why."""
    try:
        return last_line(node.engine.logs(container, tail=3))
    except (NodeError, DeadlineError) as error:
        return f"(it cannot be read: {error.message})"


def unit_last_line(node: Node, unit: str) -> str:
    """The last line of a systemd unit's log; where it cannot be read, why."""
    return _read(node, unit)


def engine_last_line(node: Node) -> str:
    """The last line of dockerd's log, from the journal or a boot2docker host's file; where it cannot be read, why."""
    return _read(node, "docker.service", *_ENGINE_LOGS)


def last_line(text: str) -> str:
    """The last line that is not empty, cut where it is very long; ``(it is empty)`` without one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "(it is empty)"
    return lines[-1] if len(lines[-1]) <= _LONGEST else f"{lines[-1][:_LONGEST]} …"


def _read(node: Node, unit: str, *files: str) -> str:
    try:
        sections = read_sections(node, _LOG_SCRIPT, unit, *files, sudo=True)
    except (NodeError, DeadlineError) as error:
        return f"(it cannot be read: {error.message})"
    if "log" not in sections:
        return "(nobody knows where it is)"
    return last_line(sections["log"].text)
