"""Flow control between the runner and its kernel, beside Jupyter's protocol.

Jupyter's output channel has no flow control: 200 MB printed at once fill the reader's memory, or are partly lost. Here
the kernel sends output in pieces and waits while more than a window of it is not acknowledged. Acknowledgements come
through a pipe; its end tells the kernel that the runner has ended. Both sides import this module, so it imports little.
"""

from __future__ import annotations

#: Names the pipe of acknowledgements in the kernel's environment.
PACE_VARIABLE = "OVERLAY_RUNBOOK_PACE"

#: The longest text of one message of output, in characters.
PIECE = 1 << 18

# Output is counted in units, one byte in the pipe for each.
_UNIT = 4096

#: How many units may be unread: 3 M characters, or as many short messages. The kernel's socket drops messages above its
#: queue limit of a thousand when its reader does not read for a while.
WINDOW = 768

#: How many units the reader may collect before it acknowledges them.
ACKNOWLEDGED_TOGETHER = 64


def units(text: str) -> int:
    """The units of an output message."""
    return 1 + len(text) // _UNIT
