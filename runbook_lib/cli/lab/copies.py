"""The learner's copies of the notebooks: changes in JupyterLab do not reach the originals.

They are made when JupyterLab starts, in a folder that git ignores, and are kept. An unchanged copy is updated when its
original changes; one with changes stays, until it is reset.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.files import write_whole

# The base version of each copy, in a folder that JupyterLab does not show.
_BASES = ".originals"
_NOTEBOOK = ".ipynb"
_RESETS = "reset"


@dataclass(frozen=True)
class Copy:
    """A notebook's copy: its path, whether the learner changed it, and whether its original has changed since."""

    path: str
    changed: bool
    outdated: bool

    @property
    def name(self) -> str:
        """The notebook's name, such as ``05_ping_tests``."""
        return Path(self.path).stem


class Copies:
    """The copies in ``folder`` of everything in ``originals``, including pictures and subfolders.

    Files created as root get the owner of the originals.
    """

    def __init__(self, originals: Path, folder: Path) -> None:
        self.originals = originals
        self.folder = folder

    def update(self) -> tuple[str, ...]:
        """Make missing copies, and update those without changes.

        Unchanged cells keep their outputs.

        Returns:
            One line per updated copy, and per changed copy whose original is newer.

        Raises:
            InputError: they cannot be written.
        """
        try:
            return tuple(self._update())
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def states(self) -> tuple[Copy, ...]:
        """Every notebook with a copy, in order."""
        notebooks = [path for path in self._files() if path.endswith(_NOTEBOOK)]
        return tuple(self._state(path) for path in notebooks if self._copy(path).exists())

    def reset(self, path: str) -> Path | None:
        """Reset a copy (its path in the folder) to its original.

        Returns:
            The backup of the learner's version, beside it; ``None`` if it had no changes.

        Raises:
            InputError: an unknown notebook, or it cannot be written.
        """
        if path not in self._files() or not path.endswith(_NOTEBOOK):
            raise InputError(f"unknown notebook {path!r}", place=str(self.originals), remedy="name one of those there")
        copy, kept = self._copy(path), None
        try:
            if copy.exists() and self._state(path).changed:
                kept = copy.with_name(f"{copy.stem}_before_reset_{time.strftime('%Y%m%d-%H%M%S')}{_NOTEBOOK}")
                copy.rename(kept)
            self._write(path, (self.originals / path).read_bytes())
        except OSError as error:
            raise _unwritable(copy, error) from error
        return kept

    def _update(self) -> Iterator[str]:
        files = self._files()
        for path in files:
            yield from self._follow(path)
        for base in sorted((self.folder / _BASES).rglob(f"*{_NOTEBOOK}")):
            path = str(base.relative_to(self.folder / _BASES))
            if path not in files and self._copy(path).exists() and not self._state(path).changed:
                self._copy(path).unlink()
                base.unlink()
        for page in (self.folder / _RESETS).glob("*.md"):  # links of an earlier session
            page.unlink()

    def _follow(self, path: str) -> Iterator[str]:
        """Update one copy to its original if no change is lost; yields messages for the learner."""
        original, copy = (self.originals / path).read_bytes(), self._copy(path)
        if not copy.exists() or (not path.endswith(_NOTEBOOK) and copy.read_bytes() != original):
            self._write(path, original)
        if not path.endswith(_NOTEBOOK) or original == _bytes_of(self._base(path)):
            return
        state = self._state(path)
        if not state.changed:
            self._write(path, with_outputs_of(copy.read_bytes(), original))
        if state.outdated and not state.changed:
            yield f"{state.name}: the original is newer, and your copy is updated"
        elif state.outdated:
            yield (
                f"{state.name}: the original is newer; your copy, which you changed, stays as it is: "
                f"./runbook notebook --reset {state.name} replaces it"
            )

    def _state(self, path: str) -> Copy:
        base = _essence(_bytes_of(self._base(path)))
        changed = base is None or _essence(_bytes_of(self._copy(path))) != base
        return Copy(path, changed, _essence(_bytes_of(self.originals / path)) != base)

    def _files(self) -> list[str]:
        """The paths of all originals, without hidden files and files of Jupyter."""
        found = sorted(path.relative_to(self.originals) for path in self.originals.rglob("*") if path.is_file())
        return [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]

    def _copy(self, path: str) -> Path:
        return self.folder / path

    def _base(self, path: str) -> Path:
        return self.folder / _BASES / path

    def _write(self, path: str, content: bytes) -> None:
        """Write a copy, and for a notebook also its base version."""
        self.put(self._copy(path), content)
        if path.endswith(_NOTEBOOK):
            self.put(self._base(path), (self.originals / path).read_bytes())

    def put(self, path: Path, content: bytes) -> None:
        """Write a file atomically."""
        for folder in reversed([parent for parent in path.parents if not parent.exists()]):
            folder.mkdir()
            if (owner := self._owner()) is not None:
                os.chown(folder, *owner)
        write_whole(path, content, mode=0o666, owner=self._owner())

    def _owner(self) -> tuple[int, int] | None:
        """Whose the copies are: root makes them for the owner of the originals."""
        if os.geteuid() != 0:
            return None
        owner = self.originals.stat()
        return owner.st_uid, owner.st_gid


