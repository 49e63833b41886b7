"""The models themselves: frozen, closed, with defaults that describe the testbed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from runbook_lib.model.inventory import AddressRange, ClusterNetwork, Inventory
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Status, StepResult


def test_the_defaults_describe_the_article_on_the_testbed() -> None:
    parameters = Parameters()
    assert parameters.testbed_name == "runbook"
    assert [(item.name, item.image, item.node) for item in parameters.containers] == [
        ("alpine1", "alpine", "node3"),
        ("alpine2", "alpine", "node4"),
    ]
    assert parameters.etcd.members == ("etcd1", "etcd2", "etcd3")


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Parameters().name = "other"  # type: ignore[misc]


def test_every_top_level_parameter_but_sections_has_its_line_of_help() -> None:
    missing = [
        name
        for name, field in Parameters.model_fields.items()
        if not field.description and not (isinstance(field.annotation, type) and field.annotation.__doc__)
    ]
    assert [name for name in missing if name != "containers"] == []


def test_an_address_range_knows_its_members() -> None:
    pool = ClusterNetwork(subnet="192.168.99.0/24", dhcp_pool="192.168.99.100 - 192.168.99.254").pool
    assert pool == AddressRange(first="192.168.99.100", last="192.168.99.254")
    assert "192.168.99.100" in pool
    assert "192.168.99.99" not in pool
    assert str(pool) == "192.168.99.100-192.168.99.254"
    assert ClusterNetwork(subnet="192.168.99.0/24").pool is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.168.99.100", "is not a range such as"),
        ("192.168.99.9-192.168.99.1", "ends before it begins"),
        ("192.168.99.9-x", "'x' is not an IPv4 address"),
    ],
)
def test_what_is_no_address_range_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AddressRange.parse(text)


def test_an_inventory_finds_its_nodes() -> None:
    ssh = {"host": "10.0.0.1", "key_file": "k", "known_hosts": "h"}
    inventory = Inventory.model_validate(
        {
            "network": {"subnet": "10.1.0.0/24"},
            "nodes": [{"name": "node1", "cluster_address": "10.1.0.4", "ssh": ssh}],
        }
    )
    assert inventory.node("node1").docker.via == "ssh"
    assert str(inventory.network.prefix) == "10.1.0.0/24"
    with pytest.raises(KeyError):
        inventory.node("node2")


def test_a_row_is_failed_until_somebody_says_otherwise() -> None:
    assert StepResult("step", "node1").status is Status.FAILED
    assert [status for status in Status if not status.succeeded] == [Status.FAILED, Status.UNREACHABLE]
