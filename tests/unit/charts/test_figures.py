"""The matplotlib pictures: what is written in them, and that pyplot is left alone."""

from __future__ import annotations

import io
import subprocess
import sys
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

from runbook_lib.charts import (
    address_drift,
    convergence_timeline,
    drift_text,
    figure_svg,
    heatmap_text,
    latency_spread,
    phases,
    ping_heatmap,
    round_trips,
    spread_text,
    timeline_text,
)
from runbook_lib.model.results import Probe
from runbook_lib.verify.convergence import Convergence, Sample, summarize
from runbook_lib.verify.probe import Evidence, FullSize, Pair, judge
from tests.unit.charts.conftest import address


def words(figure: Figure) -> list[str]:
    figure.savefig(io.BytesIO(), format="png")
    found = [item.get_text() for item in figure.findobj(Text) if not isinstance(item, Annotation)]
    return [text for text in found if text]


def probes(count: int = 3) -> list[Probe]:
    """All pairs of that many containers; alpine3 is expected to be unreachable, and is."""
    names = [f"alpine{number}" for number in range(1, count + 1)]
    rows = []
    for source in names:
        for target in names:
            for by in ("name", "address"):
                lost = "alpine3" in (source, target)
                pair = Pair(source, "node1", target, "node2", by, "10.0.0.9", "unreachable" if lost else "reachable")
                if source == target:
                    continue
                if lost and by == "name":
                    rows.append(judge(pair, "", (), "no resolution"))
                else:
                    rows.append(judge(pair, "10.0.0.9", (None,) * 3 if lost else (1.5, 0.25, 0.25)))
    return rows


def timeline() -> Convergence:
    samples = [
        Sample("alpine1", "alpine2", round(at / 10 - 0.3, 1), "10.0.0.3" if at > 5 else "", at > 8) for at in range(15)
    ]
    return summarize(samples, "connect alpine2", True, 0.1)


def test_a_heat_map_writes_times_cold_probes_and_expected_silence() -> None:
    found = words(ping_heatmap(probes()))
    assert {"by name", "by address", "0.25", "cold 1.50", "silent ✓"} <= set(found)
    assert "12 of 12 as expected, 8 of them rightly silent" in found


def test_a_failure_is_a_symbol_with_words() -> None:
    bad = judge(Pair("a", "n1", "b", "n2", "address", "10.0.0.9"), "10.0.0.9", (None, None, None))
    nameless = judge(Pair("a", "n1", "b", "n2", "name", "10.0.0.9"), "", (), "no resolution: nxdomain")
    bounded = Evidence(may_lose=5)
    warned = judge(Pair("b", "n2", "a", "n1", "address", "10.0.0.8"), "10.0.0.8", (0.2, None, 0.2), evidence=bounded)
    found = words(ping_heatmap([bad, nameless, warned]))
    assert {"✗\n100 % lost", "✗\nno name", "!\n33 % lost"} <= set(found)
    assert "a to b by address: no answer from 10.0.0.9." in heatmap_text([bad, nameless, warned])


def test_a_pair_whose_large_packets_are_lost_looks_failed_and_says_what_passes() -> None:
    pair = Pair("a", "n1", "b", "n2", "address", "10.0.0.9")
    cut = judge(pair, "10.0.0.9", (0.2, 0.2), evidence=Evidence(FullSize(1450, 1350, 3, 0)))
    hung = judge(pair, "10.0.0.9", (0.2, 0.2), evidence=Evidence(connection="no connection in 3 s"))
    assert "✗\n1350 bytes\nat most" in words(ping_heatmap([cut]))
    assert "✗\nsee table" in words(ping_heatmap([hung]))


def test_a_large_matrix_is_shaded_without_numbers() -> None:
    found = words(ping_heatmap(probes(16)))
    assert "0.25" not in found
    assert "node1/alpine16" in found


