"""What cells put out, with real kernels: capped with the whole beside it, without secrets, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import time
from collections import defaultdict
from pathlib import Path

import pytest

from runbook_lib.execute.kernel.pacing import ACKNOWLEDGED_TOGETHER
from runbook_lib.redact import Redactor
from tests.notebooks.generated import Execution, Workplace, always, execute

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def whole_outputs(run: Execution) -> dict[str, str]:
    """What the notebook's lines say of whole outputs: path -> SHA-256."""
    return dict(re.findall(r"the whole is in (\S+), SHA-256 ([0-9a-f]{64})\]", run.text))


def memory(what: str) -> int:
    """This process's memory (VmRSS) or its highest so far (VmHWM), in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def test_a_huge_print_is_capped_kept_whole_beside_it_and_takes_no_memory(workplace: Workplace) -> None:
    execute(workplace, workplace.notebook("00_warm_up", "print('x' * 3_000_000)"))
    cells = ("print('begins ' + 'x' * 60_000_000)", "for n in range(300_000): print('y' * 100)", "'after'")
    notebook = workplace.notebook("01_huge", *cells)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    run = execute(workplace, notebook)
    assert memory("VmHWM") - before < 60_000_000
    assert run.ends == ["completed"] * 3
    assert "60,000,008 characters in all" in run.text
    assert "30,300,000 characters in all" in run.text
    assert len(run.text) < 2_100_000
    assert "'after'" in run.text
    kept = whole_outputs(run)
    assert len(kept) == 2
    for path, digest in kept.items():
        assert hashlib.sha256((run.folder / path).read_bytes()).hexdigest() == digest
    sizes = sorted((run.folder / path).stat().st_size for path in kept)
    assert sizes == [30_300_000, 60_000_008]


def test_a_huge_display_and_a_huge_error_are_capped_and_what_is_small_stays(workplace: Workplace) -> None:
    display = (
        "from IPython.display import HTML, display\n"
        "print('first')\n"
        "display(HTML('<b>' + 'x' * 3_000_000 + '</b>'))\n"
        "'last'"
    )
    cells = (display, "raise ValueError('z' * 2_000_000)")
    run = execute(workplace, workplace.notebook("01_huge", *cells), output_limit=50_000)
    assert run.ends == ["completed", "failed"]
    assert "first" in run.text
    assert "'last'" in run.text
    assert "text/html: 3,000,041 characters, too much to be kept here" in run.text
    assert (run.folder / "notebook.ipynb").stat().st_size < 200_000
    contents = [(run.folder / path).read_text() for path in whole_outputs(run)]
    assert any(text.startswith("first\n") and "<b>" + "x" * 3_000_000 + "</b>" in text for text in contents)
    assert any("z" * 2_000_000 in text for text in contents)


def test_output_in_many_small_pieces_stays_quick_and_is_one_output(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged = defaultdict[int, list[int]](list)
    write = os.write

    def noted(descriptor: int, data: bytes) -> int:
        if set(bytes(data)) == set(b"."):
            acknowledged[descriptor].append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", noted)
    began = time.process_time()
    run = execute(workplace, workplace.notebook("01_chatty", "for n in range(2_000): print(n, flush=True)"))
    assert time.process_time() - began < 10
    units = max(acknowledged.values(), key=sum)
    assert sum(units) > 1_000
    assert min(units) >= ACKNOWLEDGED_TOGETHER
    (output,) = run.notebook["cells"][-1]["outputs"]
    assert "".join(output["text"]) == "".join(f"{n}\n" for n in range(2_000))


def test_a_message_that_cannot_be_stored_is_an_error_and_keeps_nobody_waiting(workplace: Workplace) -> None:
    broken = """
