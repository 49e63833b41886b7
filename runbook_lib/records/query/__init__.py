"""Queries on an archive: lists, tables, trends and comparisons."""
