"""Runs the article's notebooks through the command line, and reads what they left: in records and on the nodes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.facts.host.addresses import read_bootlocal, read_bootsync
from runbook_lib.facts.host.host import read_host
from runbook_lib.model.events import StepEvent
from runbook_lib.model.loading import load_run
from runbook_lib.model.record import Record
from runbook_lib.records.store.reading import read_record
from runbook_lib.testbed import Testbed

ROOT = Path(__file__).parents[2]
# A whole walk takes two or three minutes; a machine that is busy besides may need several times as long.
WHOLE_WALK = 1800


def write_parameters(testbed: Testbed, folder: Path) -> Path:
    """The testbed's parameter file as it is committed, for this testbed."""
    values = yaml.safe_load((ROOT / "params" / "testbed.yaml").read_text())
    path = folder / "walkthrough.yaml"
    path.write_text(yaml.safe_dump(values | {"inventory": f"testbed:{testbed.name}"}))
    return path


def command(parameters: Path, records: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``runbook run`` with this parameter file, its records in this folder."""
    argv = [sys.executable, "-m", "runbook_lib", "run", "-f", str(parameters), "--records", str(records), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=WHOLE_WALK, stdin=subprocess.DEVNULL)


def record_of(records: Path, notebook: str) -> Record:
    """The only record of a notebook."""
    (folder,) = records.glob(f"*_{notebook}_*")
    return read_record(folder)


def steps(records: Path, notebook: str) -> tuple[StepEvent, ...]:
    """The rows of all steps in the only record of a notebook."""
    return record_of(records, notebook).steps


def host_state(node: Node) -> tuple[object, ...]:
    """All that a notebook could change on a node."""
    return (
        read_host(node).boot,
        read_bootsync(node),
        read_bootlocal(node),
        [(item.id, item.state, item.restart_policy, item.networks) for item in read_containers(node)],
        sorted(item.id for item in read_networks(node)),
    )


def snapshot(parameters: Path) -> list[tuple[object, ...]]:
    """That of all nodes."""
    with Cluster(load_run(parameters).inventory) as cluster:
        return [outcome.result for outcome in cluster.each(host_state)]
