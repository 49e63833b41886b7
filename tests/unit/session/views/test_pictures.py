"""The picture of a cluster that nobody can reach; a whole one is drawn in the tests on the testbed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Parameters, Timeouts
from runbook_lib.session.views.display import Picture
from runbook_lib.session.views.pictures import ClusterPicture, picture


@pytest.fixture
def gone() -> Iterator[Cluster]:
    """Two nodes that refuse every connection."""
    ssh = {"host": "127.0.0.1", "port": 1, "key_file": "none", "known_hosts": "none"}
    nodes = [{"name": f"node{index}", "cluster_address": f"10.0.0.{index}", "ssh": ssh} for index in (1, 2)]
    inventory = Inventory.model_validate({"network": {"subnet": "10.0.0.0/24"}, "nodes": nodes})
    with Cluster(inventory, Timeouts(connect=1, command=5)) as cluster:
        yield cluster


def test_a_cluster_that_is_gone_is_a_picture_of_silent_nodes(gone: Cluster) -> None:
    drawn = picture(gone, Parameters())
    assert list(drawn.view.silent) == ["node1", "node2"]
    assert "node1: does not answer. node2: does not answer." in repr(drawn)
    assert "does not answer" in drawn.svg


def test_an_earlier_picture_stands_beside_a_later_one(gone: Cluster) -> None:
    now = picture(gone, Parameters())
    earlier = ClusterPicture(replace(now.view, silent={"node1": "refused"}))
    both = picture(gone, Parameters(), earlier)
    assert repr(both).startswith("Before and after: node2: does not answer. Now: ")
    assert picture(gone, Parameters(), Picture("<svg/>", "another picture")).svg == now.svg
