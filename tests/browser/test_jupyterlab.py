"""JupyterLab as a person has it: Chromium drives ``runbook notebook`` on the real testbed.

The tests are the steps of one visit, in this order. Each step's screenshots stay in ``.overlay-runbook/screenshots``.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect

from runbook_lib.testbed import Testbed
from tests.browser.conftest import HEIGHT, ROOT, SCREENSHOTS, WIDTHS, Server
from tests.browser.lab import (
    ALL_OF_IT,
    errors,
    front,
    menu,
    not_run,
    open_from_start_page,
    run_all_cells,
    run_in_first_cell,
    save,
    save_as_html,
    scroll_to_the_top,
    wait_until_idle,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed

# 09 ends what the other steps need; it is run after them.
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-8]_*.ipynb"))]
LAST = "09_clean_up"
# What a step does that is interrupted: it takes back what it has begun, which takes its time.
SLOW_STEP = """import pathlib, time
try:
    pathlib.Path("begun").touch()
    time.sleep(600)
finally:
    time.sleep(7)
    pathlib.Path("cleaned-up").touch()
"""
# The width of a sheet of paper in a browser's pixels, of which there are 96 an inch.
A4_PIXELS = 794


def screenshots(page: Page, name: str, height: int = HEIGHT) -> None:
    """Keep what is seen, in each width."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in reversed(WIDTHS):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")
    page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})


def test_the_start_page_shows_the_learning_path_the_cluster_and_how_to_stop(page: Page) -> None:
    view = page.locator(".jp-MarkdownViewer")
    expect(view.get_by_role("heading", name="The cluster now")).to_be_visible()
    for name in NOTEBOOKS:
        assert view.get_by_role("link", name=re.compile(f"^{name[:2]} · ")).count() == 1
    text = view.inner_text()
    for word in ("minutes", "changes", "node4", "Ctrl-C", "mine.yaml"):
        assert word in text
    picture = view.get_by_role("img")
    assert picture.evaluate("image => image.naturalWidth") > 100
    screenshots(page, "start", 1800)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_all_cells_of_a_notebook_run_to_the_end(page: Page, name: str) -> None:
    open_from_start_page(page, name[:2])
    started = time.monotonic()
    run_all_cells(page)
    print(f"{name}: {time.monotonic() - started:.1f} s")
    scroll_to_the_top(page)
    screenshots(page, name, ALL_OF_IT)
    assert errors(page) == []
    assert not_run(page) == 0
    if name.startswith("00"):
        assert "mine.yaml: inventory" in front(page).inner_text()
    save(page)


def test_a_kernel_is_this_interpreter_whatever_jupyter_there_is_besides(page: Page, server: Server) -> None:
    open_from_start_page(page, "00")
    assert server.kernels
    for kernel in server.kernels:
        assert Path(f"/proc/{kernel}/cmdline").read_bytes().split(b"\0")[0].decode() == sys.executable


def test_a_toggle_disconnects_a_container_and_the_matrix_follows(page: Page) -> None:
    open_from_start_page(page, "06")
    panel = front(page).locator(".runbook-connections")
    toggle = panel.get_by_title("alpine1 on ovr0")
    expect(toggle).to_have_text("● connected")
    toggle.click()
    expect(toggle).to_have_text("○ disconnected")
    expect(panel.locator(".runbook-matrix")).to_contain_text("silent")
    panel.scroll_into_view_if_needed()
    screenshots(page, "toggle-off")
    toggle.click()
    expect(toggle).to_have_text("● connected")
    expect(panel.locator(".runbook-matrix")).not_to_contain_text("silent")
    screenshots(page, "toggle-on")


def test_what_measures_is_refused_in_another_page_until_the_live_matrix_is_stopped(page: Page) -> None:
    open_from_start_page(page, "06")
    panel = front(page).locator(".runbook-live-matrix")
    panel.get_by_role("button", name="start").click()
    expect(panel).to_contain_text("reading 2")
    open_from_start_page(page, "05")
    run_all_cells(page)
    scroll_to_the_top(page)
    screenshots(page, "in-use", ALL_OF_IT)
    (refusal,) = errors(page)
    assert "LockedError" in refusal
    assert "notebook 06_disconnect_connect, its live matrix, until somebody stops it (process " in refusal
    open_from_start_page(page, "06")
    panel.get_by_role("button", name="stop").click()
    expect(panel).to_contain_text("stopped after")
    open_from_start_page(page, "05")
    run_all_cells(page)
    assert errors(page) == []
    save(page)  # JupyterLab may have saved the refusal by itself


