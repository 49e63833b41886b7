"""Making and removing testbeds: what is refused, what a failure leaves, what a crash leaves."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, LockedError, RequirementError, TestbedError
from runbook_lib.model import locations
from runbook_lib.testbed import Testbed, lifecycle, requirements, state
from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine import host, network
from runbook_lib.testbed.machine.kind import ARTICLES_KIND
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.progress import silent
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed
NAME = "test-life"
OTHER = "test-other"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    Testbed.remove(NAME)
    Testbed.remove(OTHER)
    yield
    Testbed.remove(NAME)
    Testbed.remove(OTHER)


def host_interfaces(layout: Layout) -> list[str]:
    """The host's interfaces with their addresses, those of testbeds left out that are not this one or ours."""
    ours = (*layout.host_links, *dataclasses.replace(layout, name=NAME).host_links)
    lines = host.run(["ip", "-brief", "addr"]).stdout.splitlines()
    return [line for line in lines if not line.startswith("rb") or line.startswith(ours)]


def traces(layout: Layout) -> list[str]:
    """Everything of a testbed that can be seen on the host."""
    found = [*network.leftovers(layout), *lifecycle._processes(layout)]
    if layout.folder.exists():
        found.append(str(layout.folder))
    for node in layout.nodes:
        found += map(str, Path("/sys/fs/cgroup").rglob(node.cgroup))
        found += map(str, Path("/run/systemd/nspawn/propagate").glob(node.machine))
    return found


def up_by_command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runbook_lib", "testbed", "up", "--name", NAME, "--nodes", "1", *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})


def test_down_leaves_nothing_and_a_second_down_says_so() -> None:
    testbed = Testbed.up(NAME, nodes=2, subnet="auto")
    addresses = host.run(["ip", "-brief", "addr"]).stdout
    assert testbed.layout.host_cluster_link in addresses
    assert Testbed.remove(NAME) is True
    assert traces(testbed.layout) == []
    assert Testbed.remove(NAME) is False


def test_two_testbeds_are_up_at_once_and_one_goes_without_the_other() -> None:
    one = Testbed.up(NAME, nodes=1, subnet="auto")
    two = Testbed.up(OTHER, nodes=1, subnet="auto")
    assert not one.layout.cluster.overlaps(two.layout.cluster)
    assert not one.layout.management.overlaps(two.layout.management)
    assert one.status().running
    one.down()
    assert two.status().running
    with pytest.raises(InputError, match="no testbed called"):
        Testbed.load(NAME)


def test_a_subnet_of_another_testbed_is_refused_and_nothing_is_touched() -> None:
    other = Testbed.up(OTHER, nodes=1, subnet="auto")
    before = host_interfaces(other.layout)
    done = up_by_command("--subnet", str(other.layout.cluster))
    assert done.returncode == 2
    assert f"is in use on this machine: address {other.layout.gateway} of interface" in done.stderr
    assert host_interfaces(other.layout) == before
    assert not locations.testbed_folder(NAME).exists()


def test_a_name_that_somebody_elses_namespace_has_is_refused() -> None:
    host.run(["ip", "netns", "add", f"{NAME}-switch"])
    try:
        with pytest.raises(RequirementError, match=f"'{NAME}' is in use: network namespace {NAME}-switch exists"):
            Testbed.up(NAME, nodes=1, subnet="auto")
        with pytest.raises(TestbedError, match=f"network namespace {NAME}-switch"):
            Testbed.remove(NAME)
        assert network.namespace_exists(f"{NAME}-switch"), "what we do not own is not removed"
    finally:
        host.run(["ip", "netns", "del", f"{NAME}-switch"])


def test_another_size_of_an_existing_testbed_is_refused() -> None:
    Testbed.up(NAME, nodes=1, subnet="auto")
    with pytest.raises(InputError, match="it has 1 nodes, not 2"):
        Testbed.up(NAME, nodes=2)


def test_this_machines_kernel_has_everything() -> None:
    assert requirements._kernel_lacks() == []


