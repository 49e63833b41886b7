"""The embedded testbed: a real multi-node Docker cluster on one Linux machine.

``Testbed`` is all that the layers above need; it writes an inventory file and from then on is a
cluster like any other. nspawn, ``ip`` and everything else of the host is called only in here.
"""

from runbook_lib.testbed.handle import NodeStatus, Testbed, TestbedStatus
from runbook_lib.testbed.privilege import ConsoleReport
from runbook_lib.testbed.progress import Progress, Report, silent

__all__ = ["ConsoleReport", "NodeStatus", "Progress", "Report", "Testbed", "TestbedStatus", "silent"]
