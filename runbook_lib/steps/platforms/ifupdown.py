"""ifupdown: a marked block in the place of the interface's stanza, which it keeps as comments.

A file of our own in ``interfaces.d`` would not do: ifupdown adds stanzas of one interface up, so the present one has to
go, and so both are one change of one file.
"""

from __future__ import annotations

import re
from typing import ClassVar

from runbook_lib.facts.host.network_files import INTERFACES, HostFile, find_stanza
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.platforms.base import PlatformRefusal, Wanted
from runbook_lib.steps.platforms.blocks import find_block
from runbook_lib.steps.platforms.systemd_host import SystemdPlatform

_BLOCK = "static-address"
_WAS = "# was: "
_KEPT = frozenset({"pre-up", "up", "post-up", "down", "pre-down", "post-down", "mtu", "metric", "description"})


class Ifupdown(SystemdPlatform):
    """Hosts whose cluster interface is in ``/etc/network/interfaces``."""

    name: ClassVar[PlatformName] = "ifupdown"
    ours = "our block for ifupdown"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our block is in one of the files. Raises ``RunbookError`` for unmatched markers."""
        return _file_of_ours(host) is not None

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """The file with the stanza, this replaced by the block."""
        file = _file_of_ours(host)
        file = host.file(host.source) if file is None else file.with_text(_without_block(file.text or ""))
        text = file.text or ""
        stanza = find_stanza(text, host.interface)
        if stanza is None:
            raise PlatformRefusal(f"{file.path} has no inet stanza of {host.interface}", remedy="write one")
        lines = text.split("\n")
        kept = [f"    {word} {rest}" for word, rest in stanza.options if word in _KEPT or word.startswith("dns-")]
        block = [
            f"# >>> overlay-runbook {_BLOCK} >>>",
            f"# {wanted.interface} has a fixed address. To undo, delete these lines but for what was.",
            *(f"{_WAS}{line}" for line in lines[stanza.first : stanza.last + 1]),
            f"iface {wanted.interface} inet static",
            f"    address {wanted.cidr}",
            *([f"    gateway {wanted.gateway}"] if wanted.gateway else []),
            *kept,
            f"# <<< overlay-runbook {_BLOCK} <<<",
        ]
        return (file.with_text("\n".join([*lines[: stanza.first], *block, *lines[stanza.last + 1 :]])),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """The file with the stanza that was there."""
        file = _file_of_ours(host)
        return () if file is None else (file.with_text(_without_block(file.text or "")),)


def _file_of_ours(host: HostNetwork) -> HostFile | None:
    for file in host.files:
        if file.path.startswith(INTERFACES) and find_block(file.text, _BLOCK) is not None:
            return file
    return None


def _without_block(text: str) -> str:
    """The text with the stanza that the block keeps in its place. Raises ``RunbookError`` for unmatched markers."""
    body = find_block(text, _BLOCK) or ""
    was = [line.removeprefix(_WAS) for line in body.split("\n") if line.startswith(_WAS)]
    marked = rf"# >>> overlay-runbook {_BLOCK} >>>\n{re.escape(body)}# <<< overlay-runbook {_BLOCK} <<<"
    return re.sub(marked, lambda _: "\n".join(was), text, count=1)
