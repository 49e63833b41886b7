"""Pictures as pure functions: typed rows in, a matplotlib ``Figure`` or an SVG string out.

All read without colour. The ``…_text`` functions give the text alternative to each.
"""

from runbook_lib.charts.cluster import cluster_picture
from runbook_lib.charts.drift import address_drift, drift_text
from runbook_lib.charts.heatmap import heatmap_text, ping_heatmap
from runbook_lib.charts.timeline import convergence_timeline, timeline_text
from runbook_lib.charts.trend import trend_picture, trend_text
from runbook_lib.charts.view import ClusterView, describe

__all__ = [
    "ClusterView",
    "address_drift",
    "cluster_picture",
    "convergence_timeline",
    "describe",
    "drift_text",
    "heatmap_text",
    "ping_heatmap",
    "timeline_text",
    "trend_picture",
    "trend_text",
]
