"""What is checked before the first cell runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.execute.run.preparation import Request, ensure_testbed, parse_overrides
from runbook_lib.model.locations import STATE_VARIABLE
from runbook_lib.model.parameters import Parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("True", True),
        ("null", None),
        ("None", None),
        ("ovr1", "ovr1"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("alpine:3.20", "alpine:3.20"),
        ("2026-01-02", "2026-01-02"),
        ("[etcd1, etcd2]", ["etcd1", "etcd2"]),
        ("'5'", "5"),
    ],
)
def test_a_value_is_read_as_yaml(text: str, value: Any) -> None:
    assert parse_overrides([("key", text)], plan=False) == {"key": value}


def test_every_value_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_overrides([("a", "[1"), ("b", "ok"), ("c", "{x")], plan=False)
    assert [fault.place for fault in caught.value.faults] == ["-p a", "-p c"]


def test_the_last_value_of_a_key_wins_and_the_plan_option_above_all() -> None:
    pairs = [("name", "a"), ("plan", "false"), ("name", "b")]
    assert parse_overrides(pairs, plan=True) == {"name": "b", "plan": True}


def write(folder: Path, text: str) -> Path:
    path = folder / "parameters.yaml"
    path.write_text(text)
    return path


def test_every_unknown_or_wrong_parameter_is_told_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "name: x\nprobes: {count: 0}\n")
    request = Request(file, {"overlay.nmae": "ovr1", "platfrom": "boot2docker"})
    with pytest.raises(ParameterError) as caught:
        request.parameters()
    places = [fault.place for fault in caught.value.faults]
    assert sorted(places) == ["-p overlay.nmae", "-p platfrom", f"{file}:2: probes.count"]


def test_parameters_are_valid_before_the_testbed_that_they_name_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    request = Request(write(tmp_path, "inventory: testbed:absent\n"), {})
    assert request.parameters().testbed_name == "absent"
    with pytest.raises(InputError, match="not up"):
        request.validate()


def test_a_notebook_gets_what_the_user_gave_and_no_more(tmp_path: Path) -> None:
    request = Request(write(tmp_path, "name: x\noverlay: {subnet: null}\n"), {"overlay.name": "ovr1", "plan": True})
    assert request.injected() == {"name": "x", "overlay": {"subnet": None, "name": "ovr1"}, "plan": True}


def test_a_notebook_finds_the_inventory_from_wherever_it_runs(tmp_path: Path) -> None:
    assert Request(write(tmp_path, "inventory: here/inventory.yaml"), {}).injected() == {
        "inventory": str(tmp_path / "here" / "inventory.yaml")
    }


def test_plan_mode_does_not_bring_a_testbed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    begun = []
    with pytest.raises(InputError, match="--plan changes nothing") as caught:
        ensure_testbed(Parameters(inventory="testbed:absent"), plan=True, before_up=lambda: begun.append("up"))
    assert caught.value.remedy.endswith("./runbook testbed up --name absent")
    assert not begun
    assert not list(tmp_path.iterdir())
