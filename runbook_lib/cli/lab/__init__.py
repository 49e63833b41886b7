"""JupyterLab as ``runbook notebook`` starts it: the learner's copies, the page it opens on, the server."""