def test_a_kernel_without_vxlan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ip").write_text('#!/bin/sh\ncase "$*" in *vxlan*) exit 2 ;; esac\nexec /usr/sbin/ip "$@"\n')
    (tmp_path / "ip").chmod(0o755)
    done = up_by_command("--subnet", "auto", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert "the kernel offers no vxlan; try: modprobe vxlan" in done.stderr
    assert "nothing was touched" in done.stderr
    assert not locations.testbed_folder(NAME).exists()


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_NODE_MEMORY", 2**50)
    with pytest.raises(RequirementError, match="too little memory"):
        Testbed.up(NAME, nodes=1, subnet="auto")


def test_too_little_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_NODE_DISK", 2**60)
    with pytest.raises(RequirementError, match="too little disk"):
        Testbed.up(NAME, nodes=1, subnet="auto")


def test_an_up_that_fails_names_the_stage_and_leaves_nothing(tmp_path: Path) -> None:
    whole = rootfs.ensure(rootfs.tree_of(ARTICLES_KIND))
    broken = tmp_path / whole.name
    (broken / "etc").mkdir(parents=True)
    for archive in whole.parent.glob("images-*"):
        (tmp_path / archive.name).symlink_to(archive)
    done = up_by_command("--subnet", "auto", **{locations.CACHE_VARIABLE: str(tmp_path)})
    assert done.returncode == 3
    assert "ended at once" in done.stderr or "stage 'process'" in done.stderr
    assert "  | " in done.stderr, "the end of a log is shown"
    assert not locations.testbed_folder(NAME).exists()
    assert not network.namespace_exists(f"{NAME}-switch")


def test_an_up_that_is_interrupted_leaves_nothing() -> None:
    rootfs.ensure(rootfs.tree_of(ARTICLES_KIND))
    argv = [sys.executable, "-m", "runbook_lib", "testbed", "up", "--name", NAME, "--nodes", "2", "--subnet", "auto"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:

        def booting() -> state.State | None:
            assert child.poll() is None
            record = state.read(NAME)
            return record if record is not None and nodes.container(record.layout.nodes[0]) is not None else None

        record = wait_until(booting)
        assert record is not None
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 4, errors
    assert traces(record.layout) == []


def test_a_second_command_at_the_same_time_is_refused() -> None:
    testbed = Testbed.up(NAME, nodes=1, subnet="auto")
    with state.locked(NAME), pytest.raises(LockedError):
        testbed.reboot()
    assert testbed.status().running


def test_a_testbed_that_the_host_lost_in_a_crash_comes_back_and_goes_down() -> None:
    testbed = Testbed.up(NAME, nodes=2, subnet="auto")
    crash(testbed.layout)
    assert [node.state for node in testbed.status().nodes] == ["off", "off"]
    with pytest.raises(InputError, match="not up"):
        testbed.start()
    assert Testbed.up(NAME).status().running
    crash(testbed.layout)
    testbed.down()
    assert traces(testbed.layout) == []


def test_a_node_whose_supervisor_was_killed_is_never_run_twice() -> None:
    testbed = Testbed.up(NAME, nodes=1, subnet="auto")
    node = testbed.layout.nodes[0]
    supervisor = nodes.supervisor(node)
    assert supervisor is not None
    supervisor.send(signal.SIGKILL)
    assert supervisor.wait(PATIENCE_SECONDS)
    orphan = nodes.container(node)
    assert orphan is not None
    Testbed.up(NAME)
    assert not orphan.alive
    assert testbed.status().running
    testbed.down()
    assert traces(testbed.layout) == []


def test_a_process_that_does_not_belong_to_the_testbed_is_not_ended(tmp_path: Path) -> None:
    stranger = host.spawn(["sleep", "600"], tmp_path / "log")
    testbed = Testbed.up(NAME, nodes=1, subnet="auto")
    node = testbed.layout.nodes[0]
    testbed.poweroff()
    # A number that was ours before and is a stranger's now.
    (node.folder / "supervisor.pid").write_text(f"{stranger.pid} 1\n")
    (node.folder / "node.pid").write_text(f"{stranger.pid} 1\n")
    testbed.down()
    assert stranger.alive
    stranger.send(signal.SIGKILL)


def test_a_down_that_leaves_something_says_what(tmp_path: Path) -> None:
    testbed = Testbed.up(NAME, nodes=1, subnet="auto")
    folder = str(testbed.layout.nodes[0].folder)
    clinging = host.spawn(["sh", "-c", "sleep 600; :", folder], tmp_path / "log")
    with pytest.raises(TestbedError, match=rf"these still exist:(?s:.*)process {clinging.pid}"):
        lifecycle.down(NAME, silent)
    for process in [*clinging.children(), clinging]:
        process.send(signal.SIGKILL)
    assert clinging.wait(PATIENCE_SECONDS)
    assert Testbed.remove(NAME) is True
    assert traces(testbed.layout) == []


def crash(layout: Layout) -> None:
    """What a power cut of the host leaves: the state folder, and nothing that was in memory."""
    record = state.read(layout.name)
    assert record is not None
    assert record.dhcp is not None
    processes = [record.dhcp]
    for node in layout.nodes:
        supervisor, inner = nodes.supervisor(node), nodes.init(node)
        assert supervisor is not None
        assert inner is not None
        processes += [supervisor, inner]
    for process in processes:
        process.send(signal.SIGKILL)
    for process in processes:
        assert process.wait(PATIENCE_SECONDS)
    wait_until(lambda: not any(nodes.container(node) for node in layout.nodes))
    network.remove_switch(layout)
