"""The imports of the process that local workers are forked from: everything that a run needs, loaded once."""

from runbook_lib.execute.batch import work
from runbook_lib.execute.recording import recording
from runbook_lib.execute.run import previous_run, runner
from runbook_lib.records import html

__all__ = ["previous_run", "recording", "runner", "work"]

html.warm_up()
