"""The control plane of engines up to 20.10: a cluster store in etcd."""
