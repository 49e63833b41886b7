"""Tests with real packets: ping matrix, pre-flight checks, convergence, the role of docker_gwbridge.

Nothing here changes a node permanently; temporary rules are removed, even if a test is killed.
"""
