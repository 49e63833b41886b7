"""What a person does in JupyterLab, done by Playwright."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.waiting import wait_until

# A notebook is longer than any window; this one is long enough for all of it.
ALL_OF_IT = 12000
LONGEST_RUN_MILLISECONDS = 300_000

# No cell is on its way any more, and at least one has run; or JupyterLab asks something, and nothing goes on.
_NOTHING_IS_ON_ITS_WAY = """() => {
    const prompts = document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell .jp-InputPrompt');
    const marks = [...prompts].map(prompt => prompt.textContent.trim());
    return document.querySelector('.jp-Dialog') || (marks.some(mark => /\\d/.test(mark)) && !marks.includes('[*]:'));
}"""


def front(page: Page) -> Locator:
    """The notebook in front."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def menu(page: Page, *words: str) -> None:
    """Choose an entry of the menu bar, and of the menus below."""
    page.locator(".lm-MenuBar-item").filter(has_text=re.compile(f"^{words[0]}$")).click()
    for word in words[1:]:
        entry = page.locator(".lm-Menu-item:visible").filter(has_text=re.compile(f"^{word}")).first
        entry.hover()
    entry.click()


def open_from_start_page(page: Page, number: str) -> None:
    """Follow the start page's link to a notebook, and wait for its kernel."""
    page.locator(".lm-TabBar-tab").filter(has_text="START.md").click()
    page.locator(".jp-MarkdownViewer").get_by_role("link", name=re.compile(f"^{number} · ")).click()
    expect(page.locator(".lm-TabBar-tab.lm-mod-current").filter(has_text=re.compile(f"^{number}_"))).to_be_visible()
    wait_until_idle(page)


def wait_until_idle(page: Page) -> None:
    """Wait until the notebook in front is connected to a kernel, and that does nothing."""
    # The page does not tell: the circle in a notebook's corner is idle also while there is no kernel yet, and the
    # status bar goes on telling of the notebook that was in front before. The server knows.
    tab = page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current").inner_text().strip()
    address = urlsplit(page.url)
    sessions: list[dict[str, Any]] = []

    def idle() -> bool:
        page.wait_for_timeout(100)  # in which the page goes on
        sessions[:] = page.request.get(f"{address.scheme}://{address.netloc}/api/sessions").json()
        kernels = [session["kernel"] for session in sessions if session["path"] == tab]
        return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)

    wait_until(idle, lambda: f"{tab}: {sessions}", pause=0)
    expect(page.locator("#jp-bottom-panel")).to_contain_text("(ipykernel) | Idle")


def run_all_cells(page: Page) -> None:
    """Choose Run All Cells, and wait for the end of the last one (or the first that fails)."""
    menu(page, "Run", "Run All Cells")
    page.wait_for_function(_NOTHING_IS_ON_ITS_WAY, timeout=LONGEST_RUN_MILLISECONDS)
    questions = page.locator(".jp-Dialog").all_text_contents()
    assert not questions, questions
    wait_until_idle(page)


def run_in_first_cell(page: Page, text: str) -> Locator:
    """Replace the first code cell of the notebook in front, begin to run it, and return it."""
    cell = front(page).locator(".jp-CodeCell").first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")
    return cell


def not_run(page: Page) -> int:
    """How many code cells of the notebook in front have no number."""
    return front(page).locator(".jp-CodeCell .jp-InputPrompt").filter(has_text=re.compile(r"\[\s*\]")).count()


def scroll_to_the_top(page: Page) -> None:
    """Show the beginning of the notebook in front."""
    front(page).locator(".jp-WindowedPanel-outer").evaluate("panel => panel.scrollTo(0, 0)")


def errors(page: Page) -> list[str]:
    """What failed in the notebook in front, as it reads there; JupyterLab shows an error as it shows stderr."""
    found = front(page).locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]')
    return found.all_text_contents()


def save(page: Page) -> None:
    """Save the notebook in front, and wait until the server has it."""
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url):
        menu(page, "File", "Save Notebook")


def save_as_html(page: Page, folder: Path) -> Path:
    """Export the notebook in front, sanitized as JupyterLab suggests, and return the file."""
    menu(page, "File", "Save and Export Notebook As", "HTML")
    question = page.locator(".jp-Dialog")
    expect(question.get_by_label("Sanitize HTML output")).to_be_checked()
    with page.expect_download() as download:
        question.get_by_role("button", name="Ok").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path
