"""Starts kernels of this environment's Python, connected by sockets and pipes in a private folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from runbook_lib.execute.kernel.pacing import ACKNOWLEDGED_TOGETHER, PACE_VARIABLE, units
from runbook_lib.journal import JOURNAL_VARIABLE
from runbook_lib.locking import kernel_environment
from runbook_lib.model import commands
from runbook_lib.model.locations import import_path

# The poll interval for a kernel's end.
_POLL_SECONDS = 0.02

# How much is kept of the kernel process's own stderr.
_LAST_LINES = 8
_LONGEST_LINE = 300
_LISTENER_SECONDS = 0.2

_APP = "runbook_lib.execute.kernel.ipykernel_app"

# The path of a Unix socket is limited to 107 characters.
_LONGEST_TEMPORARY_FOLDER = 70


class ProjectKernelManager(AsyncKernelManager):
    """Starts this interpreter as the kernel, whatever kernelspec named python3 is installed elsewhere."""

    folder: str = ""
    _pipes: tuple[int, ...] = ()
    _unacknowledged = 0
    _stderr_lines: deque[bytes] | None = None
    _listener: threading.Thread | None = None

    @property
    def journal(self) -> Path:
        """The pipe into which the kernel writes its journal."""
        return Path(self.folder, "journal")

    @property
    def pace(self) -> Path:
        """The pipe into which the runner acknowledges output; it is closed when the runner ends."""
        return Path(self.folder, "pace")

    def acknowledge(self, text: str) -> None:
        """Acknowledge an output message to the kernel; short messages are acknowledged together."""
        self._unacknowledged += units(text)
        if self._unacknowledged >= ACKNOWLEDGED_TOGETHER and self._pipes:
            # The pipe is full only if the kernel does not read it; then it does not wait either.
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipes[0], b"." * self._unacknowledged)
            self._unacknowledged = 0

    @property
    def process(self) -> int:
        """The process id of the started kernel."""
        return int(getattr(self.provisioner, "pid", 0))

    @property
    def stderr_tail(self) -> str:
        """The last lines that the dead kernel's process wrote to standard error; not redacted."""
        if self._listener is not None:
            self._listener.join(_LISTENER_SECONDS)
        return b"".join(self._stderr_lines or ()).decode(errors="replace").strip()

    def listen(self) -> None:
        """Capture the process's standard error: it may contain secrets, and must not reach a terminal."""
        self._stderr_lines = deque(maxlen=_LAST_LINES)
        process = getattr(self.provisioner, "process", None)
        if process is not None and process.stderr is not None:
            # A duplicate of the pipe's end, which stays open while a process writes.
            pipe = os.fdopen(os.dup(process.stderr.fileno()), "rb")
            self._listener = threading.Thread(target=_take_lines, args=(pipe, self._stderr_lines), daemon=True)
            self._listener.start()

    def open_folder(self) -> None:
        """Create the private folder and open the pipes in it, before the kernel needs them."""
        self.folder = _private_folder()
        self.connection_file = f"{self.folder}/kernel.json"
        for pipe in (self.pace, self.journal):
            os.mkfifo(pipe, 0o600)
        # Open for reading too: opening never blocks, and the journal buffers what is written before it is read.
        self._pipes = tuple(
            os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for pipe in (self.pace, self.journal)
        )

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of every notebook."""
        argv = [sys.executable, "-m", _APP, "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]  # the base is synchronous
        """Remove the sockets, the pipes and their folder."""
        await super().cleanup_resources(restart=restart)
        while self._pipes and not restart:
            os.close(self._pipes[0])
            self._pipes = self._pipes[1:]
        if self.folder and not restart:
            shutil.rmtree(self.folder, ignore_errors=True)


class Kernels:
    """Starts kernels, one in advance, and ends all of them. Use as a context manager.

    Args:
        folder: the folder that kernels start in; the current one by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._spare: ProjectKernelManager | None = None
        self._shutting_down: list[ProjectKernelManager] = []
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if self._spare is not None:
            spare, self._spare = self._spare, None
            run_sync(_end)(spare, kill=True)
        self.wait_for_shutdown()

    @contextmanager
    def borrowed(self) -> Iterator[Kernels]:
        """Itself, closed at the end unless it was open before."""
        if self._entered:
            yield self
        else:
            with self:
                yield self

    def prepare(self, module: str | None = None) -> None:
        """Start a kernel for the next notebook, without waiting for it.

        Args:
            module: imported in advance, so that the notebook's own import takes no time.
        """
        if self._spare is None:
            self._spare = self._start(module)

    def take(self, arguments: Sequence[str] = (), folder: Path | None = None) -> ProjectKernelManager:
        """The manager of a new kernel, which may have been prepared. Return it to ``shut_down``.

        Args:
            arguments: for the kernel's own command line; such a kernel, or one in another ``folder``, was not prepared.
            folder: the folder that it starts in, if not the default one.
        """
        self.wait_for_shutdown()
        if arguments or folder:
            return self._start(arguments=arguments, folder=folder)
        kernel, self._spare = self._spare, None
        return kernel or self._start()

    def shut_down(self, kernel: ProjectKernelManager, *, kill: bool = False) -> None:
        """Ask a kernel to end, or kill it; ``wait_for_shutdown`` and the next ``take`` wait for its end."""
        if kill:
            run_sync(_end)(kernel, kill=True)
            return
        if kernel.has_kernel:
            run_sync(kernel.request_shutdown)()
        self._shutting_down.append(kernel)

    def wait_for_shutdown(self) -> None:
        """Wait for the end of the kernels that were asked to end."""
        while self._shutting_down:
            run_sync(_end)(self._shutting_down.pop(), kill=False)

    def _start(
        self, module: str | None = None, arguments: Sequence[str] = (), folder: Path | None = None
    ) -> ProjectKernelManager:
        kernel = ProjectKernelManager(kernel_name="python3", transport="ipc")
        kernel.open_folder()
        folder = folder or self._folder
        # The last of two equal arguments takes effect.
        arguments = ["--HistoryManager.hist_file=:memory:", *arguments]
        if module is not None:
            # Binds no name; if it fails, the notebook's own import shows the error.
            arguments.append(f"--IPKernelApp.exec_lines=__import__({module!r});")
        run_sync(kernel.start_kernel)(
            extra_arguments=arguments,
            cwd=str(folder) if folder else None,
            env=_environment(kernel),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        kernel.listen()
        return kernel


async def _end(kernel: ProjectKernelManager, *, kill: bool) -> None:
    """Wait for the end of a kernel that was asked to end; kill it if it does not, or if ``kill``."""
    if kernel.has_kernel:
        if kill:
            await kernel.signal_kernel(signal.SIGKILL)
        await kernel.finish_shutdown(pollinterval=_POLL_SECONDS)
    await kernel.cleanup_resources()


def _take_lines(pipe: BinaryIO, lines: deque[bytes]) -> None:
    with pipe:
        while line := pipe.readline(_LONGEST_LINE):
            lines.append(line)


def _private_folder() -> str:
    folder = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="runbook-", dir=folder if len(folder) <= _LONGEST_TEMPORARY_FOLDER else "/tmp")


def _environment(kernel: ProjectKernelManager) -> dict[str, str]:
    """The kernel's environment: its pipes, the same runbook_lib as this process, no debugger warning."""
    return {
        **os.environ,
        "PYTHONPATH": import_path(),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **commands.environment(),
        JOURNAL_VARIABLE: str(kernel.journal),
        PACE_VARIABLE: str(kernel.pace),
        **kernel_environment(),
    }
