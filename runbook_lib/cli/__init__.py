"""The command line: ``main(arguments)`` returns an exit code; a user's mistake never shows a traceback.

Each command is a module that defines ``app``, a typer application. It is imported when the command is called, so that
``--help`` and the light commands do not wait for the libraries of the heavy ones.
"""

from __future__ import annotations

import importlib
import inspect
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from runbook_lib import __version__
from runbook_lib.errors import ExitCode, InterruptedRun, RunbookError
from runbook_lib.execute.interruption import signals_unwind

__all__ = ["COMMANDS", "app", "main"]

#: Every command with its line in ``--help``; its module is ``runbook_lib.cli.NAME``.
COMMANDS = {
    "run": "Testbed up if needed, all notebooks, a summary table.",
    "batch": "Notebooks on many clusters in parallel, one summary.",
    "test": "Run all tests.",
    "testbed": "A real Docker cluster on this machine: up, status, ssh, env, reboot, down.",
    "inventory": "Your own cluster: import, trust, check.",
    "records": "What was executed: list, show, diff, trend, export, verify, prune.",
    "notebook": "JupyterLab on the notebooks.",
    "docs": "The documentation and the reference as web pages.",
}


class CommandGroup(TyperGroup):
    """A group that imports a command when it is called, and distinguishes interruptions from failures."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments, with the placeholder replaced by the real command."""
        name, placeholder, remaining = super().resolve_command(ctx, args)
        if name not in COMMANDS:
            return name, placeholder, remaining
        command = get_command(importlib.import_module(f"runbook_lib.cli.{name}").app)
        command.name = name
        plain_help(command, ctx)
        return name, command, remaining

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help of the program itself."""
        plain_help(self, ctx)
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C becomes the package's own error, because typer's exit code for it differs."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort) as error:
            raise InterruptedRun("interrupted") from error


def plain_help(command: Any, context: Any) -> None:
    """Let the help of a command, and of the commands in it, follow the terminal's width and show no type of a flag.

    typer keeps the line breaks of a docstring, and says ``<bool>`` where nothing is to be typed.
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    lists = [re.search(r"^[ -]", text, re.MULTILINE) for text in paragraphs]
    flowing = [text if kept else text.replace("\n", " ") for text, kept in zip(paragraphs, lists, strict=True)]
    command.help = "\n\n".join(flowing)
    for option in [*command.params, command.get_help_option(context)]:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        plain_help(inner, context)


app = typer.Typer(
    name="runbook",
    cls=CommandGroup,
    help="Build, prove and explain Docker multi-host overlay networking, as runbook notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _placeholder() -> None:
    """A placeholder for a command in the list; ``CommandGroup.resolve_command`` replaces it."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_placeholder)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overlay-runbook {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before a command."""


def _unhandled() -> list[signal.Signals]:
    """The signals that would end this process without unwinding it."""
    return [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code (``runbook_lib.errors.ExitCode``).

    A ``RunbookError`` is printed to stderr with message, place and remedy. Any other exception is a bug, shown with its
    traceback.
    """
    try:
        with signals_unwind(_unhandled()):
            get_command(app)(list(arguments), prog_name="runbook")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.PASS
    except RunbookError as error:
        print(f"runbook: {error}", file=sys.stderr)
        return int(error.exit_code)
    except Exception:  # noqa: BLE001 - the last resort: shown completely, with the exit code 3
        traceback.print_exc()
        print(
            "runbook: this is a fault of the program, not yours. Please report it with the lines above,\n"
            f"  the command, and: overlay-runbook {__version__}, Python {sys.version.split()[0]}, {sys.platform}",
            file=sys.stderr,
        )
        return int(ExitCode.ERROR)
    return int(ExitCode.PASS)
