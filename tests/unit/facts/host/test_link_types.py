from __future__ import annotations

from runbook_lib.facts.host.host import link_failure
from runbook_lib.facts.sections import Section


def test_a_kernel_that_makes_the_device_has_no_trouble() -> None:
    assert link_failure(Section("", 0)) == ""


def test_a_kernel_without_it_says_so_in_its_own_words(captured) -> None:
    assert link_failure(Section(captured("link_ipvlan_unknown.txt"), 2)) == "Unknown device type."


def test_a_failure_without_words_is_told_by_its_status() -> None:
    assert link_failure(Section("\n", 127)) == "ip link add ended with 127"
