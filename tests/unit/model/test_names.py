"""Names and addresses: what Docker and DNS take passes, whatever a shell would understand does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from runbook_lib.model import base

SHELL = ["a;b", "a b", "$(id)", "`id`", "a|b", "a&b", "a>b", "a\nb", "a'b", 'a"b', "a*", "~a", "-a", "", "a\x00"]

KINDS = {
    "object": base.ObjectName,
    "network": base.NetworkName,
    "host": base.HostName,
    "image": base.ImageReference,
    "interface": base.InterfaceName,
    "address": base.Address,
    "subnet": base.Subnet,
    "reachable": base.ReachableAt,
    "user": base.UserName,
}


def accepts(kind: str, value: Any) -> bool:
    try:
        TypeAdapter(KINDS[kind]).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", SHELL)
def test_nothing_that_a_shell_or_an_option_parser_understands_is_a_name(kind: str, value: str) -> None:
    assert not accepts(kind, value)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("object", ["alpine1", "A_b.c-d", "1"]),
        ("network", ["ovr0", "my_net"]),
        ("host", ["node1", "a-b", "x" * 63]),
        ("image", ["alpine", "alpine:3.20", "registry.example:5000/team/app:v1", "busybox@sha256:abc"]),
        ("interface", ["eth1", "enp0s8", "br-1a2b", "eth0.100"]),
        ("address", ["192.168.99.104"]),
        ("subnet", ["10.0.0.0/24"]),
        ("reachable", ["10.0.0.1", "fe80::1", "node1.example.org", "::1"]),
        ("user", ["docker", "root", "first.last", "_svc"]),
    ],
)
def test_ordinary_names_pass(kind: str, values: list[str]) -> None:
    assert [value for value in values if not accepts(kind, value)] == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("object", ["_a", ".a", "é", "x" * 64]),
        ("network", ["bridge", "host", "none", "docker_gwbridge", "ingress", "default"]),
        ("host", ["Node1", "a-", "a_b", "a.b", "x" * 64]),
        ("image", ["Alpine", "/alpine"]),
        ("interface", ["x" * 16, "eth1@if3"]),
        ("address", ["192.168.99.256", "192.168.99", "::1", "192.168.099.1"]),
        ("subnet", ["10.0.0.1", "10.0.0.1/24", "10.0.0.0/33", "fd00::/8"]),
        ("reachable", ["10.0.0.1/24", "ssh://x", "a..b c"]),
        ("user", ["1user", "a@b"]),
    ],
)
def test_what_docker_or_dns_would_refuse_is_refused_here(kind: str, values: list[str]) -> None:
    assert [value for value in values if accepts(kind, value)] == []


def test_a_refusal_shows_the_value_and_what_would_do() -> None:
    with pytest.raises(ValidationError, match=r"'a;b' is not a name that Docker takes: a letter or digit, then"):
        TypeAdapter(base.ObjectName).validate_python("a;b")
    with pytest.raises(ValidationError, match=r"'10.0.0.1/24' is not an IPv4 subnet .*: it has host bits set"):
        TypeAdapter(base.Subnet).validate_python("10.0.0.1/24")
