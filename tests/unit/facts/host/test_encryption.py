"""What the probe of a kernel's encryption ended with."""

from __future__ import annotations

import pytest

from runbook_lib.errors import NodeError
from runbook_lib.facts.host.host import parse_encryption


def test_a_kernel_that_made_both_can() -> None:
    assert parse_encryption("node1", 0, "") == ""


def test_each_missing_part_is_named_with_the_kernels_own_words() -> None:
    esp = parse_encryption("node1", 81, "Error: Requested AEAD algorithm not found.\n")
    assert esp == "the kernel has no ESP with AES-GCM (Error: Requested AEAD algorithm not found.)"
    match = parse_encryption("node1", 82, "iptables: No chain/target/match by that name.\n")
    assert "neither by bpf nor by u32" in match


def test_a_probe_that_did_not_begin_proves_nothing() -> None:
    with pytest.raises(NodeError, match="unshare: Operation not permitted"):
        parse_encryption("node1", 1, "unshare: Operation not permitted\n")
