"""What a notebook calls: ``start`` opens a session; the session reads, plans, applies, expects and finishes."""

from runbook_lib.session.session import Session
from runbook_lib.session.start import start

__all__ = ["Session", "start"]
