"""The cluster: nodes by name, opened lazily, asked all at once."""

from runbook_lib.cluster.cluster import Cluster, Node, Outcome

__all__ = ["Cluster", "Node", "Outcome"]
