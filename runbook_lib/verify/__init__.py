"""Proofs by real packets: the ping matrix, pre-flight checks, convergence, and what docker_gwbridge is for.

Nothing here changes a node for good; what a proof needs for a moment it removes itself, also when it is killed.
"""
