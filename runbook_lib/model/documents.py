"""YAML files as data that still knows the line on which every key stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from runbook_lib.errors import Fault, InputError, ParameterError

KeyPath = tuple[str | int, ...]

_REMEDY = "name a YAML file with the keys of params/testbed.yaml"


class _Loader(yaml.SafeLoader):
    """YAML as papermill reads it: a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own attribute)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True)
class Document:
    """A YAML file (or a mapping) as data, and the line on which each key path stands.

    ``overridden`` holds the dotted keys that ``-p`` replaced: their place is not in the file. ``folder`` is what
    relative paths in it are relative to.
    """

    data: dict[str, Any]
    lines: Mapping[KeyPath, int]
    source: str
    overridden: frozenset[str] = frozenset()
    folder: Path = Path()

    def completed(self, overrides: Mapping[str, Any] | None = None) -> Document:
        """The document with these values replaced, by dotted key, and with paths that mean the same from anywhere.

        Raises:
            ParameterError: with every key that leads into something that has no keys.
        """
        data = anchored(override(self.data, overrides or {}), self.folder)
        return replace(self, data=data, overridden=frozenset(overrides or ()))

    def place(self, path: Sequence[str | int]) -> str:
        """``file:line: key.path`` of a path, or of its nearest parent that the file has; ``-p key`` if overridden."""
        key = ".".join(str(part) for part in path) or "(top level)"
        for length in range(len(path), 0, -1):
            option = ".".join(str(part) for part in path[:length])
            if option in self.overridden:
                return f"-p {option}" if option == key else f"-p {option}: {key}"
        line = self.line(path)
        return f"{self.source}:{line}: {key}" if line else f"{self.source}: {key}"

    def line(self, path: Sequence[str | int]) -> int:
        """The line of a path, or of its nearest parent that the file has; 0 when it has none."""
        parents = (tuple(path[:length]) for length in range(len(path), -1, -1))
        return next((self.lines[parent] for parent in parents if parent in self.lines), 0)


@dataclass(frozen=True)
class Source:
    """A document with an inventory in it, at ``base``."""

    document: Document
    base: KeyPath = ()

    def place(self, *path: str | int) -> str:
        """Where a path of the inventory stands in the document (see ``Document.place``)."""
        return self.document.place([*self.base, *path])


def read_document(path: Path) -> Document:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: no such file, a folder, not YAML (with line and column), or not a mapping.
        ParameterError: keys that stand twice; PyYAML would silently take the last.
    """
    text = _read_text(path)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        repeated = [] if root is None else list(_repeated_keys(root, str(path)))
        data = None if root is None or repeated else loader.construct_document(root)
    except RecursionError as error:
        raise InputError(
            "the file is nested too deeply, or refers to itself", place=str(path), remedy=_REMEDY
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(
            f"not valid YAML: {problem}", place=where, remedy="correct the YAML at that place (line:column)"
        ) from error
    if repeated:
        raise ParameterError(repeated, place=str(path), remedy="keep one of each, and run again")
    if data is not None and not isinstance(data, dict):
        raise InputError("the file must hold keys and values", place=f"{path}:1", remedy=_REMEDY)
    lines = {} if root is None else dict(_lines(root, ()))
    return Document(data or {}, lines, str(path), folder=path.parent.absolute())


def read_value(text: str) -> Any:
    """A single value, read as ``read_document`` reads those of a file. Raises ``yaml.YAMLError``."""
    return yaml.load(text, Loader=_Loader)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError("there is no such file", place=str(path), remedy=_REMEDY) from error
    except IsADirectoryError as error:
        raise InputError("this is a folder, not a YAML file", place=str(path), remedy=_REMEDY) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8 text", place=str(path), remedy=_REMEDY) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"the file cannot be read ({why})", place=str(path), remedy=_REMEDY) from error


def _repeated_keys(node: yaml.Node, source: str) -> Iterable[Fault]:
    """A fault for each key that stands twice in its mapping; makes every key the text that it is in the file."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                key.tag = "tag:yaml.org,2002:str"  # else 'on' would be the key True
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in first and name != "<<":
                yield Fault(f"{source}:{line}", f"the key '{name}' stands here again, first on line {first[name]}")
            first.setdefault(name, line)
            yield from _repeated_keys(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated_keys(value, source)


def _lines(node: yaml.Node, path: KeyPath) -> Iterable[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))


