"""Writes an execution's record into the archive, with the kernel's journal and its provenance."""
