"""nbclient's own settings, as a caller of papermill hands them to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runbook_lib.errors import InputError

# What plain papermill decides itself, whatever else it is given.
_PAPERMILLS = ("startup_timeout", "log")
# The kernel is ours: a manager of the caller's would start another one.
_KERNELS = ("km", "kernel_manager_class")


@dataclass(frozen=True)
class ClientSettings:
    """What a client of a kernel is made with, and what of it is for the kernel itself."""

    traits: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClientSettings:
        """Read the options that an engine got.

        Raises:
            InputError: an option that would replace the engine's own kernel.
        """
        for name in _KERNELS:
            if name in options:
                raise InputError(
                    "the engine runbook starts its own kernel", place=name, remedy="leave it out, or use another engine"
                )
        timeout = options.get("timeout")
        left_out = ("timeout", *_PAPERMILLS)
        traits = {name: value for name, value in options.items() if name not in left_out}
        return cls(traits, timeout if timeout and timeout > 0 else None)

    def with_ours(self, **settings: Any) -> ClientSettings:
        """The same, with what papermill's own arguments say."""
        return replace(self, traits={**self.traits, **settings})

    @property
    def skipped_tag(self) -> str:
        """The tag of cells that are not executed."""
        return str(self.traits.get("skip_cells_with_tag", "skip-execution"))

    @property
    def ends_at_once(self) -> bool:
        """Whether the kernel is killed at the end rather than asked to end."""
        return self.traits.get("shutdown_kernel") == "immediate"

    @property
    def kernel_arguments(self) -> Sequence[str]:
        """Arguments for the kernel's own command line."""
        arguments = list(self.traits.get("extra_arguments", ()))
        history = self.traits.get("ipython_hist_file")
        if history and not any(word.startswith("--HistoryManager.hist_file") for word in arguments):
            arguments.append(f"--HistoryManager.hist_file={history}")
        return arguments

    @property
    def kernel_folder(self) -> Path | None:
        """The folder that the kernel starts in, if one is named."""
        path = self.traits.get("resources", {}).get("metadata", {}).get("path")
        return Path(path) if path else None
