"""Validated parameters and results: frozen data that every layer above shares."""
