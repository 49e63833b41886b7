"""How an engine connects to its cluster store, and shell code by which a node sends the store the same requests.

Engines up to 20.10 use etcd's v2 API through libkv. They use TLS only if all three of ``--cluster-store-opt
kv.cacertfile=``, ``kv.certfile=`` and ``kv.keyfile=`` name files on the node (moby, ``pkg/discovery/kv/kv.go``;
libnetwork, ``config.OptionKVOpts``); if one is missing they use plain HTTP and write one line about it into their log.
The client certificate is their only means of authentication: libkv could send a user and a password, but dockerd has
no option for them. ``kv.path`` moves the registrations.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.facts.sections import Section, read_sections, reading

FETCH_SECONDS = 3

# boot2docker has busybox's wget, a minimal Debian only `busybox wget`. The bound is `timeout`, whose old busybox
# form takes -t: wget's own -T crashes Debian's static busybox. GNU wget -q reports a refusal only by exit status 8 (6:
# authentication required); a second request with -S shows the reason.
_LIMIT = f"""\
if timeout 1 true 2>/dev/null; then limit='timeout {FETCH_SECONDS}'
elif timeout -t 1 true 2>/dev/null; then limit='timeout -t {FETCH_SECONDS}'
else limit=''
fi
"""
FETCH = (
    _LIMIT
    + """\
# A proxy may be set in the environment or in the client's configuration; the store is never behind one.
unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY
if command -v wget >/dev/null; then
    client='wget'
    case $(wget --version 2>/dev/null) in 'GNU Wget'*) client='wget --no-config --no-proxy' ;; esac
elif command -v busybox >/dev/null && busybox wget --help >/dev/null 2>&1; then client='busybox wget'
elif command -v curl >/dev/null; then client=curl
else client=
fi
fetch() {
    case $client in
    '')
        echo 'this node has neither wget nor busybox nor curl'
        return 69
        ;;
    curl) $limit curl -q -sSf --noproxy '*' "$1" 2>&1 ;;
    *) $limit $client -qO- "$1" 2>&1 ;;
    esac
    fetched=$?
    case $client-$fetched in wget*-6 | wget*-8) $limit $client -S -q -O /dev/null "$1" 2>&1 ;; esac
    return "$fetched"
}
"""
)

# busybox's wget has no client certificates; boot2docker has curl. With TLS 1.3 a server refuses a client certificate
# after the handshake, and curl may only see a reset connection; a second request with TLS 1.2 shows the reason. GNU
# wget shows it in neither case, and with -q nothing about a server's certificate either.
_FETCH_OVER_TLS = """\
if command -v curl >/dev/null; then client=curl
elif wget --version 2>/dev/null | grep -q '^GNU Wget'; then client=wget
else client=
fi
secure_curl() {
    $limit curl -q -sSf --noproxy '*' --cacert "$ca" --cert "$certificate" --key "$key" "$@" 2>&1
}
secure_wget() {
    $limit wget --no-config --no-proxy --ca-certificate="$ca" --certificate="$certificate" --private-key="$key" \\
        "$@" 2>&1
}
fetch() {
    for file in "$ca" "$certificate" "$key"; do
        if [ ! -r "$file" ]; then
            echo "$file does not exist"
            return 66
        fi
    done
    case $client in
    curl)
        answered=$(secure_curl "$1" && echo .)
        fetched=$?
        case $fetched in
        0) printf '%s' "${answered%.}" ;;
        16 | 35 | 5[256])
            secure_curl --tls-max 1.2 "$1"
            if curl -q -sf --noproxy '*' -m 1 -o /dev/null "http${1#https}"; then
                echo 'the server answers without TLS'
            fi
            ;;
        *) echo "$answered" ;;
        esac
        return "$fetched"
        ;;
    wget)
        secure_wget -qO- "$1"
        fetched=$?
        case $fetched in 0 | 124 | 143) ;; *) secure_wget -S -nv -O /dev/null "$1" ;; esac
        return "$fetched"
        ;;
    *)
        echo 'this node has neither curl nor GNU wget, and a store with TLS needs one of them: install curl'
        return 69
        ;;
    esac
}
"""

# `speaks_tls URL` succeeds if what listens there finishes a TLS handshake; never without curl.
SPEAKS_TLS = """\
speaks_tls() {
    curl -q -sk --noproxy '*' -m 1 -v -o /dev/null "$1" 2>&1 | grep -q 'SSL connection using'
}
"""

# `fetch_first URL…` (needs `fetch`) tries one after the other until one answers, even with an error. Then `url` is the
# last one and `status` its exit status.
FETCH_FIRST = """\
fetch_first() {
    for url in "$@"; do
        answer=$(fetch "$url")
        status=$?
        # 6, 8 and 22: GNU wget and curl report that the server refused
        case $status in 0|6|8|22|69) break ;; esac
        case $answer in *'HTTP/1.'*) break ;; esac
        answer="$url: $answer"
    done
    printf '%s' "$answer"
    return $status
}
"""


def fetch_over_tls(authority: str, certificate: str, key: str) -> str:
    """Shell code that defines ``fetch URL`` like ``FETCH``, with TLS and a client certificate (PEM files)."""
    files = f"ca={shlex.quote(authority)} certificate={shlex.quote(certificate)} key={shlex.quote(key)}\n"
    return files + _LIMIT + _FETCH_OVER_TLS


_NO_CLIENT = 69
_TIMED_OUT = frozenset({124, 143})
_HTTP_STATUS = re.compile(r"(?:HTTP/[\d.]+ |error: )([1-5]\d\d)\b")


def http_status(section: Section) -> int | None:
    """The HTTP status of a fetch: 200 if it succeeded, the server's error, or ``None`` without an answer."""
    if section.exit_status == 0:
        return 200
    found = _HTTP_STATUS.search(section.text)
    return int(found[1]) if found is not None else None


