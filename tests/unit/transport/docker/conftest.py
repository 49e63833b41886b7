"""A classic Swarm manager that gives recorded answers, and one node behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from tests.unit.transport.docker.classic_swarm_server import ManagerServer, connect, own_engine
from tests.unit.transport.docker.engine_server import EngineServer, make_authority


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("swarm") / "tls")


@pytest.fixture
def manager(tls: Path) -> Iterator[ManagerServer]:
    with contextlib.closing(ManagerServer(tls)) as server:
        yield server


@pytest.fixture
def own(tls: Path) -> Iterator[EngineServer]:
    with own_engine(tls) as server:
        yield server


@pytest.fixture
def engine(manager: ManagerServer, own: EngineServer, tls: Path) -> Iterator[SwarmEngine]:
    with connect(manager, own, tls) as opened:
        yield opened
