"""``python -m runbook_lib``, also installed as ``runbook``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code.

    The environment may have been made by hand and lack a package; that is told in one line, as the remedy is simple.
    """
    try:
        from runbook_lib.cli import main as run_command_line
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "runbook_lib":
            raise
        print(
            f"runbook: the Python environment {sys.prefix} lacks {error.name}\n"
            f"  remedy: use ./runbook, which makes one; if it did make this one, remove it and call ./runbook again",
            file=sys.stderr,
        )
        sys.exit(3)
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
