"""Which kinds of network device a node's kernel can make."""

from __future__ import annotations

import re

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import Section, read_sections

_SPEAKER = re.compile(r"^(Error|RTNETLINK answers|ip): ")

# In a network namespace of its own, so that the devices are gone when the command ends, however it ends.
_SCRIPT = """\
for kind in "$@"; do
    section "$kind" unshare --net sh -c "ip link add parent0 type veth peer name parent1 && ip link add link parent0 \
name probe0 type $kind"
done
"""


def read_link_types(node: Node, *kinds: str) -> dict[str, str]:
    """Why the kernel cannot make a device of each kind (``macvlan``, ``ipvlan``); an empty text where it can.

    A module that is needed for it is loaded by the kernel itself, as it would be for Docker.

    Raises:
        UnreachableError, NodeError: the node does not answer, or answers nonsense.
    """
    sections = read_sections(node, _SCRIPT, *kinds, sudo=True)
    return {kind: why_not(sections[kind]) for kind in kinds}


def why_not(section: Section) -> str:
    """The last line of what ``ip link add`` complained about, without who says it; empty when it did not."""
    if section.exit_status == 0:
        return ""
    lines = section.text.strip().splitlines()
    return _SPEAKER.sub("", lines[-1]) if lines else f"ip link add ended with {section.exit_status}"
