"""An archive and a signing key of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "home" / "signing_key.pem"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("OVERLAY_RUNBOOK_RECORDS", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "records")
