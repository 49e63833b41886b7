"""How an engine speaks to its cluster store, so that the runbook asks the store the same way.

Engines up to 20.10 speak to etcd's v2 API through libkv. They do so over TLS if, and only if, all three of
``--cluster-store-opt kv.cacertfile=``, ``kv.certfile=`` and ``kv.keyfile=`` name files on the node (moby,
``pkg/discovery/kv/kv.go``; libnetwork, ``config.OptionKVOpts``): with one of them missing they speak plain HTTP and say
so in one line of their log. The client certificate is all that they can prove themselves with: libkv could send a
user and a password, but no option of dockerd sets them. ``kv.path`` moves the registrations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.facts.fetch import FETCH, fetch_over_tls, fetch_trouble, http_status, parse_json
from runbook_lib.facts.reading import Section, read_sections, reading

DEFAULT_PATH = "docker/nodes"
_FILE_OPTIONS = ("kv.cacertfile", "kv.certfile", "kv.keyfile")

_SCRIPT = """\
command_line() {
    cat "/proc/$1/cmdline" | tr '\\0' '\\t'
}
engine=
if [ -r /var/run/docker.pid ]; then read -r engine </var/run/docker.pid; fi
section command command_line "$engine"
section settings cat /etc/docker/daemon.json
"""


@dataclass(frozen=True)
class StoreAccess:
    """What an engine was told of its store: three files for TLS (all empty without), and where it registers itself.

    ``missing`` names the options that TLS lacks where only some are given.
    """

    authority: str = ""
    certificate: str = ""
    key: str = ""
    path: str = DEFAULT_PATH
    missing: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether the engine speaks TLS to its store."""
        return bool(self.authority)

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self.secure else "http"

    @property
    def fetch(self) -> str:
        """Shell that defines ``fetch URL``; over TLS it must be run by root, who alone may read the key."""
        return fetch_over_tls(self.authority, self.certificate, self.key) if self.secure else FETCH


PLAIN = StoreAccess()


@dataclass(frozen=True)
class StoreTrouble:
    """Why a member of the store is of no use to the engines: what was found, and the remedy."""

    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.found}: {self.remedy}" if self.remedy else self.found


def read_access(node: Node) -> StoreAccess:
    """How a node's engine speaks to its store, from dockerd's command line and daemon.json.

    Without a running dockerd the file alone counts.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: daemon.json is no JSON object.
    """
    sections = read_sections(node, _SCRIPT)
    if "ermission denied" in sections["settings"].text:
        sections = read_sections(node, _SCRIPT, sudo=True)
    with reading(node.name, "options of the engine's cluster store"):
        return parse_access(parse_store_options(sections["command"].text, sections["settings"]))


def parse_store_options(command_line: str, settings: Section) -> dict[str, str]:
    """The ``cluster-store-opts`` of daemon.json (absent: no such file) and of dockerd's tab-separated arguments.

    Raises:
        ValueError: daemon.json is no JSON object.
    """
    options: dict[str, str] = {}
    if settings.exit_status == 0 and settings.text.strip():
        written: Any = parse_json(settings.text).get("cluster-store-opts") or {}
        options.update({str(key): str(value) for key, value in written.items()})
    words = command_line.rstrip("\t\n").split("\t")
    for place, word in enumerate(words):
        if word == "--cluster-store-opt" and place + 1 < len(words):
            key, _, value = words[place + 1].partition("=")
            options[key] = value
        elif word.startswith("--cluster-store-opt="):
            key, _, value = word.removeprefix("--cluster-store-opt=").partition("=")
            options[key] = value
    return options


def parse_access(options: Mapping[str, str]) -> StoreAccess:
    """The access that these ``cluster-store-opts`` give an engine."""
    path = (options.get("kv.path") or DEFAULT_PATH).strip("/")
    authority, certificate, key = (options.get(name) or "" for name in _FILE_OPTIONS)
    if authority and certificate and key:
        return StoreAccess(authority, certificate, key, path)
    missing = tuple(name for name in _FILE_OPTIONS if not options.get(name))
    return StoreAccess(path=path, missing=missing if len(missing) < len(_FILE_OPTIONS) else ())


