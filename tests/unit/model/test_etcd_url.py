"""The URL of an engine's cluster store is taken apart in one way."""

from __future__ import annotations

import pytest

from runbook_lib.model.base import EtcdUrl, parse_etcd_url


@pytest.mark.parametrize(
    ("url", "endpoints", "prefix"),
    [
        ("etcd://10.1.0.1:2379,10.1.0.2:2380", (("10.1.0.1", 2379), ("10.1.0.2", 2380)), ""),
        ("etcd://10.1.0.1:2379/a/prefix/", (("10.1.0.1", 2379),), "a/prefix"),
        ("etcd://store.lan,", (("store.lan", None),), ""),
        ("etcd://store.lan:port", (("store.lan", None),), ""),
        ("etcd://[fe80::1]:2379", (("[fe80::1]", 2379),), ""),
    ],
)
def test_members_and_prefix(url: str, endpoints: tuple[tuple[str, int | None], ...], prefix: str) -> None:
    found = parse_etcd_url(url)
    assert (found.endpoints, found.prefix) == (endpoints, prefix)


def test_members_are_kept_as_the_url_names_them() -> None:
    assert parse_etcd_url("etcd://10.1.0.1:2379,store.lan") == EtcdUrl(("10.1.0.1:2379", "store.lan"))


@pytest.mark.parametrize("url", ["", "consul://10.0.0.1:8500", "etcd://", "10.0.0.1:2379", "etcd://10.0.0.1 2379"])
def test_another_store_has_no_members(url: str) -> None:
    assert parse_etcd_url(url) == EtcdUrl()
