"""HTTP requests made from a node, with whatever HTTP client it has."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from runbook_lib.facts.reading import Section

FETCH_SECONDS = 3

# boot2docker has busybox's wget, a minimal Debian only `busybox wget`. The bound is `timeout`, whose old busybox
# form takes -t: wget's own -T crashes Debian's static busybox. GNU wget -q says only by status 8 (6: it should have
# logged in) that the server refused; asked again with -S it tells how.
_LIMIT = f"""\
if timeout 1 true 2>/dev/null; then limit='timeout {FETCH_SECONDS}'
elif timeout -t 1 true 2>/dev/null; then limit='timeout -t {FETCH_SECONDS}'
else limit=''
fi
"""
FETCH = (
    _LIMIT
    + """\
# The way to a proxy may stand in the environment or in a file of the client's; a store is asked straight.
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

# busybox's wget has no client certificates; boot2docker has curl. A server that refuses a client's certificate says so
# after the handshake of TLS 1.3, and curl may see no more than a reset connection; asked again with TLS 1.2 it hears
# the reason. GNU wget hears nothing in either case, and with -q it keeps silent about a server's certificate, too.
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
            echo "$file is not there"
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
            if curl -q -sf --noproxy '*' -m 1 -o /dev/null "http${1#https}"; then echo 'it answers without TLS'; fi
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
        echo 'this node has neither curl nor GNU wget, one of which it needs to ask a store over TLS: install curl'
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

# `fetch_first URL…`, after what defines `fetch`, asks one after the other until one answers, be it with a refusal. Then
# `url` is the last that it asked and `status` how that ended.
FETCH_FIRST = """\
fetch_first() {
    for url in "$@"; do
        answer=$(fetch "$url")
        status=$?
        # 6, 8 and 22: GNU wget and curl say that the server refused
        case $status in 0|6|8|22|69) break ;; esac
        case $answer in *'HTTP/1.'*) break ;; esac
        answer="$url: $answer"
    done
    printf '%s' "$answer"
    return $status
}
"""


def fetch_over_tls(authority: str, certificate: str, key: str) -> str:
    """Shell that defines ``fetch URL`` as ``FETCH`` does, for a server that wants a client certificate; PEM files."""
    files = f"ca={shlex.quote(authority)} certificate={shlex.quote(certificate)} key={shlex.quote(key)}\n"
    return files + _LIMIT + _FETCH_OVER_TLS


_NO_CLIENT = 69
_TIMED_OUT = frozenset({124, 143})
_HTTP_STATUS = re.compile(r"(?:HTTP/[\d.]+ |error: )([1-5]\d\d)\b")


def http_status(section: Section) -> int | None:
    """The HTTP status of a fetch: 200 for one that succeeded, the server's refusal, or ``None`` without an answer."""
    if section.exit_status == 0:
        return 200
    found = _HTTP_STATUS.search(section.text)
    return int(found[1]) if found is not None else None


def fetch_trouble(section: Section) -> str:
    """Why a fetch failed, as a phrase; empty for one that succeeded."""
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
    """False when the node had no HTTP client at all, which says nothing of the server."""
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
