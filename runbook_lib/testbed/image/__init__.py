"""The nodes' root filesystem and the container images that they get."""
