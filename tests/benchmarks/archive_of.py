"""Builds an archive of many valid records quickly: as a writer leaves them, without syncing each to the disk."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runbook_lib.files import locked
from runbook_lib.model.events import StepEvent
from runbook_lib.model.record import CellRecord, CellState, MetricRecord, NodeRecord, Provenance, Record, RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records import chain
from runbook_lib.records.sealing import Seal, append, note_head
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import NOTEBOOK_FILE, RECORD_FILE, Archive, record_folder_name
from runbook_lib.records.store.keys import signing_key
from runbook_lib.records.store.reading import contents_of, record_bytes

NOTEBOOKS = ("01_fix_node_ips", "03_create_overlay", "05_ping_tests", "06_disconnect_connect")
CLUSTERS = ("berlin", "lisbon", "testbed")
VERDICTS = (RecordVerdict.PASS,) * 8 + (RecordVerdict.FAILED, RecordVerdict.TIMEOUT)
NODES = ("node1", "node2", "node3", "node4")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def archive_of(count: int, root: Path, *, page_bytes: int = 2_000) -> Archive:
    """Make ``count`` sealed records below ``root``, an hour apart, and return their archive.

    They are the same each time but for their signatures. ``page_bytes`` is the size of each ``notebook.html``; a real
    one with pictures has some 300,000. ``$OVERLAY_RUNBOOK_SIGNING_KEY`` should name a key of the caller's own.
    """
    archive = open_archive(root)
    root.mkdir(parents=True, exist_ok=True)
    chance = random.Random(count)
    drafts = [_write(archive, _record(number, chance), chance, page_bytes) for number in range(count)]
    key = signing_key()
    with locked(archive.lock_file):
        appended = append(archive, drafts, key)
    note_head(archive, appended)
    for entry in appended.entries:
        seal = Seal(entry=entry, public_key=key.public.pem)
        (root / entry.folder / "seal.json").write_text(seal.model_dump_json(indent=1) + "\n")
    return archive


def _record(number: int, chance: random.Random) -> Record:
    notebook, cluster = NOTEBOOKS[number % len(NOTEBOOKS)], CLUSTERS[number // len(NOTEBOOKS) % len(CLUSTERS)]
    begun = FIRST + timedelta(hours=number)
    seconds = round(chance.uniform(3, 90), 3)
    verdict = chance.choice(VERDICTS)
    status = Status.CHANGED if number % 3 == 0 else Status.OK
    return Record(
        id=f"{chance.getrandbits(40):010x}",
        run=f"{number // len(NOTEBOOKS):010x}",
        notebook=notebook,
        cluster=cluster,
        verdict=verdict,
        exit_code=0 if verdict is RecordVerdict.PASS else 1,
        started=_text(begun),
        ended=_text(begun + timedelta(seconds=seconds)),
        seconds=seconds,
        changed=len(NODES) if status is Status.CHANGED else 0,
        parameters={"name": cluster, "probes": {"count": 5, "timeout": 2.0}},
        steps=tuple(
            StepEvent(step="static address", node=node, status=status, before="dhcp", after=f"192.168.99.{10 + index}")
            for index, node in enumerate(NODES)
        ),
        metrics=(
            MetricRecord(name="seconds", value=seconds, unit="s"),
            MetricRecord(name="ping latency", value=round(chance.uniform(0.1, 0.4), 4), unit="ms"),
        ),
        cells=tuple(CellRecord(index=index, state=CellState.COMPLETED, seconds=0.5) for index in range(12)),
        provenance=Provenance(
            notebook_sha256=hashlib.sha256(notebook.encode()).hexdigest(),
            project_version="0.1.0",
            packages={"papermill": "2.7.0", "docker": "7.2.0", "pandas": "3.1.1"},
            nodes=tuple(NodeRecord(node=node, address="192.168.99.10", engine="20.10.24") for node in NODES),
        ),
    )


def _write(archive: Archive, record: Record, chance: random.Random, page_bytes: int) -> chain.Draft:
    name = record_folder_name(record.started, record.cluster, record.notebook, record.id)
    folder = archive.root / name
    (folder / "tables").mkdir(parents=True)
    cells = [{"cell_type": "markdown", "id": "first", "metadata": {}, "source": f"# {record.notebook}"}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / NOTEBOOK_FILE).write_text(json.dumps(notebook))
    (folder / "notebook.html").write_bytes(b"<!doctype html><title>record</title>" + chance.randbytes(page_bytes))
    line = '{"kind":"call","at":"","node":"node1","via":"ssh","argv":["true"],"seconds":0.1,"status":0,"error":""}\n'
    (folder / "log.jsonl").write_text(line * 20)
    (folder / "tables" / "pings.csv").write_text("from,to,ms\n" + "node1,node2,0.2\n" * 12)
    data = record_bytes(record.model_copy(update={"files": contents_of(folder)}))
    (folder / RECORD_FILE).write_bytes(data)
    return chain.Draft("record", record.id, name, hashlib.sha256(data).hexdigest())


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
