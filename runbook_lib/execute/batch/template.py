"""What the process imports that this machine's workers are forked from: all that a run needs, once for all of them."""

from runbook_lib.execute import recording, resume, runner
from runbook_lib.execute.batch import work
from runbook_lib.records import html

__all__ = ["recording", "resume", "runner", "work"]

html.warm_up()
