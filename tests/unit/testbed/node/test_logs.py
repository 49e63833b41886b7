from __future__ import annotations

from pathlib import Path

from runbook_lib.testbed.node.readiness import FileLog, JournalLog


def test_a_journal_that_is_not_there_says_so_instead_of_failing(tmp_path: Path) -> None:
    log = JournalLog(tmp_path / "none", "docker.service")
    assert str(log) == f"'journalctl --directory={tmp_path}/none --unit=docker.service'"
    assert "none" in log.tail() or "No journal files" in log.tail()


def test_a_file_is_told_by_its_path_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "boot.log"
    path.write_text("\n".join(map(str, range(100))))
    assert str(FileLog(path)) == str(path)
    assert FileLog(path).tail().splitlines()[-1] == "99"