def fetch_trouble(section: Section) -> str:
    """Why a fetch failed, as a phrase; empty if it succeeded."""
    if section.exit_status == 0:
        return ""
    if section.exit_status in _TIMED_OUT:
        return f"no answer within {FETCH_SECONDS} s"
    status = http_status(section)
    if status is not None:
        return f"the server answers HTTP {status}"
    lines = section.text.strip().splitlines()
    told = [line for line in lines if line.startswith("curl: (")]  # further lines are advice
    lines = told or lines
    return lines[-1].strip() if lines else f"the HTTP client ended with status {section.exit_status}"


def has_client(section: Section) -> bool:
    """False if the node has no HTTP client: the server was not asked."""
    return section.exit_status != _NO_CLIENT


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object. Raises ``ValueError`` for anything else."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): {text[:80]!r}") from error
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object: {text[:80]!r}")
    return value


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
    """An engine's options for its store: three files for TLS (empty without TLS) and the path of the registrations.

    ``missing`` names the TLS options that are missing if only some are set.
    """

    authority: str = ""
    certificate: str = ""
    key: str = ""
    path: str = DEFAULT_PATH
    missing: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether the engine uses TLS."""
        return bool(self.authority)

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self.secure else "http"

    @property
    def fetch(self) -> str:
        """Shell code that defines ``fetch URL``; with TLS it needs root to read the key."""
        return fetch_over_tls(self.authority, self.certificate, self.key) if self.secure else FETCH


PLAIN = StoreAccess()


@dataclass(frozen=True)
class StoreTrouble:
    """Why the engines cannot use a member of the store, and the remedy."""

    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.found}: {self.remedy}" if self.remedy else self.found


def read_access(node: Node) -> StoreAccess:
    """How a node's engine connects to its store, from dockerd's command line and daemon.json.

    Without a running dockerd, from the file only.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: daemon.json is not a JSON object.
    """
    sections = read_sections(node, _SCRIPT)
    if "ermission denied" in sections["settings"].text:
        sections = read_sections(node, _SCRIPT, sudo=True)
    with reading(node.name, "options of the engine's cluster store"):
        return parse_access(parse_store_options(sections["command"].text, sections["settings"]))


def parse_store_options(command_line: str, settings: Section) -> dict[str, str]:
    """The ``cluster-store-opts`` of daemon.json (absent: no such file) and of dockerd's tab-separated arguments.

    Raises:
        ValueError: daemon.json is not a JSON object.
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


