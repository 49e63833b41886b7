"""The cluster as a picture, gathered from facts at the moment it is drawn."""

from __future__ import annotations

from runbook_lib.charts import cluster_picture
from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Parameters
from runbook_lib.session.display import Picture


def picture(cluster: Cluster, parameters: Parameters) -> Picture:
    """Read all that the picture shows and draw it."""
    return Picture(cluster_picture(), "cluster")
