"""JupyterLab is started for this machine only, and keeps its token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.cli.notebook import jupyter_arguments

PATIENCE_SECONDS = 60


def listening_addresses(port: int) -> set[str]:
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    sockets = [line.split() for line in lines]
    return {words[1].split(":")[0] for words in sockets if words[1].endswith(f":{port:04X}") and words[3] == "0A"}


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """A server on an empty folder, as the command starts it; the address that it prints, with the token."""
    log = tmp_path / "log"
    (tmp_path / "notebooks").mkdir()
    arguments = jupyter_arguments(tmp_path / "notebooks", 18888, browser=False)
    with log.open("wb") as output:
        server = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(r"http://127\.0\.0\.1:(?P<port>\d+)/lab\?token=\w+", log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        # It prints the address a moment before it listens there.
        while not listening_addresses(int(found["port"])):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found.group()
    finally:
        server.terminate()
        server.wait()


def test_the_server_listens_on_loopback_and_wants_its_token(server_url: str) -> None:
    address, port = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/.*", server_url).groups()
    assert listening_addresses(int(port)) == {"0100007F"}
    with urllib.request.urlopen(f"{address}/api/contents?{server_url.partition('?')[2]}") as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/api/contents")
    assert refused.value.code == 403


@pytest.mark.parametrize("browser", [True, False])
def test_the_browser_is_opened_only_when_wanted(browser: bool) -> None:
    assert ("--no-browser" in jupyter_arguments(Path("/x"), 8888, browser=browser)) is not browser


def test_root_is_allowed_only_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--allow-root" not in jupyter_arguments(Path("/x"), 8888, browser=True)
