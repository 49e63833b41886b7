"""Filters for lists of records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbook_lib.errors import InputError
from runbook_lib.records.query.index import INTERRUPTED, RUNNING, UNREADABLE, Row, open_index, rows
from runbook_lib.records.store.archive import Archive

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)\s*([smhdw])")


@dataclass(frozen=True)
class Filters:
    """The filters of a list; empty ones are not applied.

    ``notebook`` is a name or a prefix, such as ``05``; ``since`` has a time zone.
    """

    cluster: str = ""
    notebook: str = ""
    verdict: str = ""
    since: datetime | None = None

    def select(self, found: Sequence[Row]) -> list[Row]:
        """The rows that match, in their order."""
        since = "" if self.since is None else self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        notebook = self.notebook.removesuffix(".ipynb")
        return [
            row
            for row in found
            if row.started >= since
            and row.notebook.startswith(notebook)
            and self.cluster in ("", row.cluster)
            and self.verdict in ("", row.verdict)
        ]


def list_records(archive: Archive) -> list[Row]:
    """Every record of an archive, newest first, including those that are ``unreadable``.

    Raises:
        InputError: the archive is not a folder that can be read.
    """
    with open_index(archive) as index:
        found = rows(index)
    return [_as_it_is(row, archive) if row.verdict == RUNNING else row for row in found]


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """A date (``2026-05-01``), a time (``2026-05-01T12:30``, UTC unless it says otherwise), or how long ago (``7d``).

    Raises:
        InputError: an invalid date or duration.
    """
    duration = _DURATION.fullmatch(text.strip())
    try:
        if duration:
            number, unit = duration.groups()
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[unit]: int(number)})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{text!r} is neither a date nor a duration",
            place="--since",
            remedy="a date such as 2026-05-01, a time such as 2026-05-01T12:30, or a duration: 30m, 12h, 7d, 2w",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_verdict(text: str) -> str:
    """A verdict to filter by. Raises ``InputError`` for one that no record has, and names the existing ones."""
    from runbook_lib.model.record import RecordVerdict

    known = (*(str(verdict) for verdict in RecordVerdict), UNREADABLE)
    words = text.replace("-", " ").replace("_", " ").lower()
    if words and words not in known:
        raise InputError(f"no record has the verdict {text!r}", place="--verdict", remedy=f"one of: {', '.join(known)}")
    return words


def _as_it_is(row: Row, archive: Archive) -> Row:
    from runbook_lib.records.store.running import is_running

    return row if is_running(archive.root / row.folder) else row._replace(verdict=INTERRUPTED)
