"""Executes notebooks headlessly: papermill with an engine of ours, a line a step, an honest record, a verdict.

Importing this package imports no papermill: a mistake in the parameters is told before that takes its time.
"""
