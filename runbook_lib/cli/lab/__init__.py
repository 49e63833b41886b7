"""JupyterLab for ``runbook notebook``: the learner's copies, the start page, the server."""