def test_an_answer_is_kept_in_the_copy_until_it_is_reset(page: Page, copies: Path) -> None:
    open_from_start_page(page, "10")
    exercise = front(page).locator(".jp-CodeCell").filter(has_text='archive.exercise("10-a"')
    exercise.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text('a = archive.exercise("10-a", prediction="one")')
    save(page)
    assert 'prediction=\\"one\\"' in (copies / "10_read_the_archive.ipynb").read_text()
    page.locator(".lm-TabBar-tab").filter(has_text="START.md").click()
    menu(page, "File", "Reload Markdown File from Disk")
    row = page.locator(".jp-MarkdownViewer tr").filter(has=page.get_by_role("link", name=re.compile("^10 · ")))
    expect(row).to_contain_text("changed by you")
    screenshots(page, "start-changed", 1800)
    row.get_by_role("link", name="reset").click()
    told = page.locator(".jp-MarkdownViewer:visible")
    expect(told.get_by_role("heading", name="10_read_the_archive is as committed again")).to_be_visible()
    screenshots(page, "reset")
    assert 'prediction=\\"one\\"' not in (copies / "10_read_the_archive.ipynb").read_text()
    (kept,) = copies.glob("10_read_the_archive_before_reset_*.ipynb")
    assert 'prediction=\\"one\\"' in kept.read_text()


def test_the_originals_are_as_committed_after_the_walk(checkout: Path) -> None:
    for original in sorted((ROOT / "notebooks").rglob("*")):
        mine = checkout / "notebooks" / original.relative_to(ROOT / "notebooks")
        assert mine.is_dir() if original.is_dir() else mine.read_bytes() == original.read_bytes(), original
    assert len(list((checkout / "notebooks").rglob("*"))) == len(list((ROOT / "notebooks").rglob("*")))


def test_an_exported_page_opens_offline_and_shows_its_evidence(page: Page, browser: Browser, tmp_path: Path) -> None:
    open_from_start_page(page, "06")
    path = save_as_html(page, tmp_path)
    context = browser.new_context(offline=True, java_script_enabled=False)
    try:
        offline = context.new_page()
        wanted: list[str] = []
        offline.on("requestfailed", lambda request: wanted.append(request.url))
        offline.goto(path.as_uri())
        for width in WIDTHS:
            offline.set_viewport_size({"width": width, "height": HEIGHT})
            assert offline.evaluate("document.documentElement.scrollWidth") <= width
            offline.screenshot(path=SCREENSHOTS / f"export-{width}.png", full_page=True)
        text = offline.locator("body").inner_text()
        assert "model not found" not in text.lower()
        assert "base64" not in text
        assert "<table" not in text
        assert "silent" in text or "unreachable" in text
        pictures = offline.get_by_role("img").all()
        assert len(pictures) > 4
        for picture in pictures:
            assert picture.evaluate("image => image.naturalWidth") > 50
    finally:
        context.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_saved_notebook_shows_needs_no_javascript(page: Page, copies: Path, name: str) -> None:
    saved = nbformat.read(copies / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in saved.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs, "it was not saved after its run"
    for output in outputs:
        data = output.get("data", {})
        assert "application/javascript" not in data
        assert "<script" not in data.get("text/html", "")
        assert output.output_type == "stream" or "text/plain" in data


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_exported_notebook_fits_on_paper(browser: Browser, page: Page, copies: Path, name: str) -> None:
    body, _ = HTMLExporter().from_filename(copies / f"{name}.ipynb")
    paper = browser.new_page(viewport={"width": A4_PIXELS, "height": HEIGHT}, java_script_enabled=False)
    try:
        paper.emulate_media(media="print")
        paper.set_content(body)
        tables = paper.locator("table")
        wide = tables.evaluate_all("all => all.filter(each => each.getBoundingClientRect().right > innerWidth).length")
        assert wide == 0
    finally:
        paper.close()


def test_an_interrupted_step_ends_and_leaves_its_kernel_usable(page: Page, testbed: Testbed) -> None:
    open_from_start_page(page, "02")
    scroll_to_the_top(page)
    cell = run_in_first_cell(page, 'run.power_cycle("node1", again=True)')
    expect(cell).to_contain_text("waiting for")
    menu(page, "Kernel", "Interrupt Kernel")
    wait_until_idle(page)
    screenshots(page, "interrupted", 5000)
    assert any("KeyboardInterrupt" in error for error in errors(page))
    Testbed.up(testbed.name, subnet="auto")  # the node goes on by itself: this waits for it
    run_in_first_cell(page, "len(run.nodes)")
    expect(cell.locator(".jp-OutputArea-output")).to_have_text("4")


def test_all_cells_of_the_notebook_that_cleans_up_run_to_the_end(page: Page) -> None:
    open_from_start_page(page, LAST[:2])
    run_all_cells(page)
    scroll_to_the_top(page)
    screenshots(page, LAST, ALL_OF_IT)
    assert errors(page) == []


def test_ctrl_c_lets_a_running_cell_clean_up_and_leaves_no_kernel(page: Page, server: Server, copies: Path) -> None:
    open_from_start_page(page, "05")
    kernels = server.kernels
    assert kernels
    cell = run_in_first_cell(page, SLOW_STEP)
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\*\]"))
    wait_until((copies / "begun").exists)
    assert server.stop() == 0
    assert (copies / "cleaned-up").exists()
    assert not [kernel for kernel in kernels if Path(f"/proc/{kernel}").exists()]
