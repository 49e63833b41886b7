"""One cluster, one run at a time, whoever runs it and however a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode, InputError, LockedError
from runbook_lib.locking import cluster_lock, foreign_holder, kernel_environment, lock_names, take_locks
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.locations import LOCK_TOKEN_VARIABLE, LOCKS_VARIABLE, locks_folder

HOLDER = """
import sys
from runbook_lib.locking import cluster_lock
from runbook_lib.model.inventory import Inventory
with cluster_lock(Inventory.model_validate_json(sys.argv[1]), "runbook run, 7 notebooks"):
    print("held", flush=True)
    sys.stdin.read()
"""


def cluster(*hosts: str, port: int = 22) -> Inventory:
    nodes = [
        {
            "name": f"node{at}",
            "cluster_address": f"10.0.0.{at}",
            "ssh": {"host": host, "port": port, "key_file": "key", "known_hosts": "known_hosts"},
        }
        for at, host in enumerate(hosts, 1)
    ]
    return Inventory.model_validate({"network": {"subnet": "10.0.0.0/24"}, "nodes": nodes})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path / "locks"))
    return tmp_path / "locks"


@pytest.fixture
def hold() -> Iterator[Callable[[Inventory], subprocess.Popen[str]]]:
    """A function that starts another process, which holds a cluster until its standard input ends."""
    holders: list[subprocess.Popen[str]] = []

    def start(inventory: Inventory) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", HOLDER, inventory.model_dump_json()]
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_second_run_is_told_who_holds_the_cluster(hold: Callable[[Inventory], subprocess.Popen[str]]) -> None:
    holder = hold(cluster("lab1", "lab2"))
    with pytest.raises(LockedError) as caught, cluster_lock(cluster("lab1", "lab2"), "another"):
        pass
    message = str(caught.value)
    assert message.startswith("node1 (lab1:22): the cluster is in use: runbook run, 7 notebooks (process ")
    assert f"(process {holder.pid} of user " in message
    assert ", since 20" in message
    assert f"kill -INT {holder.pid}" in caught.value.remedy
    assert caught.value.exit_code is ExitCode.LOCKED


def test_clusters_that_share_one_node_exclude_each_other_and_others_do_not(
    hold: Callable[[Inventory], subprocess.Popen[str]],
) -> None:
    hold(cluster("lab2", "lab3"))
    with pytest.raises(LockedError, match=r"node2 \(LAB3:22\)"), cluster_lock(cluster("lab1", "LAB3"), "another"):
        pass
    with cluster_lock(cluster("lab1", "lab4"), "another"), cluster_lock(cluster("lab3", port=2222), "another"):
        pass


def test_nothing_stays_held_when_one_node_cannot_be_had(hold: Callable[[Inventory], subprocess.Popen[str]]) -> None:
    hold(cluster("lab2"))
    with pytest.raises(LockedError), cluster_lock(cluster("lab1", "lab2"), "another"):
        pass
    hold(cluster("lab1"))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill -9", "kill", "its end"])
def test_the_lock_ends_with_its_holder(
    hold: Callable[[Inventory], subprocess.Popen[str]], ending: signal.Signals | None
) -> None:
    holder = hold(cluster("lab1"))
    if ending is None:
        holder.communicate()
    else:
        holder.send_signal(ending)
        holder.wait()
    with cluster_lock(cluster("lab1"), "another"):
        pass


def test_a_run_that_holds_the_cluster_may_ask_again(hold: Callable[[Inventory], subprocess.Popen[str]]) -> None:
    with cluster_lock(cluster("lab1", "lab2"), "outer"):
        with cluster_lock(cluster("lab2", "lab3"), "inner"):
            pass
        hold(cluster("lab3"))
        with pytest.raises(LockedError), cluster_lock(cluster("lab3"), "inner"):
            pass
    hold(cluster("lab1"))


def test_another_thread_of_the_process_is_another_run() -> None:
    caught: list[LockedError] = []

    def ask() -> None:
        try:
            with cluster_lock(cluster("lab1"), "another"):
                pass
        except LockedError as error:
            caught.append(error)

    with cluster_lock(cluster("lab1"), "one"):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in str(caught[0])


def test_every_user_may_use_the_locks_whatever_the_umask_of_the_first(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with cluster_lock(cluster("lab1"), "one"):
            pass
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert (folder / "lab1_22.lock").stat().st_mode & 0o7777 == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_is_excluded_too_and_can_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as everybodys:  # pytest's own folders are closed to others
        Path(everybodys).chmod(0o755)
        monkeypatch.setenv(LOCKS_VARIABLE, f"{everybodys}/locks")
        with cluster_lock(cluster("lab1"), "root's"):
            assert as_nobody() == "LockedError"
        assert as_nobody() == "held"


def as_nobody() -> str:
    """What asking for the lock comes to as the user nobody."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            with cluster_lock(cluster("lab1"), "nobody's"):
                os.write(writing, b"held")
        except (LockedError, InputError) as error:
            os.write(writing, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_that_somebody_put_there_is_not_followed(folder: Path, tmp_path: Path, link: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir()
    getattr(folder / "lab1_22.lock", link)(victim)
    with pytest.raises(InputError), cluster_lock(cluster("lab1"), "one"):
        pass
    assert victim.read_text() == "precious"


def test_a_pipe_that_somebody_put_there_does_not_hang_the_run(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "lab1_22.lock")
    with pytest.raises(InputError, match="this file is not a lock"), cluster_lock(cluster("lab1"), "one"):
        pass


def test_a_folder_that_cannot_be_used_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file")
    with pytest.raises(InputError, match="is not a folder"), cluster_lock(cluster("lab1"), "one"):
        pass
    monkeypatch.setenv(LOCKS_VARIABLE, str(folder / "below"))
    with pytest.raises(InputError, match=r"cannot be used \(Not a directory\)"), cluster_lock(cluster("lab1"), "one"):
        pass


def test_the_folder_is_the_same_for_every_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCKS_VARIABLE)
    monkeypatch.setenv("TMPDIR", "/somewhere")
    assert locks_folder() in (Path("/run/lock/overlay-runbook"), Path("/tmp/overlay-runbook"))


def test_what_a_crashed_run_left_in_the_file_names_nobody(folder: Path) -> None:
    folder.mkdir()
    (folder / "lab1_22.lock").write_text('{"pid": 1, "user": "root", "what": "an old run", "since": "long ago"}' * 3)
    manager: AbstractContextManager[None] = cluster_lock(cluster("lab1"), "one")
    with manager:
        assert "an old run" not in (folder / "lab1_22.lock").read_text()
    assert (folder / "lab1_22.lock").read_text() == ""


KERNEL = """
import os, sys
from runbook_lib.errors import LockedError
from runbook_lib.locking import take_locks
from runbook_lib.model.inventory import Inventory
try:
    take_locks(Inventory.model_validate_json(sys.argv[1]), "notebook 01_fix_node_ips").close()
    print("let in")
except LockedError:
    print("refused")
"""


def asked_by_a_kernel(inventory: Inventory, environment: dict[str, str]) -> str:
    argv = [sys.executable, "-c", KERNEL, inventory.model_dump_json()]
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_kernel_works_under_the_lock_of_its_own_runner_and_under_no_other() -> None:
    inventory = cluster("lab1", "lab2")
    assert kernel_environment() == {}
    with cluster_lock(inventory, "runbook run, 7 notebooks"):
        ours = kernel_environment()
        with cluster_lock(inventory, "nested"):
            assert kernel_environment() == ours
        assert asked_by_a_kernel(inventory, ours) == "let in"
        assert asked_by_a_kernel(inventory, {}) == "refused"
        assert asked_by_a_kernel(inventory, {LOCK_TOKEN_VARIABLE: "another"}) == "refused"
    with cluster_lock(inventory, "the next run"):
        assert asked_by_a_kernel(inventory, ours) == "refused"
    assert kernel_environment() == {}


def test_what_a_kernel_holds_by_itself_lets_no_other_kernel_in() -> None:
    with take_locks(cluster("lab1"), "notebook 06_disconnect_connect"):
        assert asked_by_a_kernel(cluster("lab1"), {LOCK_TOKEN_VARIABLE: ""}) == "refused"


def test_who_holds_a_cluster_can_be_asked_without_taking_it(hold: Callable[[Inventory], subprocess.Popen[str]]) -> None:
    names = lock_names(cluster("lab1", "lab2"))
    assert foreign_holder(names) is None
    holder = hold(cluster("lab2"))
    found = foreign_holder(names)
    assert found is not None
    assert (found.pid, found.what) == (holder.pid, "runbook run, 7 notebooks")
    assert foreign_holder(lock_names(cluster("lab1"))) is None


def test_a_holder_that_was_killed_is_none(hold: Callable[[Inventory], subprocess.Popen[str]], folder: Path) -> None:
    holder = hold(cluster("lab1"))
    holder.kill()
    holder.communicate()
    assert "7 notebooks" in next(folder.iterdir()).read_text()
    assert foreign_holder(lock_names(cluster("lab1"))) is None


def test_this_process_and_the_run_that_it_works_for_are_nobody_else(
    hold: Callable[[Inventory], subprocess.Popen[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster_lock(cluster("lab1"), "this one"):
        assert foreign_holder(lock_names(cluster("lab1"))) is None
    hold(cluster("lab1"))
    note = json.loads(next(folder.iterdir()).read_text())
    monkeypatch.setenv(LOCK_TOKEN_VARIABLE, note["token"])
    assert foreign_holder(lock_names(cluster("lab1"))) is None
