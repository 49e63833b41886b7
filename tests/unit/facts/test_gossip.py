from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.facts.gossip import GOSSIP_PORT, parse_listeners


def test_listening_ports_are_read_and_connections_to_other_ports_are_not(captured: Callable[[str], str]) -> None:
    assert parse_listeners(captured("proc_net_tcp.txt")) == {22, GOSSIP_PORT}


def test_a_table_with_only_its_heading_has_no_listener(captured: Callable[[str], str]) -> None:
    heading = captured("proc_net_tcp.txt").splitlines()[0]
    assert parse_listeners(heading + "\n") == frozenset()


def test_a_line_that_is_no_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="not a socket"):
        parse_listeners("heading\nhello\n")
