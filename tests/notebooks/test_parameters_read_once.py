"""A parameter file that is edited while its run is prepared: what was validated together is what the run uses."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import cli, locking, testbed
from runbook_lib.execute.batch.clusters import read_clusters
from runbook_lib.execute.batch.jobs import Job
from runbook_lib.execute.batch.work import work
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.run import runner
from runbook_lib.execute.run.cluster_run import ClusterRequest, prepare_cluster, run_cluster
from runbook_lib.execute.run.preparation import Request
from runbook_lib.execute.run.reporting import Reporter
from runbook_lib.model.locations import STATE_VARIABLE
from tests.notebooks.generated import INVENTORY, Workplace, text_of

TELLING = "print(name, inventory, plan)"
EDITED = "name: edited\ninventory: testbed:other\ncontainers: [{name: c1, node: absent}]\nplan: nonsense\n"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "testbeds"))
    return Workplace(tmp_path)


def booting_testbed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let ``testbed up`` write an inventory and, meanwhile, somebody edit the parameter file; the testbeds' names."""
    workplace.parameters.write_text("name: tiny\ninventory: testbed:one\ncontainers: []\n")
    booted: list[str] = []

    def up(name: str, **_: Any) -> None:
        folder = workplace.folder / "testbeds" / name
        folder.mkdir(parents=True)
        for file in ("key", "known_hosts"):
            (folder / file).touch(mode=0o600)
        (folder / "inventory.yaml").write_text(INVENTORY)
        workplace.parameters.write_text(EDITED)
        booted.append(name)

    monkeypatch.setattr(testbed.Testbed, "up", up)
    return booted


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts of the nodes that are locked."""
    hosts: list[str] = []
    names_of = locking.lock_names

    def lock_names(inventory: Any) -> Any:
        hosts.extend(node.ssh.host for node in inventory.nodes)
        return names_of(inventory)

    monkeypatch.setattr(locking, "lock_names", lock_names)
    return hosts


def execute(wanted: ClusterRequest, run: Any) -> str:
    """Run the only notebook as the command does; what the reporter was told."""
    told = io.StringIO()
    with Interruption().installed() as interruption:
        result = run_cluster(wanted, run, Reporter(told), interruption)
    assert result.exit_code == 0, told.getvalue()
    return told.getvalue()


def test_a_file_edited_while_the_testbed_boots_changes_nothing(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, locked: list[str]
) -> None:
    booted = booting_testbed(workplace, monkeypatch)
    notebook = workplace.notebook("nb", TELLING)
    request = Request(workplace.parameters, {"overlay.name": "ovr1"})
    run = prepare_cluster(request, lambda: None)
    assert booted == ["one"]
    assert (run.parameters.name, run.parameters.overlay.name) == ("tiny", "ovr1")
    execute(ClusterRequest((notebook,), request, str(workplace.records)), run)
    assert "tiny testbed:one False" in text_of(workplace.record("nb"))
    assert set(locked) == {"127.0.0.1"}


def test_a_file_edited_between_validation_and_injection_changes_nothing(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = workplace.notebook("nb", TELLING)
    request = Request(workplace.parameters)
    run = prepare_cluster(request, lambda: None)
    workplace.parameters.write_text(EDITED)
    execute(ClusterRequest((notebook,), request, str(workplace.records)), run)
    assert f"tiny {workplace.folder / 'inventory.yaml'} False" in text_of(workplace.record("nb"))


@pytest.fixture
def edited_once_read(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let somebody edit the parameter file as soon as it was read; each time that it is read, it stands here."""
    read: list[Path] = []
    read_text = Path.read_text

    def read_and_edit(path: Path, *arguments: Any, **options: Any) -> str:
        text = read_text(path, *arguments, **options)
        if path == workplace.parameters:
            read.append(path)
            path.write_text(EDITED)
        return text

    monkeypatch.setattr(Path, "read_text", read_and_edit)
    return read


def test_the_command_reads_the_file_once(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, edited_once_read: list[Path]
) -> None:
    injected: list[Mapping[str, Any]] = []

    def run_notebooks(notebooks: Any, settings: runner.RunSettings, *_: Any) -> list[Any]:
        injected.append(settings.parameters)
        return []

    monkeypatch.setattr(runner, "run_notebooks", run_notebooks)
    notebook = workplace.notebook("nb", TELLING)
    assert cli.main(workplace.arguments(notebook)) == 0
    assert edited_once_read == [workplace.parameters]
    assert injected == [{"name": "tiny", "inventory": str(workplace.folder / "inventory.yaml"), "containers": []}]


def test_a_run_that_goes_on_with_another_reads_the_file_once(
    workplace: Workplace, edited_once_read: list[Path]
) -> None:
    original = "name: tiny\ninventory: inventory.yaml\ncontainers: []\n"
    flag = workplace.folder / "flag"
    second = f"import pathlib\nassert pathlib.Path({str(flag)!r}).exists()"
    notebooks = [workplace.notebook("01_first", TELLING), workplace.notebook("02_second", second, TELLING)]
    assert cli.main(workplace.arguments(*notebooks)) == 3
    flag.touch()
    for record in workplace.records.glob("*_02_second_*"):
        record.rename(workplace.folder / "first try")
    workplace.parameters.write_text(original)
    edited_once_read.clear()
    assert cli.main(workplace.arguments(*notebooks, options=("--resume", "last"))) == 0
    assert edited_once_read == [workplace.parameters]
    assert f"tiny {workplace.folder / 'inventory.yaml'} False" in text_of(workplace.record("02_second"))


def test_a_job_of_a_batch_whose_testbed_boots_runs_what_the_batch_validated(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    booted = booting_testbed(workplace, monkeypatch)
    notebook = workplace.notebook("nb", TELLING)
    (cluster,) = read_clusters([workplace.parameters], {})
    ours, theirs = Pipe()
    result = work(Job(0, cluster.name, cluster.file, cluster.request, (notebook,), str(workplace.records)), theirs)
    ours.close()
    assert booted == ["one"]
    assert (result.verdict, result.failure) == ("pass", None)
    assert "tiny testbed:one False" in text_of(workplace.record("nb"))


def test_a_cluster_of_a_batch_that_waits_for_its_turn_runs_what_was_validated(workplace: Workplace) -> None:
    files = [workplace.folder / f"{name}.yaml" for name in ("first", "second")]
    for place, file in enumerate(files, start=1):
        inventory = INVENTORY.replace("127.0.0.1", f"127.0.0.{place}")
        (workplace.folder / f"inventory-{file.stem}.yaml").write_text(inventory)
        file.write_text(f"name: {file.stem}\ninventory: inventory-{file.stem}.yaml\ncontainers: []\n")
    edit = f"import pathlib\nwritten = pathlib.Path({str(files[1])!r}).write_text({EDITED!r})"
    notebook = workplace.notebook("nb", edit, TELLING)
    records = ["--records", str(workplace.records)]
    assert cli.main(["batch", *map(str, files), "-n", str(notebook), *records, "-j", "1"]) == 0
    told = [text_of(json.loads(path.read_text())) for path in workplace.records.glob("*/notebook.ipynb")]
    assert sorted(told) == [f"{file.stem} {workplace.folder / f'inventory-{file.stem}.yaml'} False\n" for file in files]
