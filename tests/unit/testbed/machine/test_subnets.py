from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.testbed.machine.network import (
    Claim,
    choose_cluster,
    choose_management,
    collision,
    parse_addresses,
    parse_routes,
    parse_subnet,
)

CAPTURED = Path(__file__).parents[1] / "captured"


@pytest.fixture
def claims() -> list[Claim]:
    addresses = parse_addresses((CAPTURED / "ip_addresses.json").read_text())
    return addresses + parse_routes((CAPTURED / "ip_routes.json").read_text())


def test_a_free_subnet_is_taken(claims: list[Claim]) -> None:
    assert choose_cluster("192.168.77.0/24", claims) == IPv4Network("192.168.77.0/24")


def test_a_subnet_that_holds_an_address_of_the_host_is_refused_with_the_interface(claims: list[Claim]) -> None:
    with pytest.raises(InputError, match=r"192\.168\.99\.0/24 is in use.*address 192\.168\.99\.1 of interface pc"):
        choose_cluster(None, claims)


def test_a_subnet_that_a_route_crosses_is_refused_with_the_interface() -> None:
    routes = parse_routes('[{"dst": "192.168.64.0/18", "dev": "vpn0"}, {"dst": "default", "dev": "eth0"}]')
    with pytest.raises(InputError, match=r"route to 192\.168\.64\.0/18 by interface vpn0"):
        choose_cluster("192.168.99.0/24", routes)


def test_the_default_route_is_no_collision() -> None:
    assert parse_routes('[{"dst": "default", "dev": "eth0"}]') == []


def test_auto_chooses_a_subnet_that_nobody_uses(claims: list[Claim]) -> None:
    chosen = choose_cluster("auto", claims)
    assert chosen == IPv4Network("192.168.98.0/24")
    assert collision(chosen, claims) is None


def test_the_management_subnet_avoids_those_of_other_testbeds(claims: list[Claim]) -> None:
    taken = Claim(IPv4Network("10.213.20.0/24"), "testbed 'other'")
    chosen = choose_management([*claims, taken])
    assert collision(chosen, [*claims, taken]) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("elephant", "not an IPv4 subnet"),
        ("192.168.99.7/24", "host bits"),
        ("10.0.0.0/8", "between a /16 and a /28"),
        ("192.168.99.0/30", "between a /16 and a /28"),
        ("8.8.8.0/24", "not a private subnet"),
    ],
)
def test_a_useless_subnet_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse_subnet(text)
    assert caught.value.place == "--subnet"