def override(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the data in which each override, its key dotted, replaces one value.

    Args:
        overrides: by key, such as ``overlay.name`` or (items count from 0) ``containers.0.node``.

    Raises:
        ParameterError: with every key that leads into something that has no keys.
    """
    result, faults = dict(data), list[Fault]()
    for key, value in overrides.items():
        try:
            result = _replaced(result, key.split("."), value)
        except LookupError as error:
            faults.append(Fault(f"-p {key}", str(error.args[0])))
    if faults:
        raise ParameterError(faults)
    return result


def _replaced(data: Any, keys: Sequence[str], value: Any) -> Any:
    """The data with the value at the end of the keys. Raises ``LookupError`` that says which key leads nowhere."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if data is None:
        data = {}
    if isinstance(data, Mapping):
        return {**data, head: _replaced(data.get(head), rest, value)}
    if isinstance(data, list | tuple):
        if not head.isdecimal() or int(head) >= len(data):
            raise LookupError(f"{head!r} is not an item of a list of {len(data)}, whose items count from 0")
        index = int(head)
        return [*data[:index], _replaced(data[index], rest, value), *data[index + 1 :]]
    # The value is not repeated: it may be a secret that should not be there.
    raise LookupError(f"a single value stands there, which has no {head!r} that could be set")


def anchored(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy of parameters or of an inventory in which the paths of files are absolute.

    Args:
        folder: what relative paths are relative to. ``~`` is the user's home.
    """
    result = dict(data)
    if isinstance(data.get("secrets"), Mapping):
        result["secrets"] = {name: _anchored_secret(secret, folder) for name, secret in data["secrets"].items()}
    reference = data.get("inventory")
    if isinstance(reference, str) and not reference.startswith("testbed:"):
        result["inventory"] = _absolute(reference, folder)
    elif isinstance(reference, Mapping):
        result["inventory"] = anchored(reference, folder)
    if isinstance(data.get("nodes"), list | tuple):
        result["nodes"] = [_anchored_node(node, folder) for node in data["nodes"]]
    if isinstance(data.get("swarm_manager"), Mapping):
        result["swarm_manager"] = _anchored_access(data["swarm_manager"], folder)
    return result


def _anchored_secret(secret: Any, folder: Path) -> Any:
    if not isinstance(secret, Mapping) or "file" not in secret:
        return secret
    return {**secret, "file": _absolute(secret["file"], folder)}


_FILES = ("key_file", "known_hosts", "ca", "cert", "key")
_SECRETS = ("passphrase", "password", "sudo_password")


def _anchored_node(node: Any, folder: Path) -> Any:
    if not isinstance(node, Mapping):
        return node
    accesses = {key: _anchored_access(node[key], folder) for key in ("ssh", "docker") if key in node}
    return {**node, **accesses}


def _anchored_access(access: Any, folder: Path) -> Any:
    """How something is reached, with the files that it names and those of its jump hosts."""
    if not isinstance(access, Mapping):
        return access
    result = {key: _absolute(value, folder) if key in _FILES else value for key, value in access.items()}
    result |= {key: _anchored_secret(access[key], folder) for key in _SECRETS if key in access}
    if isinstance(access.get("jump"), list | tuple):
        result["jump"] = [_anchored_access(hop, folder) for hop in access["jump"]]
    return result


def _absolute(path: Any, folder: Path) -> Any:
    return str((folder / Path(path).expanduser()).absolute()) if isinstance(path, str) and path else path
