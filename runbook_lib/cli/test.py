"""``runbook test``: every test of the project, with pytest's own options passed through."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import typer

from runbook_lib.bootstrap import pip_settings, usable_uv, uv_settings
from runbook_lib.cli.arguments import project_folder
from runbook_lib.errors import ExitCode, InputError, RequirementError, RunbookError

#: Folders of tests that boot the testbed, and the one whose tests need Debian's Chromium as well.
BROWSER = "browser"
ON_THE_TESTBED = ("testbed", "notebooks", BROWSER)
#: The folder of those that need neither.
UNIT = "unit"
#: tests/conftest.py knows this option too: it leaves the long repeats out without it.
ALL = "--all"
#: Tests that are about the pinned environment itself, or about what its tools say of the code.
ABOUT_THE_LOCK = ("tests/unit/test_environment.py", "tests/unit/test_code_style.py", "tests/unit/docs/test_pages.py")

#: pytest's short options that take a value, and the long ones that take none; of any other long one the next word may
#: be the value.
_SHORT_WITH_VALUE = "ckmnoprW"
_LONG_WITHOUT_VALUE = {
    *("--", ALL, "--co", "--collect-only", "--exitfirst", "--ff", "--failed-first", "--full-trace", "--last-failed"),
    *("--lf", "--new-first", "--nf", "--no-cov", "--no-header", "--no-summary", "--pdb", "--quiet", "--runxfail"),
    *("--setup-only", "--setup-plan", "--setup-show", "--showlocals", "--stepwise", "--sw", "--trace", "--verbose"),
}

app = typer.Typer(add_completion=False)

#: What a process of tests takes of memory: one that boots clusters, with JupyterLab and a browser in the worst case,
#: and one of unit tests.
_CLUSTER_MEMORY = 1500 * 2**20
_UNIT_MEMORY = 400 * 2**20
#: Tests wait about as long as they compute.
_PROCESSES_A_CORE = 2

_WHOLE_SUITE = (
    "runbook: {processes} processes, each with a real cluster of its own at first, one of them with JupyterLab too.\n"
    "  With two cores it takes 15 to 25 minutes; at first and near the end a dot may take a minute."
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

    "unit" as first argument: the unit tests and these checks, which need no cluster. --all: the long repeats as well,
    and the branch coverage of what runs in pytest's own processes.
    Other arguments are pytest's, paths relative to the project: tests/unit, -k name, -x, --lf, … The testbed's tests
    boot a real cluster and need root; without it they are skipped and say so. As many processes as this machine
    carries share the tests (-n 0: one process for all).

    "lowest" as first argument runs the unit tests in an environment of their own, with the oldest libraries that
    pyproject.toml allows.
    """
    folder = project_folder()
    check_paths(folder, context.args[1:] if context.args[:1] in (["lowest"], [UNIT]) else context.args)
    if context.args[:1] == ["lowest"]:
        raise typer.Exit(EXIT_CODES.get(run_lowest(folder, context.args[1:]), ExitCode.ERROR))
    if context.args[:1] == [UNIT]:
        context.args[:1] = [str(Path("tests", UNIT))]
    if os.geteuid() == 0 and reaches_testbed(folder, context.args):
        from runbook_lib.testbed.system_packages import install_missing_packages, install_packages

        install_missing_packages()
        if reaches(folder, context.args, BROWSER) and shutil.which("chromium") is None:
            install_packages(["chromium"], "the tests in a browser need")
    processes = side_by_side(folder, context.args)
    options = ["-n", str(processes)] if processes else []
    if ALL in context.args:
        options += ["--cov", "--cov-report="]
    if processes and reaches_testbed(folder, context.args):
        typer.echo(_WHOLE_SUITE.format(processes=processes), err=True)
    code = run_pytest(folder, [*options, *context.args])
    raise typer.Exit(EXIT_CODES.get(code, ExitCode.ERROR))


def check_paths(folder: Path, arguments: list[str]) -> None:
    """Check that what pytest will take for paths is there; a mistyped one would otherwise count as every test.

    Raises:
        InputError: there is no such file or folder.
    """
    for before, word in zip(["", *arguments], arguments, strict=False):
        path = word.split("::")[0]
        if not word.startswith("-") and not _may_take(before) and not (folder / path).exists():
            raise InputError(
                "there is no such file or folder",
                place=path,
                remedy=f"name one below {folder}, such as tests/unit; -k WORD chooses tests by their names",
            )


