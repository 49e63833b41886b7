"""The nodes' root filesystem and container images."""
