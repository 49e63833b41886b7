from __future__ import annotations

from pathlib import Path

from runbook_lib.testbed.image.images import parse_ldd

CAPTURED = Path(__file__).parents[1] / "captured"


def test_a_programs_libraries_are_its_loader_and_what_it_links() -> None:
    found = parse_ldd((CAPTURED / "ldd_etcd.txt").read_text())
    assert found == ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]


def test_a_static_program_has_no_libraries() -> None:
    assert parse_ldd("\tnot a dynamic executable\n") == []
