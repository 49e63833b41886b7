"""JupyterLab is started for this machine only, and keeps its token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.cli.lab.copies import Copies
from runbook_lib.cli.lab.server import lab_arguments, lab_environment
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]


def listening_addresses(port: int) -> set[str]:
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    sockets = [line.split() for line in lines]
    return {words[1].split(":")[0] for words in sockets if words[1].endswith(f":{port:04X}") and words[3] == "0A"}


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a learner's copies, for somebody who has a Jupyter of their own; the address that it prints."""
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    Copies(ROOT / "notebooks", folder / "notebooks").update()
    foreign = folder / "foreign"
    kernel = foreign / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "Foreign", "language": "python"}')
    (foreign / "jupyter_server_config.py").write_text("c.IdentityProvider.token = ''")
    theirs = {"JUPYTER_PATH": str(foreign), "JUPYTER_CONFIG_DIR": str(foreign), "JUPYTER_TOKEN": "known"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        arguments = ["-m", "runbook_lib.cli.lab.server", *lab_arguments(folder / "notebooks", 18888, browser=False)]
        environment = lab_environment({**os.environ, **theirs}, folder / "missing.yaml")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
        )
    try:
        address = re.compile(r"http://127\.0\.0\.1:(?P<port>\d+)/lab/tree/START\.md\?token=\w+")
        wait_until(lambda: server.poll() is not None or address.search(log.read_text()), log.read_text)
        found = address.search(log.read_text())
        assert found, log.read_text()
        # It prints the address a moment before it listens there.
        wait_until(lambda: listening_addresses(int(found["port"])), log.read_text)
        yield found.group()
    finally:
        server.terminate()
        server.wait()


def ask(server_url: str, path: str) -> dict[str, Any]:
    address, _, token = server_url.partition("/lab/tree/START.md")
    proof = token.replace("?", "&") if "?" in path else token
    with urllib.request.urlopen(f"{address}{path}{proof}") as answer:
        return dict(json.load(answer))


def test_the_server_listens_on_loopback_and_wants_its_token(server_url: str) -> None:
    address, port = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/.*", server_url).groups()
    assert listening_addresses(int(port)) == {"0100007F"}
    assert ask(server_url, "/api/contents")["type"] == "directory"
    for token in ("", "?token=known", "?token="):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/api/contents{token}")
        assert refused.value.code == 403


def test_the_only_kernel_is_this_interpreter_whatever_another_jupyter_has(server_url: str) -> None:
    specs = ask(server_url, "/api/kernelspecs")["kernelspecs"]
    assert list(specs) == ["python3"]
    assert specs["python3"]["spec"]["argv"][0] == sys.executable


def test_the_start_page_is_found_in_a_folder_where_it_never_was(server_url: str) -> None:
    # JupyterLab asks what kind of file it is before it asks for what is in it.
    assert ask(server_url, "/api/contents/START.md?content=0")["type"] == "file"


def test_the_start_page_is_written_when_it_is_opened_and_says_why_there_is_no_cluster(server_url: str) -> None:
    page = ask(server_url, "/api/contents/START.md")["content"]
    assert "missing.yaml" in page
    assert "Ctrl-C" in page


def test_a_link_on_the_start_page_resets_a_notebook_once(server_url: str) -> None:
    page = ask(server_url, "/api/contents/START.md")["content"]
    (link,) = re.findall(r"\(reset/(05_ping_tests-\w+\.md)\)", page)
    assert ask(server_url, f"/api/contents/reset/{link}?content=0")["type"] == "file"
    assert "# 05_ping_tests is as committed again" in ask(server_url, f"/api/contents/reset/{link}")["content"]
    assert f"reset/{link}" not in ask(server_url, "/api/contents/START.md")["content"]


def test_no_setting_of_another_jupyter_reaches_the_server(tmp_path: Path) -> None:
    theirs = {"JUPYTER_PATH": "/x", "JUPYTERLAB_DIR": "/x", "IPYTHONDIR": "/x", "JUPYTER_TOKEN": "", "HOME": "/home/me"}
    environment = lab_environment(theirs, tmp_path / "mine.yaml")
    assert "/x" not in environment.values()
    assert "JUPYTER_TOKEN" not in environment
    assert environment["HOME"] == "/home/me"
    assert environment["OVERLAY_RUNBOOK_PARAMETERS"] == str(tmp_path / "mine.yaml")


@pytest.mark.parametrize("browser", [True, False])
def test_the_browser_is_opened_only_when_wanted(browser: bool) -> None:
    assert ("--no-browser" in lab_arguments(Path("/x"), 8888, browser=browser)) is not browser


def test_root_is_allowed_only_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--allow-root" not in lab_arguments(Path("/x"), 8888, browser=True)
