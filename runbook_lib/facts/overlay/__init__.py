"""The overlay on the nodes: interfaces, hidden network namespaces, gossip, the name service."""
