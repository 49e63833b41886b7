from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, LockedError, TestbedError
from runbook_lib.model.locations import STATE_VARIABLE
from runbook_lib.testbed import state
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.state import State


@pytest.fixture(autouse=True)
def state_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return tmp_path


def record(name: str = "tests") -> State:
    layout = Layout(name, 2, IPv4Network("192.168.77.0/24"), IPv4Network("10.213.30.0/24"))
    layout.folder.mkdir(parents=True, exist_ok=True)
    return State(layout, rootfs="/cache/tree", dhcp=Process(12, 345), complete=True)


def test_a_record_is_read_as_it_was_written() -> None:
    state.write(record())
    assert state.read("tests") == record()
    assert state.names() == ["tests"]


def test_a_testbed_that_does_not_exist_is_a_users_mistake_that_names_those_that_do() -> None:
    state.write(record("other"))
    assert state.read("tests") is None
    with pytest.raises(InputError, match=r"no testbed called 'tests' \(there are: other\)"):
        state.require("tests")


def test_a_damaged_record_is_told_with_its_place(state_root: Path) -> None:
    state.write(record())
    (state_root / "tests" / "state.json").write_text('{"version": 99}')
    with pytest.raises(TestbedError, match=r"state\.json: .*version 99"):
        state.read("tests")


def test_a_second_command_on_the_same_testbed_is_refused() -> None:
    with state.locked("tests"):
        with pytest.raises(LockedError, match="another command is changing this testbed"), state.locked("tests"):
            pytest.fail("both had the lock")
        with state.locked("other"):
            pass
    with state.locked("tests"):
        pass


def test_the_lock_of_a_testbed_that_was_removed_meanwhile_is_taken_anew(state_root: Path) -> None:
    with state.locked("tests"):
        (state_root / "tests" / "lock").unlink()
    with state.locked("tests"):
        assert (state_root / "tests" / "lock").is_file()


def test_a_folder_with_nothing_but_the_lock_is_not_kept(state_root: Path) -> None:
    with state.locked("tests"):
        state.discard_if_empty("tests")
    assert not (state_root / "tests").exists()
    state.write(record())
    state.discard_if_empty("tests")
    assert state.names() == ["tests"]