def _may_take(word: str) -> bool:
    """Whether a word is an option that may take the next word as its value."""
    if word.startswith("--"):
        return "=" not in word and word not in _LONG_WITHOUT_VALUE
    # The first letter that takes a value takes the rest of the word, or the next word where there is no rest.
    places = [place for place, letter in enumerate(word) if letter in _SHORT_WITH_VALUE]
    return word.startswith("-") and places[:1] == [len(word) - 1]


def side_by_side(folder: Path, arguments: list[str]) -> int:
    """Return how many processes share the tests; 0 for one file of tests, a debugger, or where -n is given.

    tests/conftest.py says which process runs which.
    """
    alone = any(word.startswith(("-n", "--numprocesses", "--pdb", "--trace")) or word == "-s" for word in arguments)
    named = [folder / word.split("::")[0] for word in arguments]
    places = [path for path in named if path.exists()] or [folder / "tests"]
    files = {file for place in places for file in (place.rglob("test_*.py") if place.is_dir() else [place])}
    if alone or len(files) < 2:
        return 0
    memory = _CLUSTER_MEMORY if reaches_testbed(folder, arguments) else _UNIT_MEMORY
    return max(1, min(len(files), _PROCESSES_A_CORE * _cores(), _available_memory() // memory))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_memory() -> int:
    """What this machine can still give, in bytes; a lot where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except FileNotFoundError:
        return sys.maxsize
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), sys.maxsize)


def reaches_testbed(folder: Path, arguments: list[str]) -> bool:
    """Return whether tests that boot the testbed may be among those named."""
    return reaches(folder, arguments, *ON_THE_TESTBED)


def reaches(folder: Path, arguments: list[str], *parts: str) -> bool:
    """Return whether tests of these folders below ``tests`` may be among those named: no path means every test."""
    paths = [folder / argument.split("::")[0] for argument in arguments]
    named = [path.resolve() for path in paths if path.exists()]
    wanted = [folder / "tests" / part for part in parts]
    return not named or any(path.is_relative_to(part) or part.is_relative_to(path) for path in named for part in wanted)


def run_pytest(folder: Path, arguments: list[str], python: str = sys.executable) -> int:
    """Run pytest in the project's folder and return its exit code; its summary stays the last line printed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has its background jobs ignore Ctrl-C, and what they start inherits that: tests that interrupt a run
        # would wait for ever, and so would a pytest that is asked to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([python, "-m", "pytest", *arguments], cwd=folder)
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


def run_lowest(folder: Path, arguments: list[str]) -> int:
    """Run the unit tests with the oldest libraries that pyproject.toml allows; return pytest's exit code.

    The tools of the tests are those of requirements.lock.

    Raises:
        RequirementError: there is no uv, which is what can choose the oldest versions.
        RunbookError: the environment could not be made.
    """
    uv = usable_uv(shutil.which("uv")) or usable_uv(str(folder / ".venv.uv/bin/uv"))
    if uv is None:
        raise RequirementError("the oldest libraries are chosen by uv, and there is none", remedy="install uv")
    extras = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    tools = {re.split(r"[<>=]", line)[0].lower() for line in extras["dev"] if line not in extras["dask"]}
    lock = (folder / "requirements.lock").read_text()
    pins = [f"{name}=={version}" for name, version in re.findall(r"^(\S+)==(\S+)", lock, re.MULTILINE) if name in tools]
    environment = folder / ".venv.lowest"
    python = str(environment / "bin/python")
    project = f"{folder}[dask]"
    settings = {**os.environ, **uv_settings(pip_settings(os.environ), os.environ)}
    for command in (
        [sys.executable, "-I", "-m", "venv", "--clear", "--without-pip", str(environment)],
        [uv, "pip", "install", "--python", python, "--resolution", "lowest-direct", "--editable", project, *pins],
    ):
        if subprocess.run(command, env=settings, stdout=sys.stderr).returncode != 0:
            raise RunbookError(f"the environment could not be made: {shlex.join(command)}", place=str(environment))
    os.environ["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"
    ignored = [f"--ignore={path}" for path in ABOUT_THE_LOCK]
    return run_pytest(folder, ["-n", "auto", "tests/unit", *ignored, *arguments], python)
