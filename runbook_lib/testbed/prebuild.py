"""Builds the nodes' root filesystem while the launcher makes the Python environment.

The launcher's ``runbook_lib/bootstrap.py`` starts it with the system's Python, before any library is installed: all
imports here need only the standard library. It first installs the packages that the testbed needs.

Nothing depends on its success: ``runbook testbed up`` waits for it while it runs, and then builds what is missing
itself, with its own error message.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from runbook_lib.errors import RunbookError
from runbook_lib.testbed.image import images, rootfs
from runbook_lib.testbed.machine.kind import ARTICLES_KIND
from runbook_lib.testbed.system_packages import install_missing_packages, missing_packages

# Command lines that surely start the default testbed. What is not among them only waits a little longer.
_STARTS_IT = re.compile(
    r"run( 0\d(_\w+)?)*( --cell-timeout \d+)?"
    r"|notebook( --no-browser)?"
    r"|testbed up(( --name| --nodes| --subnet)[ =][^ -][^ ]*)*"
    r"|test( --all| -x| --lf)*"
)


def needs_testbed(command: Sequence[str]) -> bool:
    """Return whether a command line will surely start the default testbed."""
    return _STARTS_IT.fullmatch(" ".join(command)) is not None


def main() -> None:
    """Build what is missing; the arguments are this project, the process to end with, the log, and the command line.

    The only line on stdout says what will be done. stderr is the log, which is kept only after a failure.
    """
    owner, log, command = int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    if needs_testbed(command):
        _build(owner, log)
    log.unlink()


def _build(owner: int, log: Path) -> None:
    # A shell has its background jobs ignore Ctrl-C, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tree, packages = rootfs.tree_of(ARTICLES_KIND), missing_packages()
    work = [f"installing {' '.join(packages)} with apt-get"] if packages else []
    work += [] if rootfs.is_cached(tree) else ["building the nodes' root filesystem"]
    if not work:
        return
    threading.Thread(target=_end_with, args=(owner,), daemon=True).start()
    print(f"runbook: meanwhile {' and '.join(work)}; log: {log}", flush=True)
    os.dup2(2, 1)  # the launcher reads only one line
    try:
        install_missing_packages()
        images.ensure(rootfs.ensure(tree))
    except RunbookError as error:
        sys.exit(f"runbook: {error}")
    except KeyboardInterrupt:
        sys.exit("runbook: ended, because its command has ended")


def _end_with(owner: int) -> None:
    """Interrupt this process when another one ends."""
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        select.select([os.pidfd_open(owner)], [], [])
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
