from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.host.host import parse_date, parse_host
from runbook_lib.facts.sections import Section


def test_a_node_s_start_and_clock(captured_sections) -> None:
    sections = captured_sections("host.txt")
    now, _ = parse_date(sections["date"].text)
    uptime = float(sections["uptime"].text.split()[0])
    facts = parse_host("node1", sections, now - 0.020, now + 0.010)
    # process 1 started 580.88 s into the machine's life
    assert facts.start_ticks == 58088
    assert facts.started_at == pytest.approx(now - uptime + 580.88, abs=0.01)
    assert facts.clock_offset_ms == pytest.approx(5.0, abs=0.1)
    assert facts.clock_uncertainty_ms == pytest.approx(15.0, abs=0.1)
    assert facts.boot == f"{facts.boot_id}/58088"


def test_a_reboot_on_a_shared_kernel_is_another_boot(captured_sections) -> None:
    facts = parse_host("node1", captured_sections("host.txt"), 0, 0)
    assert replace(facts, started_at=facts.started_at + 0.02).boot == facts.boot
    assert replace(facts, start_ticks=facts.start_ticks + 1).boot != facts.boot


def test_a_process_name_with_spaces_and_brackets_moves_no_field(captured_sections) -> None:
    sections = captured_sections("host.txt")
    sections["init"] = Section(sections["init"].text.replace("(init)", "(in it) 9 (x))"), 0)
    assert parse_host("node1", sections, 0, 0).start_ticks == 58088


def test_a_node_without_getconf_counts_hundredths(captured_sections) -> None:
    sections = captured_sections("host.txt")
    sections["ticks"] = Section("sh: getconf: not found\n", 127)
    assert parse_host("node1", sections, 0, 0) == parse_host("node1", captured_sections("host.txt"), 0, 0)


@pytest.mark.parametrize("text", ["1795458252.", "1795458252", "1795458252.%N", "1795458252.N"])
def test_a_date_without_nanoseconds_is_good_to_a_second(text: str) -> None:
    assert parse_date(text) == (1795458252.0, 1.0)


@pytest.mark.parametrize("text", ["", "Mon Nov 23", "1795458252.x", "date: invalid option"])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_date(text)


@pytest.mark.parametrize("name", ["init", "uptime", "boot"])
def test_a_missing_reading_is_refused(captured_sections, name: str) -> None:
    sections = captured_sections("host.txt")
    sections[name] = Section("", 1)
    with pytest.raises((ValueError, IndexError)):
        parse_host("node1", sections, 0, 0)


@pytest.mark.parametrize(("text", "forwards"), [("0\n", False), ("1\n", True), ("cat: can't open it\n", True)])
def test_only_a_kernel_that_says_so_does_not_forward(captured_sections, text: str, forwards: bool) -> None:
    sections = captured_sections("host.txt") | {"forwarding": Section(text, 0)}
    assert parse_host("node1", sections, 0, 0).forwards is forwards
    assert parse_host("node1", captured_sections("host.txt"), 0, 0).forwards