kernel = get_ipython().kernel
kernel.session.send(kernel.iopub_socket, "display_data", content={"metadata": {}}, parent=kernel.get_parent())
while True: print("x" * 99)
"""
    run = execute(workplace, workplace.notebook("01_broken", broken))
    assert isinstance(run.error, KeyError)


def test_a_cleared_output_makes_room_and_an_updated_display_takes_none(workplace: Workplace) -> None:
    clearing = "for n in range(50):\n    clear_output(wait=True)\n    print(n, 'c' * 900)"
    updating = "shown = display('u', display_id=True)\nfor n in range(50): shown.update(f'{n}' + 'u' * 900)"
    cells = (f"from IPython.display import clear_output, display\n{clearing}", updating)
    run = execute(workplace, workplace.notebook("01_lively", *cells), output_limit=2000)
    assert not whole_outputs(run)
    assert run.text.count("c") == 900
    assert "49uuu" in run.text
    assert "48uuu" not in run.text


def test_no_secret_reaches_the_record_the_log_or_a_file(
    workplace: Workplace,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "papermill")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # a kernel would not take what programs put out by themselves
    half = len(SECRET) // 2
    parts = f"import sys, time\nparts = ('begin ', name[:{half}], name[{half}:], ' end')\n"
    cells = (
        parts + "for part in parts:\n    print(part, end='', flush=True); time.sleep(0.05)",
        "for part in parts:\n    print(part, end='', flush=True); print(part, end='', file=sys.stderr, flush=True)",
        "from IPython.display import display, HTML\nshown = display(HTML(f'<p>{name}</p>'), display_id=True)\n"
        "shown.update(HTML(f'<i>{name}</i>'))\nname",
        "import ipywidgets\nipywidgets.Text(value=name, description=name)",
        f"caught = ipywidgets.Output()\nwith caught:\n    print(name[:{half}], end='', flush=True)\n"
        f"    print(name[{half}:]); display(name)\ncaught",
        "import os\nos.system(f'echo past Python {name}; echo {name} >&2')\ntime.sleep(0.3)",
        "print(name[:6], end='')\ndisplay('between')",
        f"raise ValueError('wrong: ' + name + {SECRET!r})",
        always("print('at the end', name)"),
    )
    files = {"stdout_file": io.StringIO(), "stderr_file": io.StringIO()}
    redactor = Redactor({"passphrase": SECRET})
    notebook = workplace.notebook("01_telling", *cells)
    run = execute(workplace, notebook, {"name": SECRET}, redactor, log_output=True, **files)
    assert run.ends == ["completed"] * 7 + ["failed", "completed"]
    assert "begin [REDACTED:passphrase] end" in run.text
    assert "<i>[REDACTED:passphrase]</i>" in str(run.notebook)
    assert "widget-state" in str(run.notebook["metadata"])
    assert run.notebook["metadata"]["papermill"]["parameters"] == {"name": "[REDACTED:passphrase]"}
    assert "past Python [REDACTED:passphrase]" in run.text
    assert "at the end [REDACTED:passphrase]" in caplog.text
    assert "begin [REDACTED:passphrase] end" in files["stderr_file"].getvalue()
    captured = capfd.readouterr()
    texts = [path.read_text(errors="replace") for path in workplace.records.rglob("*") if path.is_file()]
    texts += [caplog.text, captured.out, captured.err, *(file.getvalue() for file in files.values())]
    for text in texts:
        assert SECRET not in text
        assert SECRET[half:] not in text


@pytest.mark.parametrize("times", [8, pytest.param(20, marks=pytest.mark.repeat)])
def test_a_cell_whose_output_goes_to_a_widget_ends_however_its_messages_cross(workplace: Workplace, times: int) -> None:
    # Of 48 runs of one such cell on a busy machine, eight waited for ever for an answer that had come.
    begin = "import ipywidgets\ncaught = ipywidgets.Output()\n"
    cells = [begin + "for number in range(20):\n    with caught:\n        print(number)"] * times
    run = execute(workplace, workplace.notebook("01_many", *cells), {}, Redactor())
    assert set(run.ends) == {"completed"}
