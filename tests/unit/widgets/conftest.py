"""The shell and the two dead nodes that the session's tests have, for panels over them."""

from __future__ import annotations

from tests.unit.session.conftest import displayed, inventory, open_session

__all__ = ["displayed", "inventory", "open_session"]
