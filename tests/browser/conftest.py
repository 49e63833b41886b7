"""One testbed, one JupyterLab and one browser for all tests of a module, as a person would have them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect, sync_playwright

from runbook_lib.model.locations import copies_folder
from runbook_lib.testbed import Testbed
from tests.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
NAME = f"browser-{os.getpid()}"
#: Kept after the tests, so that somebody can look at them.
SCREENSHOTS = ROOT / ".overlay-runbook" / "screenshots"
WIDTHS = (1280, 1600)
HEIGHT = 1000


@dataclass
class Server:
    """What ``runbook notebook`` runs as: its address with the token, its process and what it said."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def kernels(self) -> list[int]:
        """The processes that it started and that are kernels."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if b"ipykernel" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def stop(self) -> int:
        """Do as Ctrl-C does, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """Four new nodes."""
    bed = Testbed.up(NAME, subnet="auto")
    yield bed
    bed.down()


@pytest.fixture(scope="module")
def parameter_file(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The testbed's parameters, in a file as a user would write one."""
    values = yaml.safe_load((ROOT / "params" / "testbed.yaml").read_text())
    path = tmp_path_factory.mktemp("params") / "mine.yaml"
    path.write_text(yaml.safe_dump({**values, "inventory": f"testbed:{testbed.name}"}))
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own: what the browser saves must not come into the notebooks of this one."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("notebooks", "params", "pyproject.toml"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    # The real folder, not a link: the package finds its project by where it is.
    shutil.copytree(ROOT / "runbook_lib", folder / "runbook_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def copies(checkout: Path) -> Path:
    """The folder of the learner's copies, which JupyterLab opens."""
    return copies_folder(checkout)


@pytest.fixture(scope="module")
def server(checkout: Path, parameter_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``runbook notebook`` on the testbed, for somebody who has another Jupyter with a kernel of the same name."""
    folder = tmp_path_factory.mktemp("server")
    foreign_kernel(folder / "foreign")
    log = folder / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "XDG_DATA_HOME": str(folder / "data"),
        "JUPYTER_PATH": str(folder / "foreign"),
        "JUPYTER_CONFIG_DIR": str(folder / "foreign"),
        "JUPYTER_TOKEN": "known",
        "IPYTHONDIR": str(folder / "foreign"),
    }
    command = [sys.executable, "-P", "-m", "runbook_lib", "notebook", "-f", str(parameter_file), "--no-browser"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder
        )
    try:
        yield Server(_address(process, log), process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def foreign_kernel(folder: Path) -> None:
    """Make another Jupyter's files: a kernel named python3 that does not start, and a configuration that fails."""
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "Foreign", "language": "python"}')
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("raise RuntimeError('another profile')")
    (folder / "jupyter_server_config.py").write_text("raise RuntimeError('another configuration')")


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    address = re.compile(r"http://127\.0\.0\.1:\d+/lab/tree/START\.md\?token=\w+")
    wait_until(lambda: process.poll() is not None or address.search(log.read_text()), log.read_text)
    found = address.search(log.read_text())
    assert found, log.read_text()
    return found.group()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own would be a download of its own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium: ./runbook test installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was on the screen when a test failed."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if call.when == "call" and report.failed and page is not None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", item.name).strip("-")
        path = SCREENSHOTS / f"failed-{name}.png"
        page.screenshot(path=path)
        report.sections.append(("what was on the screen", str(path)))
    return report


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Page:
    """JupyterLab, open on its start page."""
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": HEIGHT})
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    page.goto(server.url)
    return page
