"""The nodes' root filesystem, built once by mmdebstrap and cached under a digest of its definition.

mmdebstrap gets the host's own package sources and proxies, so that it uses the host's mirror.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.files import locked, try_lock
from runbook_lib.model.locations import cache_root
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.kind import Kind

_FOLDER = Path("/etc/apt")
_DEBIAN_KEYRING = "debian-archive"


def host_sources(suite: str, folder: Path = _FOLDER) -> list[str]:
    """One-line entries of the host's Debian sources of this suite; empty on another distribution or release.

    With an empty list mmdebstrap uses its default mirror.
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
    # Updates without the suite itself would give an incomplete system.
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
        # A one-line entry cannot contain a key; Debian's own keyring is known.
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


_PACKAGES = (
    "busybox-static",
    "curl",
    "dnsmasq-base",
    "docker.io",
    "iproute2",
    "iptables",
    "iputils-arping",
    "iputils-ping",
    "netcat-openbsd",
    "openssh-server",
    "procps",
    "sudo",
    "tcpdump",
    "udhcpc",
)
# A node needs no manuals or translations; the licences stay.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
)
# Increase it when the build changes, but neither the packages nor our files do.
_BUILDER_VERSION = 1
_BUILD_TIMEOUT = 1800
FILES = Path(__file__).parents[1] / "files"


# The additional packages of a systemd host, with all network managers.
_SYSTEMD_PACKAGES = ("dbus", "ifupdown", "isc-dhcp-client", "netplan.io", "network-manager", "systemd-sysv")


@dataclass(frozen=True)
class Tree:
    """The definition of a root filesystem: a Debian suite with packages, or another tree with more packages."""

    suite: str
    packages: tuple[str, ...]
    base: Tree | None = None

    @property
    def script(self) -> Path:
        """The hook that customises it for a node."""
        return FILES / ("customize-debian.sh" if self.base else "customize.sh")

    @property
    def node_files(self) -> Path:
        """The folder with our own files for it."""
        return FILES / ("debian" if self.base else "node")


# Debian 12 has the last engine with a cluster store, 20.10, and an etcd that still supports its API.
_BOOKWORM = Tree("bookworm", tuple(sorted((*_PACKAGES, "etcd-client", "etcd-server"))))
# Debian 13 has 26.1, and the docker command in a separate package. Swarm mode keeps its state itself.
_TRIXIE = Tree("trixie", tuple(sorted((*_PACKAGES, "docker-cli"))))


def tree_of(kind: Kind) -> Tree:
    """The root filesystem that the nodes of a testbed have."""
    base = _TRIXIE if kind.engine == "26.1" else _BOOKWORM
    return Tree(base.suite, _SYSTEMD_PACKAGES, base) if kind.platform == "debian" else base


def content_key(tree: Tree) -> str:
    """A digest of everything that determines the root filesystem's content."""
    digest = hashlib.sha256()
    base = [content_key(tree.base)] if tree.base else []
    for part in (str(_BUILDER_VERSION), tree.suite, os.uname().machine, *tree.packages, *_DPKG_OPTIONS, *base):
        digest.update(part.encode() + b"\0")
    for path in [tree.script, *sorted(tree.node_files.rglob("*"))]:
        if path.is_file():
            digest.update(str(path.relative_to(FILES)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def location(tree: Tree) -> Path:
    """The root filesystem's folder, whether it is built or not."""
    return cache_root() / f"rootfs-{content_key(tree)}"


def is_cached(tree: Tree) -> bool:
    """Whether it is built."""
    return location(tree).is_dir()


def ensure(tree: Tree) -> Path:
    """The root filesystem's folder, built if it is not cached; parallel callers build it only once.

    Raises:
        TestbedError: mmdebstrap failed; the message ends with the last lines of its log.
    """
    target = location(tree)
    if target.is_dir():
        return target
    if tree.base:
        ensure(tree.base)
    with cache_lock(_lock_name(tree)):
        if not target.is_dir():
            _build(tree, target)
    return target


def is_being_built(tree: Tree) -> bool:
    """Whether another process builds this root filesystem now, or another one of the same suite."""
    lock = cache_root() / f"{_lock_name(tree)}.lock"
    if is_cached(tree) or not lock.exists():
        return False
    with lock.open("w") as file:
        return not try_lock(file.fileno())


def wait_for_builder(tree: Tree) -> None:
    """Wait until no other process builds it."""
    with cache_lock(_lock_name(tree)):
        return


@contextmanager
def cache_lock(subject: str) -> Iterator[None]:
    """Hold the lock for adding one kind of item to the cache."""
    root = cache_root()
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(root / f"{subject}.lock"):
        yield


def _lock_name(tree: Tree) -> str:
    return f"rootfs-{tree.suite}"


def _build(tree: Tree, target: Path) -> None:
    building = target.with_name(f"building-{target.name}")
    _remove(building)
    sources_file = target.with_name(f"{target.name}.list")
    try:
        host.run(_command(tree, building, sources_file), timeout=_BUILD_TIMEOUT, environment=_environment())
        building.rename(target)
    except TestbedError as error:
        raise TestbedError(
            f"the nodes' root filesystem could not be built: {error.message}",
            place=str(target),
            remedy="the packages come from this machine's Debian mirror: is it reachable? then try again",
        ) from error
    finally:
        sources_file.unlink(missing_ok=True)
        if building.exists():
            _remove(building)


def _command(tree: Tree, building: Path, sources_file: Path) -> list[str]:
    hook = f'NODE_FILES="{tree.node_files}" sh "{tree.script}" "$1"'
    command = ["mmdebstrap", f"--include={','.join(tree.packages)}"]
    if tree.base:
        # Copying the other tree and adding packages takes half the time of a new one.
        base = location(tree.base)
        copy = f'cp --archive --remove-destination "{base}/." "$1"'
        # Its sources are the same as those added below.
        forget = f'rm -f "$1/etc/apt/sources.list.d/0000{base.name}.list"'
        command += ["--variant=custom", "--skip=check/empty", f"--setup-hook={copy}", f"--setup-hook={forget}"]
    else:
        command.append("--variant=minbase")
    command += [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    command += [f"--aptopt={option}" for option in proxy_options()]
    command += [f"--customize-hook={hook}", tree.suite, str(building)]
    entries = host_sources(tree.suite)
    if entries:
        sources_file.write_text("\n".join(entries) + "\n")
        command.append(str(sources_file))
    return command


def _environment() -> dict[str, str]:
    # The PATH of a root shell from su or sudo may lack the folders of dpkg and chroot.
    return {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def _remove(folder: Path) -> None:
    """Delete an incomplete tree, but never through a mount in it."""
    if not folder.exists():
        return
    refuse_mounts(folder)
    shutil.rmtree(folder)


def refuse_mounts(folder: Path) -> None:
    """Check that nothing is mounted below a folder before it is deleted.

    Raises:
        TestbedError: naming the mount point and the command that ends it.
    """
    resolved = str(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount_point = line.split()[4].encode().decode("unicode_escape")
        if mount_point == resolved or mount_point.startswith(resolved + "/"):
            raise TestbedError(
                f"{mount_point} is still mounted, so {folder} is not deleted",
                remedy=f"umount {mount_point}, then try again",
            )
