"""Replaces secrets in text before it is shown or written.

Exact values only, in the forms that programs give them on their way (JSON, repr, HTML, CSV, URL, base64), and
shapes that are nothing but secrets: a swarm's join tokens, unlock key and gossip keys, and private keys in PEM. Other
patterns would spoil evidence.
"""

from runbook_lib.redact.redactor import SHORTEST_SECRET, Redactor, StreamRedactor

__all__ = ["SHORTEST_SECRET", "Redactor", "StreamRedactor"]