class ResetLinks:
    """Links that reset a notebook when they are opened for the first time.

    Each works once, because JupyterLab opens its pages again after a reload.
    """

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self._session = secrets.token_hex(3)
        self._used: dict[str, int] = {}
        self._guard = threading.Lock()

    def link(self, path: str) -> str:
        """The link for a copy (its path in the folder), relative to the folder."""
        return f"{_RESETS}/{Path(path).stem}-{self._session}{self._used.get(path, 0)}.md"

    def opened(self, page: str, *, content: bool) -> None:
        """Reset the notebook of a link (its path in the folder), and write the page that reports it.

        Args:
            content: whether the text is read, which opens the link; JupyterLab first reads only the file's type.

        Raises:
            InputError: the copy cannot be written.
        """
        if not page.startswith(f"{_RESETS}/"):
            return
        file = self.copies.folder / page
        with self._guard:
            path = next((copy.path for copy in self.copies.states() if self.link(copy.path) == page), None)
            if path is not None and content:
                kept = self.copies.reset(path)
                self._used[path] = self._used.get(path, 0) + 1
                self.copies.put(file, _done(path, kept).encode())
            elif not file.exists():
                self.copies.put(file, _OLD_LINK.encode())


_OLD_LINK = (
    "# Nothing was reset\n\nThis link belongs to an earlier session, or was followed already. The "
    "[start page](../START.md) has new ones: *File → Reload Markdown File from Disk*.\n"
)


def _done(path: str, kept: Path | None) -> str:
    name = Path(path).stem
    had = f" What you had is kept beside it: [{kept.stem}](../{kept.name})." if kept is not None else ""
    return (
        f"# {name} is as committed again\n\nIt was reset at {time.strftime('%H:%M:%S')}.{had}\n\n"
        f"Open [{name}](../{path}). Where it is open already: *File → Reload Notebook from Disk*, then *Kernel → "
        "Restart Kernel*.\n\nBack to the [start page](../START.md).\n"
    )


def with_outputs_of(copy: bytes, original: bytes) -> bytes:
    """The original with the outputs of the copy's unchanged cells."""
    had = {cell.get("id"): cell for cell in json.loads(copy)["cells"] if cell["cell_type"] == "code"}
    notebook = json.loads(original)
    for cell in notebook["cells"]:
        same = had.get(cell.get("id"))
        if cell["cell_type"] == "code" and same is not None and _source(same) == _source(cell):
            cell["outputs"], cell["execution_count"] = same.get("outputs", []), same.get("execution_count")
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _essence(notebook: bytes) -> list[tuple[str, str]] | None:
    """A notebook's cell types and sources; ``None`` if it cannot be read.

    Outputs do not count, nor does the empty cell that JupyterLab adds at the end.
    """
    try:
        cells = json.loads(notebook)["cells"]
        return [(cell["cell_type"], _source(cell)) for cell in cells if _source(cell).strip()]
    except (ValueError, KeyError, TypeError):
        return None


def _source(cell: Any) -> str:
    return "".join(cell["source"])


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"the copies of the notebooks cannot be written ({error.strerror})",
        place=str(path),
        remedy="get write permission there",
    )
