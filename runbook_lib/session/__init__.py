"""The API of the notebooks: ``start`` opens a session, which reads, plans, applies, checks and finishes."""

from runbook_lib.session.session import Session
from runbook_lib.session.start import start

__all__ = ["Session", "start"]
