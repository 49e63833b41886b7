"""Runs a notebook's cells in a kernel."""
