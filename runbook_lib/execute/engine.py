"""The papermill engine ``runbook``: what ``papermill --engine runbook`` finds under this package's entry point."""

from __future__ import annotations

from typing import Any

from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernels import Kernels
from runbook_lib.execute.watching import SILENT, Watcher


class RunbookEngine:
    """Executes a notebook in this environment's own Python and leaves an honest record, however it ends.

    It has the three methods that papermill calls. It is no subclass of papermill's ``Engine``: papermill imports
    this module while it is being imported itself.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        *,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        stdout_file: Any = None,
        stderr_file: Any = None,
        input_path: str | None = None,
        watcher: Watcher = SILENT,
        kernels: Kernels | None = None,
        interruption: Interruption | None = None,
    ) -> Any:
        """Execute ``nb`` and return it; the saved states of its cells are what really happened.

        Besides papermill's own arguments: a watcher of what happens, kernels that were started beforehand, and an
        interruption whose handlers are installed already. ``input_path``, which papermill gives to every engine, is
        not used.

        Raises:
            CellTimeoutError: a cell ran longer than ``execution_timeout`` seconds.
            DeadKernelError: the kernel died.
            InterruptedRun: a signal arrived and no cell failed of it.
        """
        from runbook_lib.execute.client import RecordKeeper, RunbookClient, log

        keeper = RecordKeeper(nb, output_path, log_output, progress_bar, autosave_cell_every)
        with (kernels or Kernels()).borrowed() as pool, (interruption or Interruption()).installed() as ours:
            keeper.notebook_start()
            kernel = pool.take()
            try:
                client = RunbookClient(
                    keeper,
                    km=kernel,
                    watcher=watcher,
                    interruption=ours,
                    timeout=execution_timeout,
                    startup_timeout=start_timeout,
                    kernel_name=kernel_name,
                    log=log,
                    log_output=log_output,
                    stdout_file=stdout_file,
                    stderr_file=stderr_file,
                )
                client.execute()
            except BaseException:
                nb.metadata.papermill["exception"] = True
                raise
            finally:
                pool.retire(kernel)
                keeper.cleanup_pbar()
                keeper.notebook_complete()
        return keeper.nb

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel's name for papermill: it picks the language of the injected cell, not the interpreter."""
        return str(name or nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language of the injected parameters; the notebooks are Python."""
        return language or "python"
