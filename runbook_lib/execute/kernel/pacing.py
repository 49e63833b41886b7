"""What the runner and its kernel agree on beside Jupyter's protocol: how far output may run ahead of its reader.

Jupyter's output channel knows no waiting: a cell that prints 200 MB at once puts all of it into its reader's memory, or
loses some. Here the kernel sends output in pieces and waits while more than a window of it is unread. The reader
acknowledges through a pipe; that the pipe ends tells the kernel that its runner is gone.

Imported by both sides, so it imports next to nothing.
"""

from __future__ import annotations

#: Names the pipe of acknowledgements in the kernel's environment.
PACE_VARIABLE = "OVERLAY_RUNBOOK_PACE"

#: The longest text of one message of output, in characters.
PIECE = 1 << 18

# What is sent and acknowledged is counted in units: one byte in the pipe for each.
_UNIT = 4096

#: How many units may be unread: 3 M characters, or so many short messages. The kernel's socket drops what its queue has
#: no room for, a thousand messages of all kinds, when its reader does not come to read at all for a while.
WINDOW = 768

#: How many units the reader may collect before it acknowledges them.
ACKNOWLEDGED_TOGETHER = 64


def units(text: str) -> int:
    """What a message of output counts."""
    return 1 + len(text) // _UNIT