# What curl (OpenSSL) and GNU wget (GnuTLS) say, in the order in which it is looked for.
_TLS_TROUBLES = (
    (
        r"alert (certificate (expired|required|unknown|revoked)|bad certificate|unknown ca|unsupported certificate)"
        r"|A TLS fatal alert has been received",
        "it refuses the engine's client certificate {certificate}",
        "give the engine a valid one by the authority in etcd's --trusted-ca-file (kv.certfile, kv.keyfile)",
    ),
    (
        r"certificate has expired|certificate .*has expired|certificate of .* has expired",
        "its certificate has expired",
        "issue a new one for etcd (--cert-file), and see that the node's clock is right",
    ),
    (
        r"not yet (valid|activated)",
        "its certificate is not yet valid",
        "set the node's clock, or issue a new certificate for etcd (--cert-file)",
    ),
    (
        r"error setting certificate (file|verify locations)|Failed to open cert ",
        "the engine's file {authority} holds no certificate of an authority",
        "put the authority of etcd's certificates there, in PEM (kv.cacertfile)",
    ),
    (
        r"local issuer|self[- ]signed|known issuer|is not trusted|unable to get issuer|certificate signature failure",
        "its certificate is not signed by the authority that the engine was told, {authority}",
        "issue etcd's certificate (--cert-file) by that authority, or give the engine the right one (kv.cacertfile)",
    ),
    (
        r"subject name|does not match|doesn't match|IP address mismatch|not match host",
        "its certificate is not valid for this address",
        "issue one for etcd (--cert-file) whose subject alternative names have the member's address",
    ),
    (
        r"it answers without TLS|wrong version number|unknown protocol|unexpected TLS packet",
        "the engine speaks TLS to it, and it answers without",
        "start etcd with --cert-file, --key-file and https:// in its client URLs, or take the engine's kv.* files away",
    ),
    (
        r"(\S+) is not there",
        "the engine's file {file} for TLS is not on this node",
        "put it there, or correct kv.cacertfile, kv.certfile or kv.keyfile",
    ),
    (
        r"key values mismatch|unable to set private key|could not load PEM client certificate|could not load .*key",
        "the engine's client certificate {certificate} and its key {key} do not belong together, or are no PEM files",
        "give the engine a pair that does (kv.certfile, kv.keyfile)",
    ),
)


def access_trouble(section: Section, access: StoreAccess) -> StoreTrouble | None:
    """What TLS or authentication has to do with a failed answer; ``None`` where it has nothing to do with it."""
    status = http_status(section)
    if status == 401:
        return StoreTrouble(
            "it demands a user and a password (HTTP 401), which no engine can send",
            "give etcd's guest role read and write access to /docker, or disable its v2 authentication; let client"
            " certificates (--client-cert-auth) decide who may ask",
        )
    if not access.secure:
        return without_tls(access) if status == 400 else None
    for pattern, found, remedy in _TLS_TROUBLES:
        match = re.search(pattern, section.text, re.IGNORECASE | re.MULTILINE)
        if status is None and match is not None:
            file = match[1] if "{file}" in found else ""
            words = found.format(authority=access.authority, certificate=access.certificate, key=access.key, file=file)
            return StoreTrouble(words, remedy)
    return None


def without_tls(access: StoreAccess) -> StoreTrouble:
    """What to say of a member that speaks TLS to an engine that does not."""
    lacking = f" (it lacks {' and '.join(access.missing)})" if access.missing else ""
    return StoreTrouble(
        f"it speaks TLS, and the engine does not{lacking}", "give the engine kv.cacertfile, kv.certfile and kv.keyfile"
    )


def no_answer(section: Section, access: StoreAccess) -> StoreTrouble:
    """Why a fetch brought no usable answer."""
    return access_trouble(section, access) or StoreTrouble(fetch_trouble(section))


def v2_trouble(version: str) -> StoreTrouble:
    """What to say of a member that answers and has no ``/v2/keys``; ``version`` is etcd's, empty when not known.

    etcd has the v2 API off by default from 3.4 on, and lost it with 3.6.
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers >= (3, 6):
        return StoreTrouble(
            f"etcd {version} has no v2 API any more, and engines speak no other",
            "run etcd 3.5 or older there, with --enable-v2=true",
        )
    return StoreTrouble(
        "its v2 API is off, so engines cannot use it", "start etcd with --enable-v2=true (3.5 is the last that has it)"
    )
