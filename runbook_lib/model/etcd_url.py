"""The URL of an engine's cluster store, such as ``etcd://10.1.1.1:2379,10.1.1.2:2379/prefix``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_URL = re.compile(r"etcd://([^/\s]+)(/\S*)?")


@dataclass(frozen=True)
class EtcdUrl:
    """The ``members`` of a store as the URL names them, and the ``prefix`` of the keys in it."""

    members: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        """Host and port of each member; ``None`` where the URL names no port."""
        parts = [member.rpartition(":") if ":" in member else (member, "", "") for member in self.members]
        return tuple((host, int(port) if port.isdecimal() else None) for host, _, port in parts if host)


def parse_etcd_url(url: str) -> EtcdUrl:
    """The members and the prefix in an engine's ``--cluster-store``; no members when that is not an etcd URL."""
    match = _URL.fullmatch(url)
    return (
        EtcdUrl() if match is None else EtcdUrl(tuple(filter(None, match[1].split(","))), (match[2] or "").strip("/"))
    )
