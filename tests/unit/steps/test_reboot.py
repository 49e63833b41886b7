from collections.abc import Callable

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError
from runbook_lib.facts.host.host import Boot
from runbook_lib.model.inventory import Inventory
from runbook_lib.steps.base import Verb
from runbook_lib.steps.reboot import Reboot

BEFORE = {"node1": Boot("node1", "b1", 500, 60.0)}


@pytest.mark.parametrize(
    ("fresh", "verb"),
    [
        (Boot("node1", "b1", 500, 70.0), Verb.REFUSED),
        (Boot("node1", "b2", 500, 2.0), Verb.SATISFIED),
        (Boot("node1", "b1", 9000, 2.0), Verb.SATISFIED),
    ],
)
def test_only_another_boot_is_a_reboot(fresh: Boot, verb: Verb) -> None:
    assert Reboot().confirm(BEFORE, {"node1": fresh}, frozenset())["node1"].verb is verb


def test_the_order_is_the_order_of_the_rows(make_inventory: Callable[..., Inventory]) -> None:
    cluster = Cluster(make_inventory(3))
    assert [node.name for node in Reboot(["node3", "node1"]).nodes(cluster)] == ["node3", "node1"]
    assert len(Reboot().nodes(cluster)) == 3


@pytest.mark.parametrize("order", [["node9"], ["node1", "node1"]])
def test_an_unknown_or_repeated_node_is_refused(make_inventory: Callable[..., Inventory], order: list[str]) -> None:
    with pytest.raises(InputError):
        Reboot(order).nodes(Cluster(make_inventory(3)))
