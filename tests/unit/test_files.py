"""Files are there whole or not at all, and a lock tells who holds it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.files import append_whole, is_temporary, locked, temporary_beside, try_lock, try_lock_as, write_whole


@pytest.fixture
def _umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    write_whole(path, "a long text", durable=durable)
    write_whole(path, b"k\xc3\xbcrzer", durable=durable)
    assert path.read_text(encoding="utf-8") == "kürzer"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("_umask")
def test_permissions_are_less_the_umask_unless_they_are_to_be_exact(tmp_path: Path) -> None:
    for exact, expected in ((False, 0o640), (True, 0o664)):
        write_whole(tmp_path / "file", b"", mode=0o664, exact=exact)
        assert mode_of(tmp_path / "file") == expected


def test_a_file_that_takes_the_place_of_another_has_its_own_permissions(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    write_whole(path, "new", mode=0o600, exact=True)
    assert (path.read_text(), mode_of(path)) == ("new", 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_can_be_another_users(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"", owner=(4711, 4712))
    found = (tmp_path / "file").stat()
    assert (found.st_uid, found.st_gid) == (4711, 4712)


def test_a_file_that_is_not_to_be_overwritten_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("first", "second"):
        write_whole(path, text, overwrite=False)
        assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_could_not_be_put_in_place_leaves_nothing_behind(tmp_path: Path, overwrite: bool) -> None:
    folder = tmp_path / "file"
    folder.mkdir()
    if overwrite:
        with pytest.raises(IsADirectoryError):
            write_whole(folder, b"data")
    else:
        write_whole(folder, b"data", overwrite=False)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_disk_that_takes_half_of_it_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from runbook_lib.files import append_whole, write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))\n"
        "for write in (write_whole, append_whole):\n"
        "    try:\n"
        "        write(Path(sys.argv[1]), b'much too long')\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\nFile too large\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_is_appended_and_the_file_made_if_there_is_none(tmp_path: Path) -> None:
    append_whole(tmp_path / "file", b"one\n")
    append_whole(tmp_path / "file", b"two\n", durable=True)
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"


def test_a_temporary_file_is_known_by_its_name_and_gone_after_its_block(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "file.json") as temporary:
        temporary.touch()
        assert is_temporary(str(temporary))
    assert list(tmp_path.iterdir()) == []
    assert not is_temporary("file.json")
    assert not is_temporary(".file.json")


def test_shared_locks_go_together_and_an_exclusive_one_with_none(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        other = os.open(path, os.O_RDWR)
        assert not try_lock(other)
        assert not try_lock(other, shared=True)
    with locked(path, shared=True):
        assert try_lock(other, shared=True)
        assert not try_lock(other)
    assert try_lock(other)
    os.close(other)


def test_a_shared_lock_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "lock", shared=True):
        pass


def test_a_lock_tells_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("somebody who ended long ago")
    first, second = (os.open(path, os.O_RDWR) for _ in range(2))
    assert try_lock_as(first, "process 4711\n") is None
    assert path.read_text() == "process 4711\n"
    assert try_lock_as(second, "process 4712\n") == "process 4711"
    os.close(first)
    assert try_lock_as(second, "process 4712\n") is None
    assert path.read_text() == "process 4712\n"
    os.close(second)


def test_a_holder_that_has_not_written_who_it_is_has_no_name(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first)
    assert try_lock_as(second, "me") == ""
    for descriptor in (first, second):
        os.close(descriptor)
