"""What the overlay is on the nodes: interfaces, hidden namespaces, gossip, the name service."""
