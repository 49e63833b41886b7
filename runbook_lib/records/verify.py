"""Verifies an archive: compares its chain with its folders, and names records that were changed, removed or added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.files import is_temporary, locked
from runbook_lib.model.locations import signing_key_file
from runbook_lib.records import checks
from runbook_lib.records.chain import Entry, Head, read_chain, read_head
from runbook_lib.records.checks import Finding, Verification, check_folder, check_seal, digest_of, entry_fault
from runbook_lib.records.sealing import read_seal
from runbook_lib.records.store import remote
from runbook_lib.records.store.archive import KEYS_FOLDER, RECORD_FILE, SEAL_FILE, Archive, id_of
from runbook_lib.records.store.keys import PublicKey, parse_public_key, read_public_key, signing_key
from runbook_lib.records.store.running import is_begun_by, is_running


@dataclass
class Examination:
    """One verification of an archive.

    ``mirror`` is the folder with the markers of this machine's unfinished records: the archive's own, or its mirror's.
    """

    archive: Archive
    trusted: PublicKey | None
    mirror: Path
    findings: list[Finding] = field(default_factory=list)

    def result(self, record_id: str | None) -> Verification:
        """Check everything, or the chain and one record. Raises ``InputError``, ``RecordError``."""
        head = read_head(self.archive.location)
        folders, data, running = self._read(head)
        lines, cut_short = read_chain(data)
        entries = [line.entry for line in lines if line.entry is not None]
        keys = self._keys()
        self.findings += checks.check_lines(lines, keys, self.trusted)
        self.findings += checks.check_order(lines)
        self.findings += checks.check_end(entries, head, cut_short)

        latest = {entry.folder: entry for entry in sorted(entries, key=lambda entry: entry.sequence)}
        named = sorted(latest.keys() | folders.keys())
        if record_id:
            named = [_only(record_id, named, self.archive)]
        for name in named:
            if name not in latest:
                self.findings += () if name in running else self._unchained(folders[name], entries, keys)
            elif latest[name].kind == "record":
                self._check_record(folders, latest, name, keys)
            elif name in folders:
                problem = "was removed by a signed entry, yet it is still there; the next prune removes it"
                self.findings.append(Finding(id_of(folders[name]), name, problem, leftover=True))
        return Verification(
            tuple(self.findings),
            records=sum(name in latest and latest[name].kind == "record" for name in named),
            entries=len(entries),
            pruned=sum(entry.kind == "prune" for entry in latest.values()),
            running=len(running),
            signed=dict(Counter(entry.key for entry in entries)),
            ends_known=head is not None,
        )

    def _read(self, head: Head | None) -> tuple[dict[str, Path], bytes, set[str]]:
        """The folders, the chain and the running records, all at the same moment."""
        if not self.archive.root.is_dir() and head is None:
            raise InputError(
                "there are no records here",
                place=self.archive.location,
                remedy="run a notebook: ./runbook run, or name the archive: --records LOCATION",
            )
        try:
            with locked(self.archive.lock_file, shared=True):
                return self._read_now()
        except (FileNotFoundError, PermissionError):
            # No archive was written here, or its lock cannot be taken.
            return self._read_now()

    def _read_now(self) -> tuple[dict[str, Path], bytes, set[str]]:
        folders = {folder.name: folder for folder in self.archive.folders()}
        data = self.archive.chain_file.read_bytes() if self.archive.chain_file.exists() else b""
        return folders, data, {name for name, folder in folders.items() if is_running(folder)}

    def _keys(self) -> dict[str, PublicKey]:
        keys = {}
        for path in sorted(self.archive.keys_folder.glob("*.pem")):
            try:
                key = parse_public_key(path.read_bytes())
            except (OSError, ValueError) as error:
                self.findings.append(Finding("", f"{KEYS_FOLDER}/{path.name}", f"is not a public key ({error})"))
                continue
            if key.id == path.stem:
                keys[key.id] = key
            else:
                problem = f"was exchanged: it has the key {key.id}"
                self.findings.append(Finding("", f"{KEYS_FOLDER}/{path.name}", problem))
        return keys

    def _check_record(
        self, folders: Mapping[str, Path], latest: Mapping[str, Entry], name: str, keys: Mapping[str, PublicKey]
    ) -> None:
        entry = latest[name]
        folder = folders.get(name)
        if folder is None:
            self.findings.append(Finding(entry.record, name, _where_to(entry, folders, latest)))
            return
        found = digest_of(folder)
        if found != entry.sha256:
            other = next((one for one in latest.values() if one.sha256 == found), None)
            if other is not None:
                problem = f"has the record {other.record} in it, of {other.folder}: the folders were exchanged"
                self.findings.append(Finding(entry.record, name, problem))
                return
        findings = [*check_folder(folder, entry), *check_seal(folder, entry, keys.get(entry.key))]
        if findings and self._begun_here(folder, keys):
            # Its runner was killed after the entry: the seal may be missing or incomplete.
            findings = [replace(finding, leftover=_is_of_seal(finding)) for finding in findings]
        self.findings += findings

    def _unchained(self, folder: Path, entries: Sequence[Entry], keys: Mapping[str, PublicKey]) -> Iterator[Finding]:
        """Why a folder has no entry in the chain."""
        id_ = id_of(folder)
        sealed = _sealed_as(folder, keys)
        if self.archive.is_remote and self._begun_here(folder, keys):
            problem = "its writer was killed before all of it was uploaded; its next run uploads it"
            yield Finding(id_, folder.name, problem, leftover=True)
        elif sealed is not None:
            if sealed.folder != folder.name:
                yield Finding(id_, folder.name, f"was renamed or copied: it was sealed as {sealed.folder}")
            else:
                last = max((entry.sequence for entry in entries), default=0)
                how = (
                    "the chain's end was cut off" if sealed.sequence > last else "its entry was taken out of the chain"
                )
                yield Finding(id_, folder.name, f"was sealed as entry {sealed.sequence}, which is not there: {how}")
        elif self._begun_here(folder, keys):
            problem = "its runner was killed before it was sealed; the next run seals it"
            yield Finding(id_, folder.name, problem, leftover=True)
        elif self.archive.is_remote and not (folder / RECORD_FILE).exists():
            problem = "is being uploaded, or was not uploaded whole; the next run of its writer uploads it"
            yield Finding(id_, folder.name, problem, leftover=True)
        else:
            yield Finding(id_, folder.name, "was added: the chain has no entry for it, and it has no seal")

    def _begun_here(self, folder: Path, keys: Mapping[str, PublicKey]) -> bool:
        """Whether a record was started and not finished, by a marker that is signed with a known key."""
        own = [signing_key().public] if signing_key_file().exists() else []
        return is_begun_by(self.mirror / folder.name, [*keys.values(), *own])


def _is_of_seal(finding: Finding) -> bool:
    name = finding.place.rpartition("/")[2]
    return name == SEAL_FILE or (name.startswith(f".{SEAL_FILE}.") and is_temporary(name))


def _where_to(entry: Entry, folders: Mapping[str, Path], latest: Mapping[str, Entry]) -> str:
    """What happened to a record whose folder is missing."""
    for name, folder in folders.items():
        if name not in latest and digest_of(folder) == entry.sha256:
            return f"was renamed: the record is in {name}"
    return f"was removed: the chain has the record in entry {entry.sequence}, and its folder is gone"


def _sealed_as(folder: Path, keys: Mapping[str, PublicKey]) -> Entry | None:
    """The entry in a folder's seal, if a key of the archive signed it."""
    try:
        entry = read_seal(folder).entry
    except (OSError, ValueError):
        return None
    key = keys.get(entry.key)
    return entry if key is not None and entry.has_its_hash() and entry.is_signed_by(key) else None


