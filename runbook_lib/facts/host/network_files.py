"""Parsers of network managers' configuration files and of their tools' output."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal

import yaml

INTERFACES = "/etc/network/interfaces"


Method = Literal["dhcp", "static", "other"]


@dataclass(frozen=True)
class HostFile:
    """One file of a host; ``content`` is ``None`` if the file does not exist."""

    path: str
    content: bytes | None = None
    mode: int = 0o644

    @property
    def text(self) -> str | None:
        """The content as text; bytes that are not UTF-8 are kept (surrogateescape)."""
        return None if self.content is None else self.content.decode(errors="surrogateescape")

    def with_text(self, text: str | None, mode: int | None = None) -> HostFile:
        """The same file with another text; an existing file keeps its mode."""
        content = None if text is None else text.encode(errors="surrogateescape")
        return HostFile(self.path, content, self.mode if self.content is not None or mode is None else mode)


def parse_files(text: str) -> tuple[HostFile, ...]:
    """The files that the script's ``show`` printed. Raises ``ValueError``."""
    files: list[HostFile] = []
    for line in text.splitlines():
        if line.startswith("file "):
            _, mode, path = line.split(" ", 2)
            files.append(HostFile(path, b"", int(mode, 8)))
        elif not files:
            raise ValueError(f"not a file: {line!r}")
        else:
            last = files[-1]
            files[-1] = HostFile(last.path, (last.content or b"") + base64.b64decode(line), last.mode)
    return tuple(files)


@dataclass(frozen=True)
class Stanza:
    """The ``iface … inet`` stanza of one interface: its lines' indexes (last one included), method and options."""

    first: int
    last: int
    method: str
    options: tuple[tuple[str, str], ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address as CIDR, where the stanza names one."""
        options = dict(self.options)
        address, mask = options.get("address", ""), options.get("netmask", "")
        if not address:
            return ()
        return (address if "/" in address or not mask else f"{address}/{_prefix_length(mask)}",)


_STANZA_WORDS = ("iface", "auto", "mapping", "source", "source-directory", "rename", "no-auto-down", "no-scripts")


def find_stanza(text: str, interface: str) -> Stanza | None:
    """The first inet stanza of an interface in the text of an ``interfaces`` file (interfaces(5)), or ``None``.

    Raises:
        ValueError: there are several: ifupdown applies them all.
    """
    lines = text.split("\n")
    found: list[Stanza] = []
    begin, last, method, options = -1, -1, "", list[tuple[str, str]]()
    for index, line in enumerate([*lines, "auto end"]):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in _STANZA_WORDS or words[0].startswith("allow-"):
            if begin >= 0:
                found.append(Stanza(begin, last, method, tuple(options)))
            begin, options = -1, []
            if words[:1] == ["iface"] and words[1:3] == [interface, "inet"]:
                begin, last, method = index, index, (words[3:] or [""])[0]
        elif begin >= 0:
            last = index
            options.append((words[0], " ".join(words[1:])))
    if len(found) > 1:
        raise ValueError(f"{interface} has {len(found)} inet stanzas, and each adds an address")
    return found[0] if found else None


def parse_network_unit(text: str) -> tuple[tuple[str, str, str], ...]:
    """Section, key and value of every assignment in a ``.network`` file, in order."""
    section, found = "", list[tuple[str, str, str]]()
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.append((section, key.strip(), value.strip()))
    return tuple(found)


def parse_nmcli(text: str) -> dict[str, str]:
    """Fields of ``nmcli -t``'s ``name:value`` lines. A colon in a value is written ``\\:``."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value.replace("\\:", ":") for name, _, value in pairs}


def netplan_definition(text: str, name: str) -> tuple[str, dict[str, Any]] | None:
    """The kind (``ethernets``) and settings of one definition in the output of ``netplan get``, all files merged.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        network = (yaml.safe_load(text) or {}).get("network") or {}
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"the output of 'netplan get' is not YAML: {text.strip()[:200]!r}") from error
    for kind, definitions in network.items():
        if isinstance(definitions, dict) and isinstance(definitions.get(name), dict):
            return kind, definitions[name]
    return None


def text_of(files: tuple[HostFile, ...], path: str) -> str:
    """The text of one of the files; empty if it is not among them."""
    return next((file.text or "" for file in files if file.path == path), "")


def network_unit_method(settings: tuple[tuple[str, str, str], ...]) -> tuple[Method, tuple[str, ...]]:
    """How a ``.network`` file gives an interface its address, and the addresses that it names."""
    addresses = tuple(
        value for section, key, value in settings if section in ("Network", "Address") and key == "Address"
    )
    dhcp = [value for section, key, value in settings if (section, key) == ("Network", "DHCP")]
    if dhcp and dhcp[-1].lower() in ("yes", "true", "on", "1", "ipv4", "both", "v4"):
        return "dhcp", addresses
    return ("static" if addresses else "other"), addresses


def parse_assignments(text: str) -> dict[str, str]:
    """The ``KEY=value`` lines of a state file of systemd-networkd."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def _prefix_length(netmask: str) -> int:
    return (netmask.isdigit() and int(netmask)) or sum(bin(int(part)).count("1") for part in netmask.split("."))
