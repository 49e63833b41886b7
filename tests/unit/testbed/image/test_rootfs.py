from __future__ import annotations

from runbook_lib.testbed.image import rootfs
from runbook_lib.testbed.machine.layout import ARTICLES_KIND, Kind

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
