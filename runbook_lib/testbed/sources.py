"""The host's own package sources, handed on to mmdebstrap so that its mirror is the one used."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path("/etc/apt")
_DEBIAN_KEYRING = "debian-archive"


def host_sources(suite: str, folder: Path = _FOLDER) -> list[str]:
    """One-line entries of the host's Debian sources of this suite; empty on another distribution or release.

    An empty list makes mmdebstrap use the mirror that it knows by itself.
    """
    entries: list[str] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            entries += parse_deb822(text, suite)
        elif path.suffix == ".list":
            entries += parse_one_line(text, suite)
    # Only updates without the suite itself would make an incomplete system.
    return entries if any(f" {suite} " in entry for entry in entries) else []


def parse_one_line(text: str, suite: str) -> list[str]:
    """The ``deb`` lines of this suite that Debian itself signs."""
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options, rest = "", words[1:]
        if rest and rest[0].startswith("["):
            end = next((index for index, word in enumerate(rest) if word.endswith("]")), len(rest) - 1)
            options, rest = " ".join(rest[: end + 1]), rest[end + 1 :]
        if len(rest) >= 3 and _wanted(rest[1], suite, rest[2:], options if "signed-by" in options else ""):
            found.append(" ".join(["deb", *([options] if options else []), *rest]))
    return found


def parse_deb822(text: str, suite: str) -> list[str]:
    """The same from the ``Types: deb`` paragraphs of a ``.sources`` file."""
    found = []
    for fields in _paragraphs(text):
        signed_by = fields.get("signed-by", "")
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        # A key written into the file itself has no place in a one-line entry; Debian's own keyring is known.
        option = f"[signed-by={signed_by}] " if signed_by.startswith("/") and " " not in signed_by else ""
        components = fields.get("components", "").split()
        names = [name for name in fields.get("suites", "").split() if _wanted(name, suite, components, signed_by)]
        for uri in fields.get("uris", "").split():
            found += [f"deb {option}{uri} {name} {' '.join(components)}" for name in names]
    return found


def _wanted(name: str, suite: str, components: list[str], signed_by: str) -> bool:
    debian = not signed_by or _DEBIAN_KEYRING in signed_by
    return debian and "main" in components and name in (suite, f"{suite}-updates", f"{suite}-security")


def _paragraphs(text: str) -> Iterable[dict[str, str]]:
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields:
            yield fields


def proxy_options() -> list[str]:
    """The proxies of the host's apt, as options for mmdebstrap's."""
    options = []
    for key in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
        try:
            done = subprocess.run(["apt-config", "shell", "value", key], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return []
        value = done.stdout.strip().removeprefix("value=").strip("'")
        if value:
            options.append(f'{key} "{value}"')
    return options
