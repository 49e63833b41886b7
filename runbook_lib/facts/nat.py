"""Rules that rewrite addresses, as ``iptables -t nat -S`` lists them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import CommandError
from runbook_lib.facts.reading import read_sections, reading

_ACTIONS = {"DNAT": "--to-destination", "SNAT": "--to-source", "MASQUERADE": "--to-ports"}


@dataclass(frozen=True)
class NatRule:
    """One rule that rewrites addresses.

    ``action`` is ``DNAT``, ``SNAT`` or ``MASQUERADE``; ``source`` and ``destination`` are CIDR, empty for any; a port
    is ``None`` for any. ``out`` is the interface through which the packet leaves, with ``!`` before it for any other.
    ``becomes`` is what is put in (``127.0.0.11:50864``, ``:53``), empty for ``MASQUERADE``.
    """

    chain: str
    action: str
    protocol: str
    source: str
    destination: str
    source_port: int | None
    destination_port: int | None
    out: str
    becomes: str


# The rules are with whichever iptables Docker was started with: it is the one that knows Docker's chain.
_SCRIPT = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
rules() {
    for tool in iptables iptables-legacy iptables-nft; do
        listed=$("$tool" -t nat -S) || continue
        case $listed in *'-N DOCKER'*) break ;; esac
    done
    printf '%s\\n' "$listed"
    [ -n "$listed" ]
}
section rules rules 2>/dev/null
"""


def read_nat_rules(node: Node) -> tuple[NatRule, ...]:
    """The rules of a node that rewrite addresses. Needs root over SSH.

    Raises:
        UnreachableError: the node cannot be reached.
        CommandError: it has no iptables, or does not let it be asked.
    """
    section = read_sections(node, _SCRIPT, sudo=True)["rules"]
    if section.exit_status != 0:
        raise CommandError(node.name, ("iptables", "-t", "nat", "-S"), exit_status=section.exit_status)
    with reading(node.name, "rules of iptables"):
        return parse_nat_rules(section.text)


def parse_nat_rules(text: str) -> tuple[NatRule, ...]:
    """The rules in the output of ``iptables -t nat -S`` that rewrite addresses; what only jumps is left out.

    Raises:
        ValueError: other text.
    """
    rules = []
    for line in text.splitlines():
        words = shlex.split(line)
        if not words or words[0] in ("-P", "-N") or line.startswith("#"):
            continue
        if words[0] != "-A" or len(words) < 2:
            raise ValueError(f"not a rule of iptables: {line!r}")
        action = _after(words, "-j")
        if action not in _ACTIONS:
            continue
        rules.append(
            NatRule(
                chain=words[1],
                action=action,
                protocol=_after(words, "-p"),
                source=_after(words, "-s"),
                destination=_after(words, "-d"),
                source_port=_port(_after(words, "--sport")),
                destination_port=_port(_after(words, "--dport")),
                out=_after(words, "-o"),
                becomes=_after(words, _ACTIONS[action]),
            )
        )
    return tuple(rules)


def _after(words: Sequence[str], key: str) -> str:
    if key not in words[:-1]:
        return ""
    place = words.index(key)
    negated = "!" if place > 0 and words[place - 1] == "!" else ""
    return f"{negated}{words[place + 1]}"


def _port(text: str) -> int | None:
    return int(text) if text.isdigit() else None
