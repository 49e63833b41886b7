"""``runbook batch`` with real kernels in real processes: on this machine, and on a Dask cluster of two workers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runbook_lib import cli
from tests.notebooks.generated import INVENTORY, Workplace, ends
from tests.waiting import PATIENCE_SECONDS, wait_until

PROJECT = Path(__file__).parents[2]
# Addresses of this run's own: on one cluster, also one that nothing connects to, there is one run at a time.
NETWORK = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def clusters(workplace: Workplace, *names: str) -> list[Path]:
    """Write a parameter file a cluster, each with a node of its own that nothing connects to."""
    files = []
    for number, name in enumerate(names, start=1):
        inventory = INVENTORY.replace("127.0.0.1", f"{NETWORK}.{number}")
        (workplace.folder / f"inventory-{name}.yaml").write_text(inventory)
        files.append(workplace.folder / f"{name}.yaml")
        files[-1].write_text(f"name: {name}\ninventory: inventory-{name}.yaml\ncontainers: []\n")
    return files


def arguments(workplace: Workplace, files: Sequence[Path], notebooks: Sequence[Path], *options: str) -> list[str]:
    """The command line that runs notebooks on clusters."""
    records = ["--records", str(workplace.records)]
    return ["batch", *map(str, files), "-n", *map(str, notebooks), *records, *options]


def verdicts(workplace: Workplace) -> dict[str, str]:
    """The verdict of each cluster's only record."""
    records = [json.loads(path.read_text()) for path in workplace.records.glob("*/record.json")]
    found = {record["cluster"]: record["verdict"] for record in records}
    assert len(found) == len(records)
    return found


def summary(output: str) -> dict[str, str]:
    """The verdict of each cluster in the table at the end."""
    lines = output[output.rindex("cluster ") :].splitlines()
    place = lines[0].index("verdict")
    width = lines[0].index("passed") - place
    return {line.split()[0]: line[place : place + width].strip() for line in lines[1:] if line and ":" not in line}


def waiting_cell(workplace: Workplace) -> str:
    """A cell that says which process it is, waits for its file ``go``, and says that it cleaned up."""
    return "\n".join(
        [
            f"import os, pathlib, time\nos.chdir({str(workplace.folder)!r})",
            "begun = pathlib.Path(f'begun-{name}')",
            "begun.with_suffix('.part').write_text(f'{os.getpid()} {os.getppid()}')",
            "go = pathlib.Path(f'go-{name}')",
            "try:\n    if not begun.exists():\n        begun.with_suffix('.part').rename(begun)",
            "    while not go.exists():\n        time.sleep(0.05)",
            "finally:\n    pathlib.Path(f'cleaned-up-{name}').touch()",
        ]
    )


@dataclass(frozen=True)
class Begun:
    """The processes of a cluster whose cell runs: its kernel, and the job that the kernel belongs to."""

    kernel: int
    job: int


