"""The sockets that wait for packets, as the kernel lists them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.facts.host.ip import parse_listeners
from runbook_lib.facts.overlay.gossip import GOSSIP_PORT


def test_listening_ports_are_read_and_connections_to_other_ports_are_not(captured: Callable[[str], str]) -> None:
    found = {port: (address, inode) for address, port, inode in parse_listeners(captured("proc_net_tcp.txt"), "tcp")}
    assert found.keys() == {22, GOSSIP_PORT}
    assert found[22] == ("0.0.0.0", "403220")
    assert found[GOSSIP_PORT][0].startswith("192.168.")


def test_a_table_with_only_its_heading_has_no_listener(captured: Callable[[str], str]) -> None:
    heading = captured("proc_net_tcp.txt").splitlines()[0]
    assert parse_listeners(heading + "\n", "tcp") == ()


def test_a_socket_of_udp_waits_in_another_state(captured: Callable[[str], str]) -> None:
    assert parse_listeners(captured("proc_net_tcp.txt"), "udp") == ()


def test_an_engine_that_listens_everywhere_is_listed_with_the_address_of_all(captured: Callable[[str], str]) -> None:
    listeners = parse_listeners(captured("tcp6_swarm.txt"), "tcp")
    assert ("::", GOSSIP_PORT) in {(address, port) for address, port, _ in listeners}


@pytest.mark.parametrize("line", ["hello", "0: a 00000000:0000 0A 0 0 0 0 0 1"])
def test_a_line_that_is_no_socket_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a socket"):
        parse_listeners(f"sl local_address\n{line}\n", "tcp")


def test_a_list_of_sockets_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a list of sockets"):
        parse_listeners("cat: can't open '/proc/self/net/udp'", "udp")