def test_a_heat_map_of_nothing_is_still_a_picture() -> None:
    assert "0 of 0 as expected" in words(ping_heatmap([]))


def test_a_large_matrix_stays_a_small_file_that_knows_a_dark_page() -> None:
    svg = figure_svg(ping_heatmap(probes(32)), "thirty-two & more")
    assert len(svg) < 400_000
    assert "<title>thirty-two &amp; more</title>" in svg
    assert "prefers-color-scheme: dark" in svg
    ElementTree.fromstring(svg)


def test_losses_are_a_bar_as_long_as_their_part() -> None:
    lossy = judge(Pair("a", "n1", "b", "n2", "address", "10.0.0.9"), "10.0.0.9", (0.2, None, 0.2, 0.2))
    bars = [bar for bar in ping_heatmap([lossy]).findobj(Rectangle) if bar.get_height() == 0.08]
    assert [round(bar.get_width(), 2) for bar in bars] == [0.22]


def test_a_spread_writes_median_95_percent_and_slowest_of_the_warm_round_trips() -> None:
    pair = Pair("a", "n1", "b", "n2", "address", "10.0.0.9")
    row = judge(pair, "10.0.0.9", (9.0, *(value / 100 for value in range(1, 101)), None))
    (trips,) = round_trips([row])
    assert (trips.middle, trips.share(0.95), trips.share(1.0), trips.lost) == (0.505, 0.95, 1.0, 1)
    found = words(latency_spread([row]))
    assert {"a → b", "0.505", "0.95", "1", "✗ 1"} <= set(found)
    assert spread_text([row]).endswith("a → b: median 0.505 ms, 95 % within 0.95 ms, slowest 1 ms, 1 lost.")


def test_a_spread_of_many_pairs_has_a_row_a_source() -> None:
    rows = [row.name for row in round_trips(probes(6))]
    assert rows[:2] == ["alpine1 → all by name", "alpine1 → all by address"]
    assert "alpine1 → all by name" in words(latency_spread(probes(6)))


def test_a_spread_of_nothing_is_still_a_picture() -> None:
    assert "no round trip at all" in words(latency_spread([]))


def test_a_time_line_tells_both_times_and_the_event() -> None:
    found = words(convergence_timeline(timeline()))
    assert "its name resolves after 0.3 s, it answers after 0.6 s" in found
    assert {"does not resolve", "10.0.0.3", "silent", "answers"} <= set(found)
    assert timeline_text(timeline()).endswith("its name resolves after 0.3 s, it answers after 0.6 s.")


def test_a_time_line_is_told_in_phases() -> None:
    found = phases(timeline().samples)
    assert [(phase.looks, phase.resolved, phase.answered) for phase in found] == [
        (6, "", False),
        (3, "10.0.0.3", False),
        (6, "10.0.0.3", True),
    ]
    assert "+0.3 s: resolves to 10.0.0.3, silent; +0.6 s: resolves to 10.0.0.3, answers." in timeline_text(timeline())


def test_a_change_that_was_never_seen_is_told() -> None:
    samples = [Sample("alpine1", "alpine2", at / 10, "", False) for at in range(5)]
    found = words(convergence_timeline(summarize(samples, "connect", True, 0.1)))
    assert "its name never resolves while it was watched, it never answers while it was watched" in found


def test_drift_counts_who_moved_and_shows_two_nodes_without_an_address_together() -> None:
    before = [address("node1", "192.168.99.104"), address("node2", "192.168.99.105"), address("node3", None)]
    after = [address("node1", "192.168.99.105"), address("node2", None), address("node3", None)]
    found = words(address_drift(before, after))
    assert "2 of 3 nodes moved (assigned by static)" in found
    assert "node2, node3" in found
    assert "node1 192.168.99.104 to 192.168.99.105" in drift_text(before, after)


def test_pyplot_stays_unloaded() -> None:
    script = "import sys, runbook_lib.charts; raise SystemExit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
