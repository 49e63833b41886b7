"""What a notebook asks of the cluster, each question a class or function that the session hands on."""
