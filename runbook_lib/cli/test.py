"""``runbook test``: every test of the project, with pytest's own options passed through."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import typer

from runbook_lib.cli.arguments import project_folder
from runbook_lib.errors import ExitCode

#: Folders of tests that boot the testbed, and the one whose tests need Debian's Chromium as well.
BROWSER = "browser"
ON_THE_TESTBED = ("testbed", "notebooks", BROWSER)

app = typer.Typer(add_completion=False)

_WHOLE_SUITE = (
    "runbook: four processes, each with a real cluster of its own at first, one of them with JupyterLab as well.\n"
    "  It takes about 17 minutes; at first and near the end a dot may take a minute or more."
)

#: pytest's exit code -> ours: all passed, some failed, interrupted, its own fault, bad usage, no test collected.
EXIT_CODES = {
    0: ExitCode.PASS,
    1: ExitCode.CHECK_FAILED,
    2: ExitCode.INTERRUPTED,
    3: ExitCode.ERROR,
    4: ExitCode.BAD_INPUT,
    5: ExitCode.BAD_INPUT,
}


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run all tests, the checks of the code's style, types and layers among them.

    Arguments are pytest's, paths relative to the project: tests/unit, -k name, -x, --lf, … The testbed's tests boot a
    real cluster and need root; without it they are skipped and say so. Without paths four processes share them
    all (-n 0: one process for all).
    """
    folder = project_folder()
    if os.geteuid() == 0 and reaches_testbed(folder, context.args):
        from runbook_lib.cli.privileges import install_missing_packages, install_packages

        install_missing_packages()
        if reaches(folder, context.args, BROWSER) and shutil.which("chromium") is None:
            install_packages(["chromium"], "the tests in a browser need")
    spread = side_by_side(folder, context.args)
    if spread:
        typer.echo(_WHOLE_SUITE, err=True)
    code = run_pytest(folder, [*spread, *context.args])
    raise typer.Exit(EXIT_CODES.get(code, ExitCode.ERROR))


def side_by_side(folder: Path, arguments: list[str]) -> list[str]:
    """Return the options that run the whole suite in four processes; none where paths or a debugger are named.

    Tests that boot clusters wait more than they compute; tests/conftest.py says which process runs which.
    """
    alone = any(word.startswith(("-n", "--numprocesses", "--pdb", "--trace")) or word == "-s" for word in arguments)
    if alone or any((folder / word.split("::")[0]).exists() for word in arguments):
        return []
    return ["-n", "4"]


def reaches_testbed(folder: Path, arguments: list[str]) -> bool:
    """Return whether tests that boot the testbed may be among those named."""
    return reaches(folder, arguments, *ON_THE_TESTBED)


def reaches(folder: Path, arguments: list[str], *parts: str) -> bool:
    """Return whether tests of these folders below ``tests`` may be among those named: no path means every test."""
    paths = [folder / argument.split("::")[0] for argument in arguments]
    named = [path.resolve() for path in paths if path.exists()]
    wanted = [folder / "tests" / part for part in parts]
    return not named or any(path.is_relative_to(part) or part.is_relative_to(path) for path in named for part in wanted)


def run_pytest(folder: Path, arguments: list[str]) -> int:
    """Run pytest in the project's folder and return its exit code; its summary stays the last line printed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has its background jobs ignore Ctrl-C, and what they start inherits that: tests that interrupt a run
        # would wait for ever, and so would a pytest that is asked to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=folder)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal sent Ctrl-C to pytest as well, which now cleans up and tells what it had done.
            continue
        except BaseException:
            # Asked to end: as Ctrl-C does, so that pytest tears down what its fixtures made.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