class RunningBatch:
    """A batch in a process of its own."""

    def __init__(self, workplace: Workplace, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._workplace = workplace

    def begun(self, *names: str) -> dict[str, Begun]:
        """Wait until these clusters' cells run."""
        paths = [self._workplace.folder / f"begun-{name}" for name in names]
        wait_until(lambda: self.process.poll() is not None or all(path.exists() for path in paths))
        assert self.process.poll() is None, self.process.communicate()
        return {name: Begun(*map(int, path.read_text().split())) for name, path in zip(names, paths, strict=True)}

    def end(self) -> tuple[int, str]:
        """Wait for its end; its exit code and its output."""
        output, errors = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in output + errors, output + errors
        return self.process.returncode, output


@contextmanager
def running(workplace: Workplace, words: Sequence[str]) -> Iterator[RunningBatch]:
    """Start a batch."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-P", "-m", "runbook_lib", *words]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield RunningBatch(workplace, process)
        finally:
            process.kill()


def is_gone(process: int) -> bool:
    """Whether a process has ended; one that only waits to be noticed by its parent has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_clusters_run_side_by_side_and_one_that_fails_stops_no_other(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    files = [*clusters(workplace, "alpha", "beta", "gamma"), workplace.folder / "folder.yaml"]
    files[-1].mkdir()
    meeting = "\n".join(
        [
            f"import pathlib, time\nplace = pathlib.Path({str(workplace.folder)!r})",
            "(place / f'here-{name}').touch()\nend = time.monotonic() + 120",
            "while len(list(place.glob('here-*'))) < 3:\n    assert time.monotonic() < end\n    time.sleep(0.02)",
            "from runbook_lib.errors import CheckFailed",
            "if name == 'beta':\n    raise CheckFailed('no leader', expected=1, found=0, node='node1')",
        ]
    )
    notebooks = [workplace.notebook("01_meeting", meeting), workplace.notebook("02_later", "1")]
    report = workplace.folder / "report.xml"
    assert cli.main(arguments(workplace, files, notebooks, "-j", "3", "--junit", str(report))) == 1
    output = capfd.readouterr().out
    assert summary(output) == {"alpha": "pass", "beta": "failed", "gamma": "pass", "folder": "bad input"}
    assert all(
        line.startswith(("alpha ", "beta ", "gamma ", "folder ")) for line in output.split("\n\n")[0].splitlines()
    )
    assert "beta: failed in 01_meeting, cell In [3] (CheckFailed)\n  node1: no leader\n    expected: 1" in output
    records = [json.loads(path.read_text()) for path in workplace.records.glob("*/record.json")]
    assert sorted((record["cluster"], record["notebook"], record["verdict"]) for record in records) == [
        ("alpha", "01_meeting", "pass"),
        ("alpha", "02_later", "pass"),
        ("beta", "01_meeting", "failed"),
        ("gamma", "01_meeting", "pass"),
        ("gamma", "02_later", "pass"),
    ]
    suites = ElementTree.parse(report).getroot().findall("testsuite")
    assert [
        (suite.get("name"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) for suite in suites
    ] == [
        ("alpha", "0", "0", "0"),
        ("beta", "1", "0", "1"),
        ("gamma", "0", "0", "0"),
        ("folder", "0", "1", "2"),
    ]
    assert cli.main(["records", "verify", "--records", str(workplace.records)]) == 0


def test_a_second_batch_on_a_cluster_is_locked_out_and_ctrl_c_ends_the_first_with_true_records(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    files = clusters(workplace, "alpha", "beta", "gamma")
    waiting = workplace.notebook("01_waiting", waiting_cell(workplace), "1")
    with running(workplace, arguments(workplace, files, [waiting], "-j", "2")) as batch:
        begun = batch.begun("alpha", "beta")
        quick = workplace.notebook("02_quick", "1")
        assert cli.main(arguments(workplace, [files[0], files[2]], [quick])) == 7
        output = capfd.readouterr().out
        assert summary(output) == {"alpha": "locked", "gamma": "pass"}
        assert f"process {begun['alpha'].job} " in output

        batch.process.send_signal(signal.SIGINT)
        code, output = batch.end()
    assert code == 4
    assert summary(output) == {"alpha": "interrupted", "beta": "interrupted", "gamma": "not run"}
    assert all((workplace.folder / f"cleaned-up-{name}").exists() for name in begun)
    assert verdicts(workplace) == {"alpha": "interrupted", "beta": "interrupted", "gamma": "pass"}
    for folder in workplace.records.glob("*_01_waiting_*"):
        assert ends(json.loads((folder / "notebook.ipynb").read_text())) == ["interrupted", "never run"]
    assert all(is_gone(one.kernel) and is_gone(one.job) for one in begun.values())
    assert cli.main(["records", "verify", "--records", str(workplace.records)]) == 0


def test_a_second_ctrl_c_kills_kernels_that_do_not_listen(workplace: Workplace) -> None:
    deaf = (
        waiting_cell(workplace)
        .replace("try:", "while True:\n  try:")
        .replace("finally:\n    ", "  except KeyboardInterrupt:\n    ")
    )
    files = clusters(workplace, "alpha")
    with running(workplace, arguments(workplace, files, [workplace.notebook("01_deaf", deaf)])) as batch:
        begun = batch.begun("alpha")["alpha"]
        batch.process.send_signal(signal.SIGINT)
        wait_until((workplace.folder / "cleaned-up-alpha").exists)
        time.sleep(0.6)  # sooner it would count as an echo of the first
        batch.process.send_signal(signal.SIGINT)
        code, output = batch.end()
    assert code == 4
    assert summary(output) == {"alpha": "interrupted"}
    assert verdicts(workplace) == {"alpha": "interrupted"}
    assert is_gone(begun.kernel)


def test_a_killed_batch_lets_cells_clean_up_and_leaves_no_process(workplace: Workplace) -> None:
    files = clusters(workplace, "alpha", "beta")
    waiting = workplace.notebook("01_waiting", waiting_cell(workplace))
    with running(workplace, arguments(workplace, files, [waiting], "-j", "2")) as batch:
        begun = batch.begun("alpha", "beta")
        batch.process.kill()
        wait_until(lambda: all(is_gone(one.kernel) and is_gone(one.job) for one in begun.values()))
    assert all((workplace.folder / f"cleaned-up-{name}").exists() for name in begun)
    assert verdicts(workplace) == {"alpha": "interrupted", "beta": "interrupted"}


def test_a_killed_worker_process_costs_its_own_cluster_only(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    files = clusters(workplace, "alpha", "beta")
    notebook = workplace.notebook(
        "01_killing",
        "import os, signal, time\nif name == 'alpha':\n    os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(1)",
    )
    assert cli.main(arguments(workplace, files, [notebook], "-j", "2")) == 3
    output = capfd.readouterr().out
    assert summary(output) == {"alpha": "error", "beta": "pass"}
    assert "the process that ran this cluster was killed" in output


@dataclass(frozen=True)
class DaskCluster:
    """A scheduler and its two workers, each with one thread: processes on loopback."""

    address: str
    workers: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{name}", "--scheduler-file", str(file), *options]
        with (folder / f"{name}-{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log))
        return started[-1]

    def log_says(name: str, words: str) -> Callable[[], bool]:
        return lambda: words in (folder / f"{name}.log").read_text()

    try:
        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_until(log_says("scheduler-0", "Scheduler at:"))
        wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        assert scheduler.poll() is None
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory")
        workers = (start("worker", *options, str(folder / "1")), start("worker", *options, str(folder / "2")))
        for name in ("worker-1", "worker-2"):
            wait_until(log_says(name, "Registered to:"))
        yield DaskCluster(address, workers)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def test_a_batch_on_a_dask_cluster_uses_both_workers_and_tells_what_happens(
    workplace: Workplace, dask_cluster: DaskCluster
) -> None:
    files = clusters(workplace, "alpha", "beta")
    meeting = "\n".join(
        [
            f"import pathlib, time\nplace = pathlib.Path({str(workplace.folder)!r})",
            "(place / f'here-{name}').touch()\nend = time.monotonic() + 120",
            "while len(list(place.glob('here-*'))) < 2:\n    assert time.monotonic() < end\n    time.sleep(0.02)",
            "from runbook_lib.errors import CheckFailed",
            "if name == 'beta':\n    raise CheckFailed('no leader')",
        ]
    )
    words = arguments(
        workplace, files, [workplace.notebook("01_meeting", meeting)], "--scheduler", dask_cluster.address
    )
    with running(workplace, words) as batch:
        code, output = batch.end()
    assert code == 1
    assert summary(output) == {"alpha": "pass", "beta": "failed"}
    assert verdicts(workplace) == {"alpha": "pass", "beta": "failed"}
    assert any(line.split()[:3] == ["alpha", "01_meeting", "ended"] for line in output.splitlines())


def test_ctrl_c_ends_what_runs_on_a_dask_cluster_with_true_records(
    workplace: Workplace, dask_cluster: DaskCluster
) -> None:
    files = clusters(workplace, "alpha", "beta", "gamma")
    waiting = workplace.notebook("01_waiting", waiting_cell(workplace))
    with running(workplace, arguments(workplace, files, [waiting], "--scheduler", dask_cluster.address)) as batch:
        begun = batch.begun("alpha", "beta")
        batch.process.send_signal(signal.SIGTERM)
        code, output = batch.end()
    assert code == 4
    assert summary(output) == {"alpha": "interrupted", "beta": "interrupted", "gamma": "not run"}
    assert "interrupted by SIGTERM" in output
    assert all((workplace.folder / f"cleaned-up-{name}").exists() for name in begun)
    assert verdicts(workplace) == {"alpha": "interrupted", "beta": "interrupted"}
    assert all(is_gone(one.kernel) and is_gone(one.job) for one in begun.values())


def test_a_lost_dask_worker_costs_its_own_cluster_only_which_is_not_run_again(
    workplace: Workplace, dask_cluster: DaskCluster
) -> None:
    files = clusters(workplace, "alpha", "beta")
    waiting = workplace.notebook("01_waiting", waiting_cell(workplace))
    with running(workplace, arguments(workplace, files, [waiting], "--scheduler", dask_cluster.address)) as batch:
        begun = batch.begun("alpha", "beta")
        parents = {name: parent_of(one.job) for name, one in begun.items()}
        dask_cluster.workers[1].kill()
        lost = next(name for name, parent in parents.items() if parent == dask_cluster.workers[1].pid)
        kept = next(name for name in begun if name != lost)
        (workplace.folder / f"go-{kept}").touch()
        code, output = batch.end()
    assert code == 3
    assert summary(output) == {lost: "error", kept: "pass"}
    assert "the Dask worker that ran this cluster was lost" in output
    wait_until(lambda: is_gone(begun[lost].kernel) and is_gone(begun[lost].job))
    assert verdicts(workplace) == {lost: "interrupted", kept: "pass"}


def parent_of(process: int) -> int:
    """The process that started another one."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
