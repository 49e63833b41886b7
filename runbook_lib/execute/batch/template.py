"""What the process imports that this machine's workers are forked from: all that a run needs, once for all of them."""

from runbook_lib.execute.batch import work
from runbook_lib.execute.recording import recording
from runbook_lib.execute.run import previous_run, runner
from runbook_lib.records import html

__all__ = ["previous_run", "recording", "runner", "work"]

html.warm_up()
