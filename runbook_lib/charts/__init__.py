"""Pictures as pure functions: typed rows in, a matplotlib ``Figure`` or an SVG string out.

All read without colour. The ``…_text`` functions give the text alternative to each.
"""

from runbook_lib.charts.cluster import before_and_after, before_and_after_text, cluster_picture
from runbook_lib.charts.drift import address_drift, drift_text
from runbook_lib.charts.heatmap import heatmap_text, ping_heatmap
from runbook_lib.charts.spread import RoundTrips, latency_spread, round_trips, spread_text
from runbook_lib.charts.style import figure_svg
from runbook_lib.charts.timeline import Phase, convergence_timeline, phases, timeline_text
from runbook_lib.charts.trend import trend_picture, trend_text
from runbook_lib.charts.view import ClusterView
from runbook_lib.charts.words import describe

__all__ = [
    "ClusterView",
    "Phase",
    "RoundTrips",
    "address_drift",
    "before_and_after",
    "before_and_after_text",
    "cluster_picture",
    "convergence_timeline",
    "describe",
    "drift_text",
    "figure_svg",
    "heatmap_text",
    "latency_spread",
    "phases",
    "ping_heatmap",
    "round_trips",
    "spread_text",
    "timeline_text",
    "trend_picture",
    "trend_text",
]
