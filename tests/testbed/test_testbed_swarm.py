"""A testbed in Swarm mode: its swarm is formed once, survives a power cut, and its join tokens are nowhere."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runbook_lib.testbed import Testbed, TestbedStatus
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import NodeLayout
from runbook_lib.testbed.node import client
from runbook_lib.testbed.progress import Progress
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import wait_until

from .test_testbed_lifecycle import traces

pytestmark = pytest.mark.testbed
NAME = f"swarm-{os.getpid()}"
KIND = Kind(engine="26.1", control_plane="swarm-mode")

COMPLETE = {"leader": 1, "manager": 2, "worker": 1}


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, subnet="auto", kind=KIND)
    yield bed
    bed.down()
    assert traces(bed.layout) == []


@contextmanager
def engine_of(testbed: Testbed, node: NodeLayout) -> Iterator[Engine]:
    spec = client.node_spec(testbed.layout, node)
    with SshConnection(spec) as ssh, Engine(spec, ssh) as engine:
        yield engine


def standing(status: TestbedStatus) -> Counter[str | None]:
    return Counter(node.swarm for node in status.nodes)


def members(testbed: Testbed) -> dict[str, tuple[str, str]]:
    """Each member's ID and address by its node's name."""
    with engine_of(testbed, testbed.layout.nodes[0]) as engine:
        return {
            member["Description"]["Hostname"]: (member["ID"], member["Status"]["Addr"])
            for member in engine.swarm_nodes()
        }


def test_three_managers_one_of_them_the_leader_and_a_worker_are_up(testbed: Testbed) -> None:
    status = testbed.status()
    assert status.running
    assert standing(status) == COMPLETE
    assert {str(node.engine_version)[:5] for node in status.nodes} == {"26.1."}
    expected = {node.name: node.cluster_address for node in testbed.layout.nodes}
    assert {name: address for name, (_, address) in members(testbed).items()} == expected


def test_a_second_up_changes_nothing(testbed: Testbed) -> None:
    events: list[Progress] = []
    before = members(testbed)
    Testbed.up(NAME, report=events.append)
    assert members(testbed) == before
    assert "swarm" not in {event.step for event in events}


def test_no_join_token_is_in_the_testbeds_folder(testbed: Testbed) -> None:
    with engine_of(testbed, testbed.layout.nodes[0]) as engine:
        tokens = [engine.swarm_join_token(role).get_secret_value().encode() for role in ("manager", "worker")]
    files = [path for path in testbed.layout.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert testbed.layout.nodes[0].docker_log in files
    assert [path for path in files if any(token in path.read_bytes() for token in tokens)] == []


def test_the_quorum_is_back_after_a_power_cut_of_all_nodes(testbed: Testbed) -> None:
    before = members(testbed)
    testbed.reboot(hard=True)
    wait_until(lambda: standing(testbed.status()) == COMPLETE, testbed.status, pause=0.2)
    assert members(testbed) == before
