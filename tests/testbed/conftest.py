"""Testbeds for tests: one for all modules that leave the nodes as they found them, or a module's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Registration
from runbook_lib.facts.control_planes.etcd.keys import read_registrations
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Status
from runbook_lib.steps import StartMembers, require_success, run_step
from runbook_lib.steps.gossip import JoinGossip, wait_for_gossip
from runbook_lib.testbed import Testbed
from tests.testbed.shared import SharedTestbed, run_on
from tests.waiting import wait_until

# Names of their own let a second run of these tests go on beside the first.
NAME = f"tests-{os.getpid()}"
SHARED = f"shared-{os.getpid()}"


def start_store_on(cluster: Cluster, run: Run) -> None:
    """Start etcd, and wait until every engine is connected to it and knows the others."""
    started = run_step(cluster, StartMembers(run.parameters.etcd))
    require_success(started)
    wait_until_connected(cluster, run)
    if any(row.status is Status.CHANGED for row in started):
        for outcome in cluster.each(
            lambda node: wait_for_gossip(node, control_plane_of(run.parameters), lambda state: None)
        ):
            assert outcome.error is None, outcome.error
        require_success(run_step(cluster, JoinGossip(control_plane_of(run.parameters))))


@pytest.fixture(scope="session")
def shared_testbed() -> Iterator[SharedTestbed]:
    """The testbed of the modules that leave the nodes as they found them; each process has one."""
    shared = SharedTestbed(SHARED, start_store_on)
    yield shared
    shared.down()


@pytest.fixture(scope="module")
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """Four nodes, shared by the tests of a module.

    A module that says ``SHARED_TESTBED = True`` gets those that other modules have used before, whose store runs, and
    fails if it does not leave them as it found them. All others get new ones, on which nobody has done anything.
    """
    if getattr(request.module, "SHARED_TESTBED", False):
        shared: SharedTestbed = request.getfixturevalue("shared_testbed")
        with shared.used_by(request.module.__name__) as bed:
            yield bed
        return
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, subnet="auto")
    yield bed
    bed.down()


@pytest.fixture(scope="module")
def run(testbed: Testbed) -> Run:
    """The parameters of a run on the testbed: the defaults, with addresses in the DHCP pool as the article has them."""
    return run_on(testbed)


@pytest.fixture
def cluster(run: Run) -> Iterator[Cluster]:
    """The testbed's nodes."""
    with Cluster(run.inventory, run.parameters.timeouts) as nodes:
        yield nodes


def wait_until_connected(cluster: Cluster, run: Run) -> None:
    """Wait until every engine is connected to the store."""

    def rows() -> tuple[Registration, ...]:
        return read_registrations(cluster, run.parameters.etcd)

    wait_until(lambda: all(row.connected for row in rows()), rows, pause=0.5)


@pytest.fixture
def start_store(cluster: Cluster, run: Run) -> Callable[[], None]:
    """A function that starts etcd and waits until every engine is connected to it and knows the others."""
    return lambda: start_store_on(cluster, run)


@pytest.fixture
def store(start_store: Callable[[], None]) -> None:
    """etcd runs, and every engine is connected to it."""
    start_store()


@pytest.fixture
def footprint(cluster: Cluster) -> Callable[[], list[object]]:
    """A function that takes down all that a step could change on the nodes, to be compared with itself."""

    def one(node: Node) -> object:
        files = node.ssh.script("cd /var/lib/boot2docker; ls -ln --time-style=full-iso; tail -n +1 *.sh*", check=False)
        addresses = node.ssh.run(["ip", "-o", "addr", "show", "dev", "eth1"]).stdout.split(" valid_lft")[0]
        containers = [(item.id, item.state, item.networks, item.restart_policy) for item in read_containers(node)]
        return files.stdout, addresses, containers, [item.id for item in read_networks(node)]

    return lambda: [outcome.result for outcome in cluster.each(one)]
