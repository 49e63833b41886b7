"""etcd over TLS with client certificates: the engines connect, the facts ask as they do, and each trap is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import UnreachableError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Member
from runbook_lib.facts.control_planes.etcd.access import read_access
from runbook_lib.facts.control_planes.etcd.keys import read_store_keys
from runbook_lib.facts.control_planes.etcd.members import read_members
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Verdict
from runbook_lib.steps import CreateNetwork, EtcdAutostart, Reboot, require_success, run_step
from runbook_lib.testbed import Testbed
from runbook_lib.testbed.image.images import ETCD_IMAGE
from runbook_lib.testbed.machine.layout import NodeLayout
from runbook_lib.testbed.node.certificates import Authority
from runbook_lib.testbed.node.etcd import command, member_name
from runbook_lib.verify.members import check_members
from tests.testbed.conftest import wait_until_connected
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed

FILES = "/var/lib/boot2docker/etcd"
PROFILE = "/var/lib/boot2docker/profile"
OPTIONS = {"kv.cacertfile": "ca.pem", "kv.certfile": "client.pem", "kv.keyfile": "client-key.pem"}
DEMAND = ("--client-cert-auth=true", "--trusted-ca-file=/tls/ca.pem", "--cert-file=/tls/server.pem")


def make_member(node: Node, layout: NodeLayout, bed: Testbed, *options: str) -> None:
    """The node's member made again, over TLS; its data stay in their volume. Options given last win."""
    plain = command(bed.layout, layout)
    words = [word.replace("http://", "https://") if "-client-urls=" in word else word for word in plain]
    node.engine.remove_container(member_name(layout), force=True)
    node.engine.create_container(
        member_name(layout),
        ETCD_IMAGE,
        command=[*words, *DEMAND, "--key-file=/tls/server-key.pem", *options],
        network="host",
        binds=[f"{member_name(layout)}:/var/lib/etcd", f"{FILES}:/tls:ro"],
        stop_timeout=2,
    )
    node.engine.start(member_name(layout))


def put_certificates(node: Node, layout: NodeLayout, authority: Authority, stranger: Authority) -> None:
    """The authority, a certificate for the member and one for the engine; and a member's one by another authority."""
    addresses = (layout.cluster_address, "127.0.0.1")
    files = {"ca.pem": authority.pem}
    for name, issuer, where in (
        ("server", authority, addresses),
        ("client", authority, ()),
        ("strange", stranger, addresses),
    ):
        files[f"{name}.pem"], files[f"{name}-key.pem"] = issuer.issue(layout.name, addresses=where)
    node.ssh.run(["mkdir", "-p", FILES], sudo=True)
    for name, text in files.items():
        node.ssh.write_file(f"{FILES}/{name}", text.encode(), mode=0o600 if "-key" in name else 0o644)


def tell_engine(node: Node) -> None:
    """Name the files to dockerd, and start it again."""
    profile = (node.ssh.read_file(PROFILE) or b"").decode()
    options = "".join(f"--cluster-store-opt={key}={FILES}/{name}\n" for key, name in OPTIONS.items())
    node.ssh.write_file(PROFILE, profile.replace("EXTRA_ARGS='\n", f"EXTRA_ARGS='\n{options}").encode())
    node.ssh.run(["/etc/init.d/docker", "restart"], sudo=True)


def answers(node: Node) -> bool:
    try:
        node.engine.ping()
    except UnreachableError:
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def over_tls(testbed: Testbed, run: Run) -> Iterator[None]:
    authority, stranger = Authority.create("etcd"), Authority.create("stranger")

    def change(node: Node) -> None:
        put_certificates(node, testbed.node(node.name), authority, stranger)
        tell_engine(node)
        wait_until(lambda: answers(node), f"the engine of {node.name} answers", pause=0.1)

    def start(node: Node) -> None:
        if testbed.node(node.name) in testbed.layout.etcd_nodes:
            make_member(node, testbed.node(node.name), testbed)

    with Cluster(run.inventory) as cluster:
        # one after the other: an engine that starts while a member waits for its majority waits with it
        for action in (change, start):
            assert [outcome.error for outcome in cluster.each(action)] == [None] * 4
        yield


@pytest.fixture
def members(cluster: Cluster, run: Run) -> Callable[[Callable[[list[Member]], bool]], list[Member]]:
    """Read the members until they are as wanted, and return them."""

    def read(wanted: Callable[[list[Member]], bool]) -> list[Member]:
        found: list[Member] = []

        def as_wanted() -> bool:
            found[:] = read_members(cluster, run.parameters.etcd)
            return wanted(found)

        wait_until(as_wanted, lambda: found, pause=0.3)
        return found

    return read


def healthy(found: list[Member]) -> bool:
    return all(member.health == "healthy" for member in found) and sum(member.leader for member in found) == 1


def test_engines_are_connected_and_an_overlay_is_made(cluster: Cluster, run: Run, members) -> None:
    assert {outcome.result.scheme for outcome in cluster.each(read_access)} == {"https"}
    found = members(healthy)
    assert healthy(found), found
    assert all(member.client_url.startswith("https://") and member.detail == "" for member in found)
    wait_until_connected(cluster, run)
    require_success(
        run_step(cluster, CreateNetwork(run.parameters.overlay, control_plane_of(run.parameters), run.parameters.name))
    )
    assert any(key.key.startswith("/docker/network/v1.0/overlay/") for key in read_store_keys(cluster))
    assert {row.verdict for row in check_members(cluster, control_plane_of(run.parameters))} == {Verdict.PASS}


def test_after_a_power_cycle_bootlocal_asks_for_health_over_tls(cluster: Cluster, run: Run, members) -> None:
    require_success(run_step(cluster, EtcdAutostart(run.parameters.etcd)))
    require_success(run_step(cluster, Reboot()))
    found = members(healthy)
    assert healthy(found), found
    wait_until_connected(cluster, run)
    log = cluster.node("node2").ssh.read_file("/var/lib/boot2docker/log/overlay-runbook.log") or b""
    assert log.decode().splitlines()[-1].endswith("etcd-autostart: started etcd2")


@pytest.mark.parametrize(
    ("option", "found", "remedy"),
    [
        ("--enable-v2=false", "its v2 API, which engines need, is disabled", "--enable-v2=true"),
        (
            "--cert-file=/tls/strange.pem --key-file=/tls/strange-key.pem",
            "not signed by the engine's CA",
            "--cert-file",
        ),
    ],
)
def test_a_member_that_engines_cannot_use_is_named(
    testbed: Testbed, cluster: Cluster, run: Run, members, option: str, found: str, remedy: str
) -> None:
    make_member(cluster.node("node3"), testbed.node("node3"), testbed, *option.split())
    seen = members(lambda all_of_them: bool(all_of_them[2].remedy))
    assert found in seen[2].detail
    assert remedy in seen[2].remedy
    rows = [row for row in check_members(cluster, control_plane_of(run.parameters)) if row.verdict is Verdict.FAIL]
    assert [(row.node, row.found) for row in rows] == [("node3", f"etcd3: {seen[2].detail.split(': ')[0]}")]