def _only(record_id: str, names: Sequence[str], archive: Archive) -> str:
    found = [name for name in names if id_of(Path(name)).startswith(record_id) or name == record_id]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} records have an id that begins with {record_id!r}: {', '.join(map(_id, found[:10]))}",
            place=archive.location,
            remedy="give more of the id",
        )
    raise InputError(
        f"no record has the id {record_id!r}", place=archive.location, remedy="see the ids: ./runbook records list"
    )


def _id(name: str) -> str:
    return id_of(Path(name))


_ATTEMPTS = 3

__all__ = ["Finding", "Verification", "examine", "verify", "verify_folder"]


def verify(archive: Archive, *, record_id: str | None = None, public_key: Path | None = None) -> tuple[Finding, ...]:
    """The faults of an archive, found by ``examine``; empty if it is intact."""
    return examine(archive, record_id=record_id, public_key=public_key).findings


def examine(archive: Archive, *, record_id: str | None = None, public_key: Path | None = None) -> Verification:
    """Verify an archive: its chain, and each record's files, or those of one record (an id or a prefix of it).

    With ``public_key`` every entry must be signed with that key; else with one of those in the archive. A remote
    archive is fetched again.

    Raises:
        InputError: there is no archive, no such record, or no key in the file.
        RecordError: a remote archive cannot be fetched.
    """
    trusted = read_public_key(public_key) if public_key else None
    with remote.fetched(archive) as local:
        for _ in range(_ATTEMPTS - 1):
            before = _stamp(local)
            found = Examination(local, trusted, archive.root).result(record_id)
            if not found.findings or before == _stamp(local):
                return found
            # A record was finished or pruned in the meantime, which may explain the findings.
        return Examination(local, trusted, archive.root).result(record_id)


def _stamp(archive: Archive) -> int:
    return archive.chain_file.stat().st_size if archive.chain_file.exists() else 0


def verify_folder(folder: Path, *, public_key: Path | None = None) -> Verification:
    """Verify a single record outside its archive, by its seal.

    Without ``public_key`` this only proves that the folder is unchanged since the owner of the seal's key sealed it.

    Raises:
        InputError: no such folder, or no key in the file.
    """
    trusted = read_public_key(public_key) if public_key else None
    if not folder.is_dir():
        raise InputError("there is no such folder", place=str(folder), remedy="name the folder of a record")
    try:
        seal = read_seal(folder)
        key = parse_public_key(seal.public_key.encode())
    except (OSError, ValueError):
        problem = "is missing, or it is not a seal: nothing says what the record was"
        return Verification((Finding(id_of(folder), f"{folder.name}/{SEAL_FILE}", problem),))
    entry = seal.entry
    fault = entry_fault(entry, {key.id: key}, trusted)
    findings = [Finding(entry.record, f"{folder.name}/{SEAL_FILE}", fault)] if fault else []
    findings += check_folder(folder, entry)
    return Verification(tuple(findings), records=1, entries=1, signed={entry.key: 1})
