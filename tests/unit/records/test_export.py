from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nbformat
import pytest
from junitparser import JUnitXml
from nbformat.v4 import new_markdown_cell, new_notebook

from runbook_lib.errors import InputError, RecordError
from runbook_lib.records.export import export
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive
from tests.unit.records.samples import put


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "records")


@pytest.fixture
def folder(archive: Archive) -> Path:
    folder = put(archive.root)
    (folder / "notebook.html").write_text("<p>the page of then</p>")
    notebook = new_notebook(cells=[new_markdown_cell("# Rendered *anew*")])
    (folder / "notebook.ipynb").write_text(nbformat.writes(notebook))
    (folder / "tables").mkdir()
    (folder / "tables" / "ping.csv").write_text("a,b\n1,2\n")
    archive.keys_folder.mkdir()
    (archive.keys_folder / "k1.pem").write_text("public half")
    return folder


def test_html_is_the_page_that_the_record_has_or_one_rendered_anew(
    archive: Archive, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "page.html"
    assert export(archive, folder, "html", target) == target
    assert target.read_text() == "<p>the page of then</p>"
    (folder / "notebook.html").unlink()
    export(archive, folder, "html", target)
    assert "Rendered <em>anew</em>" in target.read_text()
    assert "05_ping_tests" in target.read_text()


def test_junit_is_xml_that_a_build_server_reads(archive: Archive, folder: Path, tmp_path: Path) -> None:
    suites = list(JUnitXml.fromfile(str(export(archive, folder, "junit", tmp_path / "junit.xml"))))
    assert [suite.name for suite in suites] == ["lab/05_ping_tests"]


def test_zip_has_every_file_as_it_is_and_the_public_keys_and_is_the_same_every_time(
    archive: Archive, folder: Path, tmp_path: Path
) -> None:
    path = export(archive, folder, "zip", tmp_path / "record.zip")
    with zipfile.ZipFile(path) as bundle:
        names = bundle.namelist()
        assert json.loads(bundle.read(f"{folder.name}/record.json"))["notebook"] == "05_ping_tests"
    inside = ("notebook.html", "notebook.ipynb", "record.json", "tables/ping.csv")
    assert names == [*(f"{folder.name}/{name}" for name in inside), "keys/k1.pem"]
    assert export(archive, folder, "zip", tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_without_a_name_the_file_is_called_like_the_record(
    archive: Archive, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(archive, folder, "zip") == Path(f"{folder.name}.zip")
    assert (tmp_path / f"{folder.name}.zip").is_file()


def test_what_cannot_be_exported_is_told(archive: Archive, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of: html, junit, zip"):
        export(archive, folder, "pdf")
    with pytest.raises(InputError, match="cannot be written"):
        export(archive, folder, "zip", tmp_path / "no" / "such" / "folder.zip")
    for name in ("notebook.html", "notebook.ipynb"):
        (folder / name).unlink()
    with pytest.raises(RecordError, match=r"notebook\.ipynb"):
        export(archive, folder, "html", tmp_path / "page.html")
    (folder / "record.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        export(archive, folder, "junit", tmp_path / "junit.xml")
