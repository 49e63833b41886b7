"""Runs notebooks on many clusters in parallel: one job per cluster in a ``concurrent.futures`` executor."""
