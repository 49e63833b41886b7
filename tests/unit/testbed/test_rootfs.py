from __future__ import annotations

from runbook_lib.testbed import rootfs
from runbook_lib.testbed.kind import Kind


def test_the_tree_of_debian_nodes_is_made_from_that_of_boot2docker_nodes() -> None:
    article, debian = rootfs.tree_of(Kind()), rootfs.tree_of(Kind(platform="debian"))
    assert debian.base == article
    assert rootfs.content_key(debian) != rootfs.content_key(article)
    assert not set(article.packages) & {"systemd-sysv", "network-manager"}
