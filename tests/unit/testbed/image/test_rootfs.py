from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind

SWARM = Kind(engine="26.1", control_plane="swarm-mode")


def test_each_engine_comes_from_the_debian_that_has_it() -> None:
    articles, swarms = rootfs.tree_of(ARTICLES_KIND), rootfs.tree_of(SWARM)
    assert (articles.suite, swarms.suite) == ("bookworm", "trixie")
    assert rootfs.content_key(articles) != rootfs.content_key(swarms)
    assert {"etcd-server", "etcd-client"} == set(articles.packages) - set(swarms.packages)


def test_a_swarm_of_the_articles_engine_has_the_articles_tree() -> None:
    assert rootfs.tree_of(Kind(control_plane="swarm-mode")) == rootfs.tree_of(ARTICLES_KIND)


def test_the_tree_of_debian_nodes_is_made_from_that_of_boot2docker_nodes() -> None:
    article, debian = rootfs.tree_of(ARTICLES_KIND), rootfs.tree_of(Kind(platform="debian"))
    assert debian.base == article
    assert rootfs.content_key(debian) != rootfs.content_key(article)
    assert not set(article.packages) & {"systemd-sysv", "network-manager"}


def test_another_builder_is_seen_until_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_CACHE", str(tmp_path))
    article, swarms = rootfs.tree_of(ARTICLES_KIND), rootfs.tree_of(SWARM)
    assert not rootfs.is_being_built(article)
    with rootfs.cache_lock("rootfs-bookworm"):
        assert rootfs.is_being_built(article)
        assert not rootfs.is_being_built(swarms)
    assert not rootfs.is_being_built(article)
    with rootfs.cache_lock("rootfs-bookworm"):
        rootfs.location(article).mkdir()
        assert not rootfs.is_being_built(article)
