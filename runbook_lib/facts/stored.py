"""What a control plane keeps, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreKey:
    """One key with a value, by its path from ``/docker`` on; ``ttl`` is the seconds it has left, ``None`` for ever."""

    key: str
    value: str
    ttl: int | None = None


@dataclass(frozen=True)
class StoredEndpoint:
    """An endpoint of a network as the store has it; ``locator`` is the address of the node that it is on."""

    network_id: str
    endpoint_id: str
    name: str
    address: str
    mac: str
    locator: str
