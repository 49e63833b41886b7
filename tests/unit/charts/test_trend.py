from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from matplotlib.figure import Figure
from matplotlib.text import Text

from runbook_lib.charts import trend_picture, trend_text
from runbook_lib.model.results import Trend, TrendPoint


def trend(values: list[float], clusters: int = 1, failed: int = -1) -> Trend:
    begin = datetime(2026, 5, 1, tzinfo=UTC)
    points = [
        TrendPoint(f"{at}", begin + timedelta(days=at), f"cluster{at % clusters}", "pass", at != failed, value)
        for at, value in enumerate(values)
    ]
    return Trend("05_ping_tests", "ping latency", "ms", tuple(points))


def words(figure: Figure) -> list[str]:
    figure.savefig(io.BytesIO(), format="svg")
    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


def test_a_trend_says_what_it_shows() -> None:
    found = words(trend_picture(trend([0.1, 0.2, 0.4], failed=1)))
    assert "ping latency of 05_ping_tests" in found
    assert "3 runs, 1 did not pass (×); median 0.2 ms, last 0.4 ms" in found
    assert "ms" in found


def test_several_clusters_are_named_and_a_single_one_is_not() -> None:
    assert {"cluster0", "cluster1"} <= set(words(trend_picture(trend([1, 2, 3, 4], clusters=2))))
    assert "cluster0" not in words(trend_picture(trend([1, 2, 3])))


def test_one_point_zero_and_many_clusters_can_be_drawn() -> None:
    assert "one run; median 0 ms, last 0 ms" in words(trend_picture(trend([0.0])))
    assert "cluster5" in words(trend_picture(trend([1.0] * 12, clusters=6)))


def test_the_scale_begins_at_zero_so_that_noise_does_not_look_like_a_change() -> None:
    axes = trend_picture(trend([100.0, 101.0])).axes[0]
    assert axes.get_ylim()[0] == 0


def test_the_text_alternative_says_the_same() -> None:
    assert trend_text(trend([1, 2])) == "ping latency of 05_ping_tests: 2 runs; median 1.5 ms, last 2 ms."
