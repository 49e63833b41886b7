"""Pictures as pure functions: typed rows in, a matplotlib ``Figure`` or an SVG string out.

All read without colour. The ``…_text`` functions give the text alternative to each.
"""

from runbook_lib.charts.drift import address_drift, drift_text
from runbook_lib.charts.heatmap import heatmap_text, ping_heatmap
from runbook_lib.charts.timeline import convergence_timeline, timeline_text

__all__ = [
    "address_drift",
    "convergence_timeline",
    "drift_text",
    "heatmap_text",
    "ping_heatmap",
    "timeline_text",
]
