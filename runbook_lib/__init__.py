"""Runbook notebooks that build, prove and explain Docker multi-host overlay networking: their helper package.

Imports point downward only (``[tool.importlinter]`` in pyproject.toml)::

    cli -> execute -> session -> steps, verify, testbed, charts, records -> tables -> facts -> cluster
        -> transport -> model -> errors, redact
"""

__version__ = "0.1.0"
