from __future__ import annotations

from pathlib import Path

from runbook_lib.testbed.image.rootfs import host_sources, parse_deb822, parse_one_line

CAPTURED = Path(__file__).parents[1] / "captured"
KEYRING = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"


def test_a_debian_hosts_own_sources_are_handed_on() -> None:
    assert parse_deb822((CAPTURED / "debian.sources").read_text(), "bookworm") == [
        f"deb {KEYRING} http://mirror.example/debian bookworm main",
        f"deb {KEYRING} http://mirror.example/debian bookworm-updates main",
        f"deb {KEYRING} http://mirror.example/debian-security bookworm-security main",
    ]


def test_one_line_entries_are_read_with_their_options() -> None:
    entry = "deb [arch=amd64] http://mirror.example/debian bookworm main contrib"
    text = f"# old\n{entry} # mine\ndeb-src http://mirror.example bookworm main\n"
    assert parse_one_line(text, "bookworm") == [entry]


def test_sources_that_debian_does_not_sign_are_left_out() -> None:
    text = "deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://vendor.example bookworm main\n"
    assert parse_one_line(text, "bookworm") == []
    paragraph = "Types: deb\nURIs: http://vendor.example\nSuites: bookworm\nComponents: stable\n"
    assert parse_deb822(paragraph, "bookworm") == []


def test_a_disabled_source_is_left_out() -> None:
    paragraph = "Enabled: no\nTypes: deb\nURIs: http://mirror.example\nSuites: bookworm\nComponents: main\n"
    assert parse_deb822(paragraph, "bookworm") == []


def test_a_key_written_into_the_file_does_not_break_the_entry() -> None:
    paragraph = (
        "Types: deb\nURIs: http://mirror.example\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
    )
    assert parse_deb822(paragraph, "bookworm") == []


def test_another_release_falls_back_on_mmdebstraps_own_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    assert host_sources("bookworm", tmp_path) == []


def test_updates_without_the_release_itself_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian bookworm-updates main\n")
    assert host_sources("bookworm", tmp_path) == []


def test_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "debian.sources").write_text((CAPTURED / "debian.sources").read_text())
    (folder / "more.list").write_text("deb http://other.example/debian bookworm main\n")
    (folder / "old.list.disabled").write_text("deb http://old.example/debian bookworm main\n")
    assert len(host_sources("bookworm", tmp_path)) == 4
