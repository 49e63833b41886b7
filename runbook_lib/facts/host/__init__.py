"""What a node's host says: its boot and kernel, its addresses, rules and network files."""
