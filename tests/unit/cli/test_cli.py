"""What the command line returns and says, whatever a command ends with."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable

import pytest
import typer

from runbook_lib import __version__, cli
from runbook_lib.errors import CheckFailed, Fault, InputError, LockedError, ParameterError, RunbookError

EndsWith = Callable[[BaseException | None], None]


@pytest.fixture
def command_ends_with(monkeypatch: pytest.MonkeyPatch) -> EndsWith:
    """Let the command ``notebook`` be one that does nothing but end so."""

    def replace(end: BaseException | None) -> None:
        module = types.ModuleType("runbook_lib.cli.notebook")
        app = typer.Typer()
        vars(module)["app"] = app

        @app.command()
        def notebook() -> None:
            if end is not None:
                raise end

        monkeypatch.setitem(sys.modules, "runbook_lib.cli.notebook", module)

    return replace


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (None, 0),
        (CheckFailed("node2 has no leader"), 1),
        (InputError("no such file"), 2),
        (RunbookError("out of order"), 3),
        (KeyboardInterrupt(), 4),
        (typer.Abort(), 4),
        (LockedError("cluster 'runbook' is in use"), 7),
        (typer.Exit(5), 5),
        (ValueError("a fault"), 3),
    ],
    ids=repr,
)
def test_the_exit_code_tells_how_a_command_ended(
    command_ends_with: EndsWith, end: BaseException | None, code: int
) -> None:
    command_ends_with(end)
    assert cli.main(["notebook"]) == code


def test_an_error_is_told_with_place_and_remedy_and_without_traceback(
    command_ends_with: EndsWith, capsys: pytest.CaptureFixture[str]
) -> None:
    command_ends_with(InputError("no such node", place="params/x.yaml", remedy="name one of node1, node2"))
    cli.main(["notebook"])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "runbook: params/x.yaml: no such node\n  remedy: name one of node1, node2\n"


def test_every_fault_of_a_parameter_file_is_in_the_one_message(
    command_ends_with: EndsWith, capsys: pytest.CaptureFixture[str]
) -> None:
    command_ends_with(ParameterError([Fault("overlay.subnet", "not a subnet"), Fault("probes.count", "negative")]))
    assert cli.main(["notebook"]) == 2
    shown = capsys.readouterr().err
    assert "overlay.subnet: not a subnet" in shown
    assert "probes.count: negative" in shown
    assert "Traceback" not in shown


def test_a_fault_of_the_program_shows_its_traceback_and_how_to_report_it(
    command_ends_with: EndsWith, capsys: pytest.CaptureFixture[str]
) -> None:
    command_ends_with(ZeroDivisionError("of nothing"))
    cli.main(["notebook"])
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "ZeroDivisionError: of nothing" in shown
    assert f"overlay-runbook {__version__}, Python" in shown


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["notebook", "--port", "0"], ["notebook", "--port", "many"]],
    ids=" ".join,
)
def test_bad_usage_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistyped_command_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notebok"]) == 2
    assert "Did you mean 'notebook'?" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"overlay-runbook {__version__}\n"


def test_help_lists_every_command_and_loads_none_of_their_libraries() -> None:
    script = """
import sys, runbook_lib.cli
runbook_lib.cli.main(["--help"])
print(*{"pandas", "paramiko", "docker", "matplotlib"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for name in cli.COMMANDS:
        assert f" {name} " in done.stdout
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("words", [["run"], ["records", "list"], ["testbed", "up"], []], ids=" ".join)
def test_help_shows_flags_without_a_type_and_follows_the_terminals_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--help" in shown
    assert "bool" not in shown
    if words == ["run"]:
        assert "run [OPTIONS] [NOTEBOOK]...\n" in "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
        assert "stays up. Every executed notebook becomes a record: ./runbook records list." in shown


def test_termination_unwinds_the_command() -> None:
    script = """
import os, signal, sys, types, typer, runbook_lib.cli as cli
module = types.ModuleType("runbook_lib.cli.notebook")
module.app = typer.Typer()
@module.app.command()
def notebook():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    finally:
        print("closed")
sys.modules["runbook_lib.cli.notebook"] = module
sys.exit(cli.main(["notebook"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (4, "closed\n")
    assert done.stderr == "runbook: interrupted by SIGTERM\n"
