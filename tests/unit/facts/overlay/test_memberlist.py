from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.facts.overlay.gossip import PUSH_PULL, REQUEST, Member, decompress, parse_members


@pytest.fixture
def answer(captured: Callable[[str], str]) -> bytes:
    """What an engine answered, as od shows it."""
    return bytes.fromhex(captured("gossip_four_members.txt"))


def plain(answer: bytes) -> bytes:
    """The same message without its compressed wrapping, whose header is a fixed number of bytes."""
    return decompress(answer[answer.index(b"Buf") + 6 :])


def test_the_members_that_an_engine_knows_are_read_with_their_addresses(answer: bytes) -> None:
    assert sorted(parse_members(answer), key=lambda member: member.name) == [
        Member(f"node{number}", f"192.168.83.{103 + number}", alive=True) for number in (1, 2, 3, 4)
    ]


def test_an_engine_on_an_island_knows_only_the_island(captured: Callable[[str], str]) -> None:
    members = parse_members(bytes.fromhex(captured("gossip_island.txt")))
    assert {member.name for member in members} == {"node1", "node2"}


def test_an_answer_need_not_be_compressed(answer: bytes) -> None:
    assert plain(answer)[0] == PUSH_PULL
    assert parse_members(plain(answer)) == parse_members(answer)


def test_a_member_that_died_is_not_alive(answer: bytes) -> None:
    dead = plain(answer).replace(b"\xa5State\x00", b"\xa5State\x02")
    assert [member.alive for member in parse_members(dead)] == [False] * 4


def test_the_request_announces_nobody() -> None:
    assert parse_members(REQUEST) == ()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        pytest.param(b"", "not a push/pull message: empty", id="nothing"),
        pytest.param(b"HTTP/1.1 400 Bad Request", "not a push/pull message: 48 54 54 50", id="another protocol"),
        pytest.param(REQUEST[:-4], "cut off", id="cut off"),
        pytest.param(b"\x06\xc0", "not a MessagePack map: None", id="no header"),
    ],
)
def test_what_is_no_answer_is_refused(message: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_members(message)


def test_a_compressed_answer_that_was_cut_off_is_refused(answer: bytes) -> None:
    start = answer.index(b"Buf") + 6
    with pytest.raises(ValueError, match="without an end"):
        decompress(answer[start:-20])
    with pytest.raises(ValueError, match="impossible code"):
        decompress(b"\xff\xff\xff\xff")
