"""What the nodes' Docker engines say: of themselves, of their containers and networks."""
