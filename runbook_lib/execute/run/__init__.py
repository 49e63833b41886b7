"""Runs notebooks on one cluster, one after the other, through papermill."""
