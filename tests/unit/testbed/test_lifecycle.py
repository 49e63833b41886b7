from __future__ import annotations

import fcntl
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.errors import TestbedError
from runbook_lib.testbed import lifecycle
from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.progress import Progress
from runbook_lib.testbed.state import State

LAYOUT = Layout("tests", 4, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"), Kind(platform="debian"))


def test_a_dhcp_server_is_told_an_address_for_every_debian_node_and_none_twice() -> None:
    first, second, third, fourth = LAYOUT.nodes
    kept = {first.cluster_mac: second.cluster_address}
    told = lifecycle._with_all_nodes(LAYOUT, kept, {"node2": third.cluster_address})
    assert told == {
        first.cluster_mac: second.cluster_address,
        second.cluster_mac: third.cluster_address,
        # node3's own is taken: it gets whatever is free.
        fourth.cluster_mac: fourth.cluster_address,
    }
    assert third.cluster_mac not in told


def test_a_root_filesystem_that_another_process_builds_is_waited_for_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_CACHE", str(tmp_path))

    def fail(_tree: rootfs.Tree) -> Path:
        raise TestbedError("there is no mirror either")

    monkeypatch.setattr(rootfs, "ensure", fail)
    told: list[Progress] = []
    layout = Layout("tests", 1, LAYOUT.cluster, LAYOUT.management, ARTICLES_KIND)
    with (tmp_path / "rootfs-bookworm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def report(event: Progress) -> None:
            told.append(event)
            if len(told) == 1:
                threading.Timer(0.2, fcntl.flock, (lock, fcntl.LOCK_UN)).start()

        with pytest.raises(TestbedError, match="no mirror either"):
            lifecycle._build(State(layout), report)
    assert [(event.step, event.state) for event in told] == [
        ("wait for the root filesystem that is being built", "started"),
        ("wait for the root filesystem that is being built", "done"),
        ("root filesystem and images", "started"),
        ("root filesystem and images", "failed"),
    ]
