from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.errors import TestbedError
from runbook_lib.model.locations import STATE_VARIABLE
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.node import client, readiness
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    layout = Layout("tests", 1, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"))
    layout.folder.mkdir()
    client.make_keys(layout)
    return layout


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Process]:
    process = host.spawn(["sleep", "60"], tmp_path / "log")
    yield process
    process.send(signal.SIGKILL)


def test_the_stage_that_is_not_reached_is_named_with_the_end_of_its_log(layout: Layout, supervisor: Process) -> None:
    node = layout.nodes[0]
    node.console_log.write_text("one\nno such device\n")
    with pytest.raises(
        TestbedError, match=r"node1: stage 'process': not reached \d+ s .*(?s:.*)\| no such device"
    ) as caught:
        readiness.wait_until_ready(layout, node, supervisor, timeout=0.1)
    assert caught.value.readiness_stage == "process"
    assert caught.value.log_tail == "one\nno such device"


def test_a_node_that_ended_is_not_waited_for(layout: Layout, supervisor: Process) -> None:
    node = layout.nodes[0]
    node.console_log.write_text("the node ended with status 1\n")
    supervisor.send(signal.SIGKILL)
    assert supervisor.wait(PATIENCE_SECONDS)
    with pytest.raises(TestbedError, match="the node ended"):
        readiness.wait_until_ready(layout, node, supervisor, timeout=60)


def test_a_wait_that_is_given_up_ends_at_once(layout: Layout, supervisor: Process) -> None:
    abandoned = threading.Event()
    abandoned.set()
    with pytest.raises(TestbedError, match="given up"):
        readiness.wait_until_ready(layout, layout.nodes[0], supervisor, timeout=60, abandoned=abandoned)


def test_a_pulled_cable_is_the_first_thing_to_look_at(layout: Layout, supervisor: Process) -> None:
    (layout.nodes[0].folder / "cut.cluster").touch()
    with pytest.raises(TestbedError, match=r"testbed restore --name tests node1"):
        readiness.wait_until_ready(layout, layout.nodes[0], supervisor, timeout=0.1)


def test_the_ladder_climbs_in_the_order_of_the_boot(layout: Layout) -> None:
    names = [stage.name for stage in readiness.readiness_stages(layout, layout.nodes[0])]
    assert names == ["process", "address", "SSH banner", "Docker /_ping", "boot finished"]


def test_a_silent_port_is_no_engine(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.close()
        assert not readiness.engine_answers("127.0.0.1", readiness.client_context(layout.certificates))
