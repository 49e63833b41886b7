"""Record folders as plain files: what readers have to do with, without the writer that makes them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count(1)

PROVENANCE: dict[str, Any] = {
    "notebook_sha256": "ab" * 32,
    "project_version": "0.1.0",
    "project_commit": "0123abc",
    "packages": {"docker": "7.2.0", "pandas": "3.1.1"},
    "python": "3.11.2",
    "operator": "ada",
    "host": "lab7",
    "nodes": [
        {"node": "node1", "address": "192.168.99.11", "engine": "20.10.24", "engine_id": "AAAA", "answers": True},
        {"node": "node2", "address": "192.168.99.12", "engine": "20.10.24", "engine_id": "BBBB", "answers": True},
    ],
}


def step(name: str, node: str, status: str = "ok", before: str = "", after: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "step", "step": name, "node": node, "status": status, "before": before, "after": after, **more}


def check(name: str, verdict: str = "pass", expected: str = "", found: str = "", node: str = "") -> dict[str, Any]:
    return {"kind": "check", "check": name, "node": node, "verdict": verdict, "expected": expected, "found": found}


def metric(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit}


def sample(**changes: Any) -> dict[str, Any]:
    """A record as its ``record.json`` has it."""
    values: dict[str, Any] = {
        "format": 1,
        "id": f"{next(_NUMBERS):010x}",
        "run": "20260501T120000Z_lab",
        "resumes": "",
        "notebook": "05_ping_tests",
        "cluster": "lab",
        "verdict": "pass",
        "exit_code": 0,
        "plan": False,
        "started": "2026-05-01T12:00:00.000Z",
        "ended": "2026-05-01T12:00:12.500Z",
        "seconds": 12.5,
        "changed": 0,
        "parameters": {"name": "lab", "overlay": {"name": "ovr0", "subnet": "10.0.0.0/24"}},
        "steps": [],
        "checks": [check("every ordered pair answers", expected="4", found="4")],
        "metrics": [metric("ping latency", 0.05, "ms")],
        "cells": [{"index": 1, "id": "05-01", "state": "completed", "seconds": 0.1}],
        "failure": None,
        "provenance": PROVENANCE,
        "files": {},
    }
    return values | changes


def put(root: Path, **changes: Any) -> Path:
    """Write a record of that into the archive, and return its folder."""
    record = sample(**changes)
    compact = record["started"][:19].replace("-", "").replace(":", "")
    folder = root / f"{compact}Z_{record['cluster']}_{record['notebook'].replace('_', '-')}_{record['id']}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    return folder
