"""Connections to nodes: SSH (paramiko) and the Docker Engine API (docker SDK)."""
