"""JupyterLab for ``runbook notebook``: with this interpreter's kernel, its own settings, and a clean shutdown.

Runs as ``python -m runbook_lib.cli.lab.server`` with JupyterLab's own arguments, in the environment that
``lab_environment`` returns. The user's own Jupyter (kernels, settings, extensions) is neither read nor changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

from runbook_lib.cli.arguments import project_folder
from runbook_lib.cli.lab.copies import Copies, ResetLinks
from runbook_lib.cli.lab.start_page import PAGE, write_start_page
from runbook_lib.execute.interruption import GRACE_SECONDS, EndSignals, install
from runbook_lib.model.locations import PARAMETER_FILE_VARIABLE, import_path, jupyter_folder

_MODULE = "runbook_lib.cli.lab.server"
# Among them: code is wrapped, and all cells are in the page, also for a search and for printing.
_SETTINGS = Path(__file__).parents[1] / "files" / "lab"
_FOREIGN = ("JUPYTER", "JPY_", "IPYTHON")


def lab_environment(environment: Mapping[str, str], parameter_file: Path) -> dict[str, str]:
    """Return the environment for this module's process and its kernels: all Jupyter settings in it are our own."""
    own = jupyter_folder()
    kept = {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
    return {
        **kept,
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(own / "ipython"),
        "PYTHONPATH": import_path(environment),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        PARAMETER_FILE_VARIABLE: str(parameter_file),
    }


def lab_arguments(folder: Path, port: int, *, browser: bool) -> list[str]:
    """Return the arguments that start JupyterLab on ``folder``, on the loopback address, token kept."""
    own = jupyter_folder()
    arguments = [
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.contents_manager_class={_MODULE}.Files",
        f"--ServerApp.kernel_spec_manager_class={_MODULE}.OwnKernel",
        # The URL with the token is printed at any level.
        "--Application.log_level=ERROR",
        # jupyter_client (finish_shutdown) waits half of it after the interrupt, the other half after SIGTERM.
        f"--KernelManager.shutdown_wait_time={2 * GRACE_SECONDS}",
        "--MappingKernelManager.transport_encryption=auto",
        # nbconvert's own filter damages tables and pictures in exported pages.
        "--HTMLExporter.filters={'clean_html': 'runbook_lib.records.html.inert_with_links'}",
        f"--LabApp.default_url=/lab/tree/{PAGE}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        f"--LabApp.labextensions_path={Path(sys.prefix, 'share', 'jupyter', 'labextensions')}",
        f"--LabApp.app_settings_dir={_SETTINGS}",
        f"--LabApp.user_settings_dir={own / 'settings'}",
        f"--LabApp.workspaces_dir={own / 'workspaces'}",
    ]
    if os.geteuid() == 0:
        # Jupyter refuses root because its users control the machine; here access needs loopback and a token.
        arguments.append("--allow-root")
    return arguments if browser else [*arguments, "--no-browser"]


class OwnKernel(KernelSpecManager):
    """Provides one kernel, ``python3``: this interpreter."""

    def _kernel_dirs_default(self) -> list[str]:
        # Without search folders only the native kernel is left.
        return []


class Files(AsyncLargeFileManager):
    """The folder of the learner's copies; rewrites the start page whenever it is opened or reloaded."""

    _links: ResetLinks | None = None

    async def get(self, path: str, content: bool = True, *args: Any, **options: Any) -> Any:
        """Return the file's model, as the base does. Opening a link that resets a notebook resets it first."""
        page = Path(self.root_dir) / PAGE
        if self._links is None:
            self._links = ResetLinks(Copies(project_folder() / "notebooks", Path(self.root_dir)))
        # Before JupyterLab opens a file it reads the file's metadata, without the content.
        if path.strip("/") == PAGE and (content or not page.exists()):
            await asyncio.to_thread(write_start_page, self._links, Path(os.environ[PARAMETER_FILE_VARIABLE]))
        else:
            await asyncio.to_thread(self._links.opened, path.strip("/"), content=bool(content))
        return await super().get(path, content, *args, **options)  # type: ignore[no-untyped-call]


class NotebookServer(ServerApp):
    """Ends at the first Ctrl-C without asking: running cells are interrupted and may clean up.

    A second one kills the kernels.
    """

    def init_signal(self) -> None:
        """Handle Ctrl-C, SIGTERM and SIGHUP alike, whether or not there is a terminal."""
        install(EndSignals(self._end).handle)

    def _end(self, number: signal.Signals, times: int) -> None:
        if times == 1:
            _say(f"{number.name}: running cells may clean up; a second signal ends them at once")
            self.stop(from_signal=True)
        else:
            _say("second signal: the kernels are killed")
            for process in filter(None, self._kernel_processes()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def _kernel_processes(self) -> list[int]:
        managers = [self.kernel_manager.get_kernel(kernel) for kernel in self.kernel_manager.list_kernel_ids()]
        return [int(getattr(manager.provisioner, "pid", 0)) for manager in managers if manager.has_kernel]


class NotebookLab(LabApp):  # type: ignore[misc]
    """Starts JupyterLab on our server, with the terminal as its only server extension."""

    serverapp_class = NotebookServer
    serverapp_config: ClassVar[dict[str, Any]] = {"jpserver_extensions": {"jupyter_server_terminals": True}}

    @classmethod
    def get_extension_package(cls) -> str:
        """Return the package whose application the server loads: it is JupyterLab's own, not this class."""
        return "jupyterlab"


def _say(line: str) -> None:
    # From within a signal handler: no buffer and no lock.
    os.write(2, f"runbook: {line}\n".encode())


if __name__ == "__main__":
    # By its full name, under which the configured classes are looked up.
    from runbook_lib.cli.lab import server

    server.NotebookLab.launch_instance()
