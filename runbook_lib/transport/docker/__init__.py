"""The Docker Engine API of one node: over TLS, over its SSH connection, or through a classic Swarm manager."""
