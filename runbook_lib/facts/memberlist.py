"""What an engine's gossip says: the answer to a push/pull request, in which members tell each other whom they know.

The engines' gossip (serf, on hashicorp/memberlist) exchanges its whole state over TCP: a byte for the kind of message,
a header with the number of members, then the members, all in MessagePack; mostly inside a compressed message (LZW).
A request that announces no member is answered all the same and changes nothing: that is ``REQUEST``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PUSH_PULL, COMPRESSED = 6, 9
REQUEST = bytes([PUSH_PULL]) + b"\x83\xa5Nodes\x00\xacUserStateLen\x00\xa4Join\xc2"

_CLEAR, _END = 256, 257
_FIRST_WIDTH, _WIDEST = 9, 12
_ALIVE = (0, 1)  # alive, and suspected to be dead but not found so yet


@dataclass(frozen=True)
class Member:
    """A member of the gossip as another one knows it."""

    name: str
    address: str
    alive: bool


def parse_members(message: bytes) -> tuple[Member, ...]:
    """The members in an answer to ``REQUEST``.

    Raises:
        ValueError: not such an answer.
    """
    kind, body = message[:1], message[1:]
    if kind == bytes([COMPRESSED]):
        wrapped = _Reader(body).mapping()
        return parse_members(decompress(wrapped["Buf"]))
    if kind != bytes([PUSH_PULL]):
        raise ValueError(f"no push/pull message: {message[:16].hex(' ') or 'nothing'}")
    reader = _Reader(body)
    count = reader.mapping()["Nodes"]
    return tuple(_member(reader.mapping()) for _ in range(count))


def _member(data: Mapping[str, Any]) -> Member:
    # an IPv4 address may be mapped into IPv6
    address = ".".join(str(byte) for byte in data["Addr"][-4:])
    return Member(data["Name"].decode(), address, data["State"] in _ALIVE)


def decompress(data: bytes) -> bytes:
    """LZW as Go's ``compress/lzw`` writes it: least significant bit first, literals of 8 bits.

    Raises:
        ValueError: a code that cannot be.
    """
    result = bytearray()
    table: dict[int, bytes] = {}
    last: bytes | None = None
    width, following, bits, count = _FIRST_WIDTH, _END, 0, 0
    for byte in data:
        bits |= byte << count
        count += 8
        if count < width:
            continue
        code = bits & ((1 << width) - 1)
        bits >>= width
        count -= width
        if code == _END:
            return bytes(result)
        if code == _CLEAR:
            table, last, width, following = {}, None, _FIRST_WIDTH, _END
            continue
        entry = _entry(code, table, last, following)
        if last is not None:
            table[following] = last + entry[:1]
        result += entry
        last, following = entry, following + 1
        if following == 1 << width and width < _WIDEST:
            width += 1
        elif following == 1 << width:
            last, following = None, following - 1
    raise ValueError("compressed text without an end")


def _entry(code: int, table: Mapping[int, bytes], last: bytes | None, following: int) -> bytes:
    if code < _CLEAR:
        return bytes([code])
    if code in table:
        return table[code]
    if code == following and last is not None:
        return last + last[:1]
    raise ValueError(f"compressed text with the impossible code {code}")


# MessagePack's type byte: how its number, or the length of its bytes, is packed.
_NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """Reads MessagePack values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def mapping(self) -> dict[str, Any]:
        """The next value, which must be a short mapping from names to values."""
        kind = self._take(1)[0]
        if kind & 0xF0 != 0x80:
            raise ValueError(f"no mapping where one must be: type {kind:#x}")
        return {self._value().decode(): self._value() for _ in range(kind & 0x0F)}

    def _value(self) -> Any:
        kind = self._take(1)[0]
        if kind < 0x80:
            return kind
        if 0xA0 <= kind < 0xC0:
            return self._take(kind & 0x1F)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind in _BYTES:
            return self._take(self._number(_BYTES[kind]))
        if 0x90 <= kind < 0xA0:
            return [self._value() for _ in range(kind & 0x0F)]
        raise ValueError(f"a value of the unexpected type {kind:#x}")

    def _number(self, packed: str) -> int:
        return int(struct.unpack(packed, self._take(struct.calcsize(packed)))[0])

    def _take(self, count: int) -> bytes:
        if self._place + count > len(self._data):
            raise ValueError("the message was cut off")
        self._place += count
        return self._data[self._place - count : self._place]
