"""Facts from the nodes' Docker engines: the engine itself, containers, networks."""
