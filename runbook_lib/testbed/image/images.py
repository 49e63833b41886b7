"""The nodes' container images, built from the cached root filesystem without a registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runbook_lib.model.locations import cache_root
from runbook_lib.testbed.image.rootfs import cache_lock

ETCD_IMAGE = "etcd:3.4"
ALPINE_IMAGE = "alpine:latest"
STAND_IN_LABEL = "org.overlay-runbook.stand-in"
ETCD_LABEL = "org.overlay-runbook.source"
# Increase it when the build changes.
_BUILDER_VERSION = 1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_ETCD_PROGRAM = "usr/bin/etcd"
_EPOCH = "1970-01-01T00:00:00Z"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Archive:
    """A ``docker load`` archive in the cache, and the ID of each image in it by name."""

    path: Path
    identifiers: dict[str, str]


@dataclass(frozen=True)
class _Image:
    name: str
    command: tuple[str, ...]
    labels: dict[str, str]
    layer: bytes
    environment: tuple[str, ...] = field(default=(_PATH,))

    def configuration(self) -> bytes:
        diff_id = "sha256:" + hashlib.sha256(self.layer).hexdigest()
        machine = os.uname().machine
        return json.dumps(
            {
                "architecture": _ARCHITECTURES.get(machine, machine),
                "os": "linux",
                "created": _EPOCH,
                "config": {"Env": list(self.environment), "Cmd": list(self.command), "Labels": self.labels},
                "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                "history": [{"created": _EPOCH, "created_by": "overlay-runbook testbed"}],
            },
            sort_keys=True,
        ).encode()


def ensure(rootfs: Path) -> Archive:
    """The archive with the images of this root filesystem, built if it is not cached.

    These are the stand-in for alpine, and etcd if the root filesystem has it.
    """
    key = hashlib.sha256(f"{_BUILDER_VERSION} {rootfs.name}".encode()).hexdigest()[:16]
    archive = cache_root() / f"images-{key}.tar"
    index = archive.with_suffix(".json")
    if not index.is_file():
        with cache_lock("images"):
            if not index.is_file():
                _build(rootfs, archive, index)
    return Archive(archive, json.loads(index.read_text()))


def _build(rootfs: Path, archive: Path, index: Path) -> None:
    images = [_alpine(rootfs)]
    if (rootfs / _ETCD_PROGRAM).exists():
        images.insert(0, _etcd(rootfs))
    manifest, identifiers = [], {}
    temporary = archive.with_suffix(".building")
    with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
        for image in images:
            configuration = image.configuration()
            digest = hashlib.sha256(configuration).hexdigest()
            layer = f"{hashlib.sha256(image.layer).hexdigest()}/layer.tar"
            _add_file(tar, layer, image.layer)
            _add_file(tar, f"{digest}.json", configuration)
            manifest.append({"Config": f"{digest}.json", "RepoTags": [image.name], "Layers": [layer]})
            identifiers[image.name] = f"sha256:{digest}"
        _add_file(tar, "manifest.json", json.dumps(manifest).encode())
    temporary.replace(archive)
    # Written last: an index means that its archive is complete.
    unfinished = index.with_suffix(".building-index")
    unfinished.write_text(json.dumps(identifiers))
    unfinished.replace(index)


def _etcd(rootfs: Path) -> _Image:
    programs = [f"/{_ETCD_PROGRAM}", "/usr/bin/etcdctl", "/bin/busybox"]
    layer = _Layer(rootfs)
    for program in programs:
        layer.copy(program)
    for library in sorted({name for program in programs for name in _libraries(rootfs, program)}):
        layer.copy(library)
    layer.link("/bin/sh", "/bin/busybox")
    layer.folder("/tmp", 0o1777)
    return _Image(ETCD_IMAGE, ("etcd",), {ETCD_LABEL: "etcd-server and etcd-client from Debian"}, layer.finish())


def _alpine(rootfs: Path) -> _Image:
    layer = _Layer(rootfs)
    layer.copy("/bin/busybox")
    for applet in _applets(rootfs):
        layer.link(f"/bin/{applet}", "/bin/busybox")
    for folder, mode in (("/tmp", 0o1777), ("/root", 0o700), ("/var", 0o755), ("/sbin", 0o755), ("/usr", 0o755)):
        layer.folder(folder, mode)
    layer.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.text("/etc/group", "root:x:0:\nnobody:x:65534:\n")
    layer.text("/etc/nsswitch.conf", "hosts: files dns\n")
    layer.text("/etc/os-release", 'NAME="busybox stand-in for alpine"\nID=busybox-stand-in\n')
    return _Image(ALPINE_IMAGE, ("/bin/sh",), {STAND_IN_LABEL: "busybox from Debian"}, layer.finish())


def _libraries(rootfs: Path, program: str) -> list[str]:
    """The shared libraries and the loader that a program of the root filesystem needs."""
    done = subprocess.run(["chroot", str(rootfs), "ldd", program], capture_output=True, text=True, check=False)
    return parse_ldd(done.stdout)


def parse_ldd(text: str) -> list[str]:
    """Absolute paths in the output of ``ldd``; none for a static program."""
    found = []
    for line in text.splitlines():
        words = line.split()
        target = words[2] if len(words) > 2 and words[1] == "=>" else words[0] if words else ""
        if target.startswith("/"):
            found.append(target)
    return found


def _applets(rootfs: Path) -> list[str]:
    listing = subprocess.run(
        ["chroot", str(rootfs), "busybox", "--list"], capture_output=True, text=True, check=True
    ).stdout
    return sorted(set(listing.split()) - {"busybox"})


class _Layer:
    """One image layer: a reproducible tar."""

    def __init__(self, rootfs: Path) -> None:
        self._rootfs = rootfs
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def copy(self, path: str) -> None:
        """Add a file of the root filesystem; links are followed inside it."""
        source = self._resolve(path)
        self._put(path, 0o755, source.read_bytes())

    def text(self, path: str, content: str) -> None:
        self._put(path, 0o644, content.encode())

    def link(self, path: str, target: str) -> None:
        self._put(path, 0o777, b"", kind=tarfile.SYMTYPE, target=target)

    def folder(self, path: str, mode: int) -> None:
        self._put(path, mode, b"", kind=tarfile.DIRTYPE)

    def finish(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted({*self._entries, *self._parents()}):
                entry, content = self._entries.get(name) or (_entry(name, 0o755, tarfile.DIRTYPE), b"")
                tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    def _parents(self) -> Iterable[str]:
        for name in self._entries:
            for parent in Path(name).parents:
                if str(parent) != ".":
                    yield str(parent)

    def _put(self, path: str, mode: int, content: bytes, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
        entry = _entry(path.lstrip("/"), mode, kind)
        entry.size, entry.linkname = len(content), target
        self._entries[entry.name] = (entry, content)

    def _resolve(self, path: str) -> Path:
        current = self._rootfs
        for part in Path(path).parts[1:]:
            current = current / part
            while current.is_symlink():
                target = current.readlink()
                base = self._rootfs if target.is_absolute() else current.parent
                current = base / str(target).lstrip("/")
        return current


def _entry(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.mtime = mode, kind, 0
    return entry


def _add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = _entry(name, 0o644, tarfile.REGTYPE)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
