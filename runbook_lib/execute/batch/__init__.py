"""Runs notebooks on many clusters side by side: a job a cluster, handed to a ``concurrent.futures`` executor."""
