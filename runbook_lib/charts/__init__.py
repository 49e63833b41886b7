"""Pictures as pure functions: typed rows in, a matplotlib ``Figure`` or an SVG string out.

All are readable without colour. The ``…_text`` functions return their text alternatives.

Functions that need matplotlib are imported at their first use (PEP 562), because its import takes half a second.
Modules therefore write ``charts.ping_heatmap``, not ``from … import ping_heatmap``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runbook_lib.charts.cluster import before_and_after, before_and_after_text, cluster_picture
from runbook_lib.charts.view import ClusterView, describe

if TYPE_CHECKING:
    from runbook_lib.charts.pings import (
        RoundTrips,
        heatmap_text,
        latency_spread,
        ping_heatmap,
        round_trips,
        spread_text,
    )
    from runbook_lib.charts.style import figure_svg
    from runbook_lib.charts.time import (
        Phase,
        address_drift,
        convergence_timeline,
        drift_text,
        phases,
        timeline_text,
        trend_picture,
        trend_text,
    )

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

_MODULES = {
    "address_drift": "time",
    "drift_text": "time",
    "heatmap_text": "pings",
    "ping_heatmap": "pings",
    "RoundTrips": "pings",
    "latency_spread": "pings",
    "round_trips": "pings",
    "spread_text": "pings",
    "figure_svg": "style",
    "Phase": "time",
    "convergence_timeline": "time",
    "phases": "time",
    "timeline_text": "time",
    "trend_picture": "time",
    "trend_text": "time",
}


def __getattr__(name: str) -> Any:
    """Import a function that needs matplotlib at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
