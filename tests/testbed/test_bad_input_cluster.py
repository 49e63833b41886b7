"""What a person reads whose cluster is not as it should be, and that a second run finishes.

Each through the command line: one message with place and remedy, the right exit code, no traceback.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import EngineNotFound, ExitCode
from runbook_lib.testbed import Testbed
from tests.testbed.own_files import NETWORK, Files

pytestmark = pytest.mark.testbed

MANY = [f"bad{index}" for index in range(1, 9)]


@pytest.fixture
def files(testbed: Testbed, tmp_path: Path) -> Files:
    return Files.of(testbed, tmp_path)


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[None]:
    """What a test makes on the nodes is removed."""
    yield
    for node in cluster:
        for name in [item["Names"][0].strip("/") for item in node.engine.containers()]:
            if name.startswith("bad"):
                node.engine.remove_container(name, force=True)
    for network in cluster.nodes[0].engine.networks(names=[NETWORK]):
        cluster.nodes[0].engine.remove_network(network["Id"])


def test_a_node_that_is_down_is_named_and_a_second_run_with_it_passes(files: Files, testbed: Testbed) -> None:
    testbed.poweroff(["node4"], hard=True)
    try:
        said = files.refused(ExitCode.ERROR, "00")
    finally:
        testbed.start(["node4"])
    assert "node4: no SSH connection to docker@" in said
    assert "check that the node is on and its address is right" in said
    assert files.run("00").returncode == ExitCode.PASS


def test_engines_without_a_store_are_told_with_the_notebook_that_helps(
    files: Files, cluster: Cluster, start_store: Callable[[], None], clean: None
) -> None:
    for node, member in zip(cluster.nodes, ("etcd1", "etcd2", "etcd3"), strict=False):
        node.engine.stop(member)
    said = files.refused(ExitCode.CHECK_FAILED, "03")
    assert "02_autostart_etcd" in said
    start_store()
    assert files.run("03").returncode == ExitCode.PASS


def test_a_container_of_that_name_with_another_image_is_left_alone(
    files: Files, cluster: Cluster, store: None, clean: None
) -> None:
    engine = cluster.node("node2").engine
    strange = engine.create_container("bad1", "etcd:3.4", command=["/bin/sh"])
    files.write(containers=[{"name": "bad1", "node": "node2"}])
    said = files.refused(ExitCode.CHECK_FAILED, "03", "04")
    assert "image: expected alpine:latest, found etcd:3.4" in said
    assert "docker rm -f bad1" in said
    assert engine.container("bad1")["Id"] == strange
    engine.remove_container("bad1", force=True)
    done = files.run("04")
    assert done.returncode == ExitCode.PASS, done.stdout
    assert engine.container("bad1")["Config"]["Image"] == "alpine:latest"


@pytest.mark.timeout(1800)
def test_a_node_that_dies_in_the_middle_of_a_step_is_named_and_a_second_run_finishes_it(
    files: Files, cluster: Cluster, testbed: Testbed, start_store: Callable[[], None], clean: None
) -> None:
    start_store()
    others = [{"name": f"bad-on-{node}", "node": node} for node in ("node1", "node2", "node3")]
    files.write(containers=[{"name": name, "node": "node4"} for name in MANY] + others)
    assert files.run("03").returncode == ExitCode.PASS

    def pull_the_cables() -> None:
        """As soon as the step has made its first container there, however long that takes."""
        engine = cluster.node("node4").engine
        while not over.wait(0.01):
            try:
                engine.container(MANY[0])
            except EngineNotFound:
                continue
            testbed.cut("node4", management=True)
            return

    over = threading.Event()
    death = threading.Thread(target=pull_the_cables)
    death.start()
    try:
        said = files.refused(ExitCode.CHECK_FAILED, "04")
    finally:
        over.set()
        death.join()
        testbed.restore("node4")
    assert "step 'run containers' did not succeed:" in said
    assert "node4: unreachable: " in said
    assert cluster.node("node1").engine.container("bad-on-node1")["State"]["Running"]
    start_store()
    done = files.run("04")
    assert done.returncode == ExitCode.PASS, done.stdout
    running = {item["Names"][0].strip("/") for item in cluster.node("node4").engine.containers(every=False)}
    assert set(MANY) <= running
