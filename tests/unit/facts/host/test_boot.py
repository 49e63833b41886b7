import pytest

from runbook_lib.facts.host.host import parse_boot, parse_boot_clock
from runbook_lib.facts.sections import Section

# Captured on a node of the testbed.
SECTIONS = {
    "boot": Section("4302e8ec-58c7-408d-af49-0e551bf5b5d4\n", 0),
    "init": Section(
        "1 (init) S 0 1 1 0 -1 4194560 238 54289 0 44 4 0 31 31 20 0 1 0 58088 2322432 348 18446744073709551615"
        " 4198400 5785993 140736396137664 0 0 0 0 0 524288 1 0 0 17 0 0 0 0 0 0 6141704 6178576 862851072"
        " 140736396144324 140736396144335 140736396144335 140736396144621 0\n",
        0,
    ),
    "uptime": Section("1523.40 2900.11\n", 0),
    "ticks": Section("100\n", 0),
}


def test_a_boot_is_told_by_the_kernels_id_and_the_start_of_process_1() -> None:
    boot = parse_boot("node1", SECTIONS)
    assert (boot.boot_id, boot.init_ticks) == ("4302e8ec-58c7-408d-af49-0e551bf5b5d4", 58088)
    assert boot.up_seconds == pytest.approx(942.5, abs=0.1)


def test_the_same_boot_read_later_is_the_same_and_another_process_1_is_not() -> None:
    boot = parse_boot("node1", SECTIONS)
    later = parse_boot("node1", {**SECTIONS, "uptime": Section("9999.0 1.0\n", 0)})
    restarted = parse_boot("node1", {**SECTIONS, "init": Section(SECTIONS["init"].text.replace("58088", "99999"), 0)})
    assert boot.same_as(later)
    assert not boot.same_as(restarted)


def test_a_busybox_without_getconf_counts_a_hundred_ticks_a_second() -> None:
    missing = Section("sh: getconf: not found\n", 127)
    assert parse_boot("node1", {**SECTIONS, "ticks": missing}) == parse_boot("node1", SECTIONS)


@pytest.mark.parametrize("section", ["boot", "init", "uptime"])
def test_an_answer_that_was_cut_off_is_no_boot(section: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_boot("node1", {**SECTIONS, section: Section("", 143)})


def test_what_was_written_after_the_boot_no_boot_has_proved_yet() -> None:
    sections = {
        **SECTIONS,
        "now": Section("1764402000\n", 0),
        "file /var/lib/boot2docker/bootsync.sh": Section("1764401000\n", 0),  # before the boot, 942 s ago
        "file /var/lib/boot2docker/bootlocal.sh": Section("1764401900\n", 0),
        "file /etc/odd": Section("1764409999\n", 0),  # the clock was set back
    }
    clock = parse_boot_clock("node1", sections)
    assert clock.booted == pytest.approx(1764402000 - 942.5, abs=0.1)
    assert clock.files_changed_since_boot == ("/var/lib/boot2docker/bootlocal.sh",)
    assert clock.is_text_after_boot("2025-11-29T07:39:50.123456789Z")
    assert not clock.is_text_after_boot("2025-11-29T07:20:00.123456789Z")
    assert not clock.is_text_after_boot("")
