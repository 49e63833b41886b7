"""YAML files: read as papermill reads them, refused at line and column when they cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.model.documents import anchored, override, read_document, read_value


def write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", ":2:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n\tb: 1", ":2:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: 'x", ":1:6: not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 1", ":2:1: not valid YAML: but found another document"),
        ("a: !!python/object:os.system x", ":1:4: not valid YAML: could not determine a constructor"),
        ("a: *nothing", ":1:4: not valid YAML: found undefined alias 'nothing'"),
        ("? [a]\n: b", ":1:3: not valid YAML: found unhashable key"),
        ("a: \0", ": not valid YAML: unacceptable character #x0000"),
        ("- a", ":1: the file must hold keys and values"),
        ("only text", ":1: the file must hold keys and values"),
        ("a: &x [*x]", ": the file is nested too deeply, or refers to itself"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}{said}")
    assert caught.value.remedy


def test_a_path_that_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_document(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="this is a folder, not a YAML file"):
        read_document(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9")
    with pytest.raises(InputError, match="the file is not UTF-8 text"):
        read_document(path)


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    for text in ("", "\n", "# nothing yet\n", "---\n"):
        assert read_document(write(tmp_path, text)).data == {}


def test_keys_that_stand_twice_are_refused_each_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a: 1\nb:\n  - {c: 1, c: 2}\na: 3\n")
    with pytest.raises(ParameterError) as caught:
        read_document(path)
    assert [str(fault) for fault in caught.value.faults] == [
        f"{path}:3: the key 'c' stands here again, first on line 3",
        f"{path}:4: the key 'a' stands here again, first on line 1",
    ]


def test_values_are_those_that_papermill_reads(tmp_path: Path) -> None:
    from papermill.iorw import read_yaml_file

    path = write(
        tmp_path, "a: 2020-01-01\nb: no\nc: 1e3\nd: 010\ne: '1'\nf: ~\ng: [1, 2.5]\nbase: &x {k: 1}\nh: {<<: *x, k: 2}"
    )
    document = read_document(path)
    assert document.data == read_yaml_file(str(path))
    assert document.data["a"] == "2020-01-01"


def test_keys_are_the_text_that_stands_in_the_file(tmp_path: Path) -> None:
    assert read_document(write(tmp_path, "on: 1\n1: 2\ntrue: 3\n")).data == {"on": 1, "1": 2, "true": 3}


def test_a_place_is_the_line_of_the_key_or_of_its_nearest_parent(tmp_path: Path) -> None:
    path = write(tmp_path, "a: 1\nb:\n  - c: 1\n    d: 2\n")
    document = read_document(path)
    assert document.place(["b", 0, "d"]) == f"{path}:4: b.0.d"
    assert document.place(["b", 0, "missing"]) == f"{path}:3: b.0.missing"
    assert document.place(["missing"]) == f"{path}: missing"
    assert document.place([]) == f"{path}: (top level)"


def test_an_override_changes_a_copy() -> None:
    data = {"a": {"b": 1}, "c": [{"d": 1}]}
    assert override(data, {"a.b": 2, "c.0.d": 3, "e.f": 4}) == {"a": {"b": 2}, "c": [{"d": 3}], "e": {"f": 4}}
    assert data == {"a": {"b": 1}, "c": [{"d": 1}]}


def test_overrides_that_lead_nowhere_are_all_told() -> None:
    with pytest.raises(ParameterError) as caught:
        override({"a": "text", "c": [1]}, {"a.b": 1, "c.5": 1, "c.x": 1})
    assert [fault.place for fault in caught.value.faults] == ["-p a.b", "-p c.5", "-p c.x"]


def test_paths_become_absolute_and_references_to_testbeds_stay(tmp_path: Path) -> None:
    assert anchored({"inventory": "testbed:runbook"}, tmp_path) == {"inventory": "testbed:runbook"}
    assert anchored({"inventory": "x.yaml"}, tmp_path) == {"inventory": f"{tmp_path}/x.yaml"}
    nodes = {"nodes": [{"ssh": {"host": "h", "key_file": "k"}, "docker": {"ca": "/abs/ca"}}, "odd"]}
    assert anchored({"inventory": nodes}, tmp_path)["inventory"]["nodes"] == [
        {"ssh": {"host": "h", "key_file": f"{tmp_path}/k"}, "docker": {"ca": "/abs/ca"}},
        "odd",
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("2026-11-29", "2026-11-29"), ("[1, two]", [1, "two"]), ("", None), ("yes", True)]
)
def test_a_single_value_is_read_as_those_of_a_file_are_and_a_date_is_text(text: str, value: object) -> None:
    assert read_value(text) == value
