"""Facts about a node's host: boot and kernel, addresses, NAT rules, network configuration files."""