# Patterns in the errors of curl (OpenSSL) and GNU wget (GnuTLS); the first match counts.
_TLS_TROUBLES = (
    (
        r"alert (certificate (expired|required|unknown|revoked)|bad certificate|unknown ca|unsupported certificate)"
        r"|A TLS fatal alert has been received",
        "the member refuses the engine's client certificate {certificate}",
        "give the engine a valid one signed by the CA in etcd's --trusted-ca-file (kv.certfile, kv.keyfile)",
    ),
    (
        r"certificate has expired|certificate .*has expired|certificate of .* has expired",
        "its certificate has expired",
        "issue a new one for etcd (--cert-file), and check the node's clock",
    ),
    (
        r"not yet (valid|activated)",
        "its certificate is not yet valid",
        "set the node's clock, or issue a new certificate for etcd (--cert-file)",
    ),
    (
        r"error setting certificate (file|verify locations)|Failed to open cert ",
        "the engine's file {authority} does not contain a CA certificate",
        "put the CA certificate of etcd's certificates there, in PEM (kv.cacertfile)",
    ),
    (
        r"local issuer|self[- ]signed|known issuer|is not trusted|unable to get issuer|certificate signature failure",
        "its certificate is not signed by the engine's CA, {authority}",
        "sign etcd's certificate (--cert-file) with that CA, or give the engine the right CA (kv.cacertfile)",
    ),
    (
        r"subject name|does not match|doesn't match|IP address mismatch|not match host",
        "its certificate is not valid for this address",
        "issue one for etcd (--cert-file) with the member's address in its subject alternative names",
    ),
    (
        r"the server answers without TLS|wrong version number|unknown protocol|unexpected TLS packet",
        "the engine uses TLS, but the member does not",
        "start etcd with --cert-file, --key-file and https:// in its client URLs, or remove the engine's kv.* options",
    ),
    (
        r"(\S+) does not exist",
        "the engine's TLS file {file} does not exist on this node",
        "put it there, or correct kv.cacertfile, kv.certfile or kv.keyfile",
    ),
    (
        r"key values mismatch|unable to set private key|could not load PEM client certificate|could not load .*key",
        "the engine's client certificate {certificate} and its key {key} do not match, or are not PEM files",
        "give the engine a matching pair (kv.certfile, kv.keyfile)",
    ),
)


def access_trouble(section: Section, access: StoreAccess) -> StoreTrouble | None:
    """The fault of TLS or authentication behind a failed fetch; ``None`` if there is none."""
    status = http_status(section)
    if status == 401:
        return StoreTrouble(
            "it requires a user and a password (HTTP 401), which engines cannot send",
            "give etcd's guest role read and write access to /docker, or disable its v2 authentication and"
            " restrict access by client certificates (--client-cert-auth)",
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
    """The fault of a member with TLS and an engine without."""
    lacking = f" (missing: {', '.join(access.missing)})" if access.missing else ""
    return StoreTrouble(
        f"the member uses TLS, but the engine does not{lacking}",
        "give the engine kv.cacertfile, kv.certfile and kv.keyfile",
    )


def no_answer(section: Section, access: StoreAccess) -> StoreTrouble:
    """Why a fetch gave no usable answer."""
    return access_trouble(section, access) or StoreTrouble(fetch_trouble(section))


def v2_trouble(version: str) -> StoreTrouble:
    """The fault of a member without ``/v2/keys``; ``version`` is etcd's, empty if unknown.

    etcd disables the v2 API by default from 3.4 on and has none from 3.6 on.
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers >= (3, 6):
        return StoreTrouble(
            f"etcd {version} has no v2 API, the only one that engines use",
            "run etcd 3.5 or older there, with --enable-v2=true",
        )
    return StoreTrouble(
        "its v2 API, which engines need, is disabled",
        "start etcd with --enable-v2=true (3.5 is the last version with it)",
    )
