from collections.abc import Callable

import pytest

from runbook_lib.facts.host.addresses import BOOTSYNC
from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.inventory import Inventory


@pytest.fixture
def make_inventory() -> Callable[..., Inventory]:
    """An inventory of nodes 192.168.99.104, .105, …; nobody is asked anything."""

    def make(count: int = 3, **network: str) -> Inventory:
        ssh = {"host": "192.0.2.1", "key_file": "/nowhere/key", "known_hosts": "/nowhere/known_hosts"}
        return Inventory.model_validate(
            {
                "network": {"interface": "eth1", "subnet": "192.168.99.0/24", "gateway": "192.168.99.1", **network},
                "nodes": [
                    {"name": f"node{number}", "cluster_address": f"192.168.99.{103 + number}", "ssh": ssh}
                    for number in range(1, count + 1)
                ],
            }
        )

    return make


@pytest.fixture
def boot2docker() -> Callable[..., HostNetwork]:
    """A boot2docker host whose bootsync.sh holds a text, or that has none."""

    def make(bootsync: str | None, node: str = "node1") -> HostNetwork:
        file = HostFile(BOOTSYNC).with_text(bootsync)
        files = () if file.content is None else (file,)
        return HostNetwork(node, "eth1", "boot2docker", "/var/lib/boot2docker", BOOTSYNC, files=files)

    return make
