"""The engine's client against real engines, over TLS and over SSH."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import (
    DeadlineError,
    EngineConflict,
    EngineError,
    EngineNotFound,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.inventory import DockerAccess
from runbook_lib.model.parameters import Timeouts
from runbook_lib.testbed import Testbed
from runbook_lib.transport.docker.engine import Engine
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True

NETWORK, CONTAINER = "t-transport-net", "t-transport"


@pytest.fixture(params=["tls", "ssh"])
def engine(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Engine]:
    """node1's engine, reached in one of both ways; what a test makes is removed again."""
    with engine_of(cluster.node("node1"), via=request.param) as opened:
        yield opened
        remove_all(opened)


def engine_of(node: Node, *, via: str, command: float = 60.0) -> Engine:
    access = node.spec.docker if via == "tls" else DockerAccess(via="ssh")
    spec = node.spec.model_copy(update={"docker": access})
    return Engine(spec, node.ssh, Timeouts(connect=30, command=command))


def answers(engine: Engine) -> bool:
    try:
        engine.ping()
    except UnreachableError:
        return False
    return True


def remove_all(engine: Engine) -> None:
    for name in [item["Names"][0].strip("/") for item in engine.containers(labels={"test": "transport"})]:
        engine.remove_container(name, force=True)
    for network in engine.networks(names=[NETWORK]):
        engine.remove_network(network["Id"])


def run_container(engine: Engine, name: str = CONTAINER, **options: object) -> str:
    settings = {"command": ["sleep", "600"], "labels": {"test": "transport"}} | options
    identity = engine.create_container(name, "alpine", **settings)  # type: ignore[arg-type]
    engine.start(name)
    return identity


def test_the_engine_tells_of_itself(engine: Engine) -> None:
    engine.ping()
    assert engine.version()["Version"].startswith("20.10")
    assert engine.info()["ClusterStore"].startswith("etcd://")
    assert {"bridge", "host", "none"} <= {item["Name"] for item in engine.networks()}
    assert any("alpine:latest" in (item["RepoTags"] or []) for item in engine.images())
    assert engine.image("alpine")["Id"].startswith("sha256:")


def test_a_container_lives_and_dies(engine: Engine) -> None:
    identity = run_container(engine)
    found = engine.container(CONTAINER)
    assert (found["Id"], found["State"]["Running"], found["Config"]["Image"]) == (identity, True, "alpine")
    # Docker copies the two streams side by side: between them it promises no order
    status, output = engine.execute(CONTAINER, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (status, sorted(output.split())) == (7, ["err", "out"])
    assert engine.execute(CONTAINER, ["echo", "it's $HOME"]) == (0, "it's $HOME\n")
    status, output = engine.execute(CONTAINER, ["sh", "-c", "seq 200000"])
    assert (status, len(output.splitlines())) == (0, 200000)
    status, output = engine.execute(CONTAINER, ["no-such-command"])
    assert status in (126, 127)
    assert "no-such-command" in output
    engine.start(CONTAINER)
    engine.set_restart_policy(CONTAINER, "always")
    assert engine.container(CONTAINER)["HostConfig"]["RestartPolicy"]["Name"] == "always"
    with pytest.raises(EngineConflict, match="running container"):
        engine.remove_container(CONTAINER)
    engine.stop(CONTAINER, grace=1)
    with pytest.raises(EngineConflict, match="is not running"):
        engine.execute(CONTAINER, ["true"])
    engine.remove_container(CONTAINER)
    with pytest.raises(EngineNotFound, match=f"No such container: {CONTAINER}"):
        engine.container(CONTAINER)


def test_a_taken_name_and_a_missing_image_are_told(engine: Engine) -> None:
    run_container(engine)
    with pytest.raises(EngineConflict, match="is already in use by container") as caught:
        run_container(engine)
    assert (caught.value.status, caught.value.call) == (409, f"create {CONTAINER}")
    with pytest.raises(EngineNotFound, match=r"[Nn]o such image: no/such-image"):
        engine.create_container("t-other", "no/such-image")


def test_a_network_is_made_joined_left_and_removed(engine: Engine) -> None:
    identity = engine.create_network(NETWORK, driver="bridge", subnet="10.77.0.0/24", labels={"test": "transport"})
    assert engine.network(NETWORK)["Id"] == identity
    assert engine.networks(names=[NETWORK[:-1]]) == []
    with pytest.raises(EngineConflict, match="already exists"):
        engine.create_network(NETWORK, driver="bridge")
    run_container(engine)
    engine.connect(CONTAINER, NETWORK, address="10.77.0.9")
    assert engine.container(CONTAINER)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"] == "10.77.0.9"
    with pytest.raises(EngineError, match="active endpoints"):
        engine.remove_network(NETWORK)
    engine.disconnect(CONTAINER, NETWORK)
    engine.remove_network(NETWORK)
    with pytest.raises(EngineNotFound):
        engine.network(NETWORK)


def test_proxies_of_whoever_runs_this_do_not_get_into_containers(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("docker")
    (folder / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://proxy.example:3128"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    with engine_of(cluster.node("node1"), via="tls") as engine:
        try:
            run_container(engine)
            assert "proxy" not in " ".join(engine.container(CONTAINER)["Config"]["Env"]).lower()
        finally:
            remove_all(engine)


def test_an_image_is_loaded_and_what_is_no_image_is_refused(engine: Engine) -> None:
    broken = io.BytesIO()
    with tarfile.open(fileobj=broken, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("nothing"))
    with pytest.raises(EngineError):
        engine.load_image(broken.getvalue())


def test_logs_are_those_of_the_container(engine: Engine) -> None:
    run_container(engine, command=["sh", "-c", "echo first >&2; seq 100; sleep 600"])
    wait_until(lambda: {"100", "first"} <= set(engine.logs(CONTAINER, tail=200).split()))
    assert len(engine.logs(CONTAINER, tail=2).split()) == 2


@pytest.mark.parametrize("via", ["tls", "ssh"])
def test_an_exec_without_end_runs_out_of_its_time(cluster: Cluster, via: str) -> None:
    with engine_of(cluster.node("node1"), via=via, command=2) as engine:
        try:
            run_container(engine)
            for argv in (["sleep", "600"], ["sh", "-c", "while true; do echo .; sleep 0.1; done"]):
                with pytest.raises(DeadlineError, match=r"did not finish 'exec .* in 2 s"):
                    engine.execute(CONTAINER, argv)
        finally:
            remove_all(engine)


@pytest.mark.parametrize("via", ["tls", "ssh"])
def test_threads_share_one_engine(cluster: Cluster, via: str) -> None:
    with engine_of(cluster.node("node1"), via=via) as engine, ThreadPoolExecutor(8) as pool:
        versions = set(pool.map(lambda _: engine.version()["Version"], range(24)))
    assert len(versions) == 1


@pytest.mark.parametrize("via", ["tls", "ssh"])
def test_an_engine_whose_node_loses_power_in_the_middle_of_a_call_is_unreachable(
    cluster: Cluster, testbed: Testbed, via: str
) -> None:
    with engine_of(cluster.node("node4"), via=via) as engine, ThreadPoolExecutor() as pool:
        run_container(engine)
        call = pool.submit(engine.execute, CONTAINER, ["sleep", "600"])
        wait_until(lambda: engine.container(CONTAINER)["ExecIDs"], "the process begins")
        testbed.poweroff(["node4"], hard=True)
        try:
            with pytest.raises(UnreachableError):
                call.result(PATIENCE_SECONDS)
        finally:
            testbed.start(["node4"])
        remove_all(engine)


def test_an_engine_that_is_stopped_is_unreachable_and_answers_again_after_its_start(cluster: Cluster) -> None:
    node = cluster.node("node4")
    with engine_of(node, via="tls") as tls, engine_of(node, via="ssh") as ssh:
        tls.ping()
        ssh.ping()
        node.ssh.run(["/etc/init.d/docker", "stop"], sudo=True)
        try:
            with pytest.raises(UnreachableError, match="Connection refused"):
                tls.ping()
            with pytest.raises(UnreachableError, match="does not answer at its socket, reached over SSH"):
                ssh.ping()
        finally:
            node.ssh.run(["/etc/init.d/docker", "start"], sudo=True)
        wait_until(lambda: answers(tls), "the engine answers again", pause=0.2)
        ssh.ping()


def test_an_engine_without_its_store_says_so_with_the_notebook_that_helps(cluster: Cluster) -> None:
    members = {"node1": "etcd1", "node2": "etcd2", "node3": "etcd3"}
    running = [node for node in cluster.nodes[:3] if node.engine.container(members[node.name])["State"]["Running"]]
    for node in running:
        node.engine.stop(members[node.name])
    try:
        with pytest.raises(StoreUnavailable) as caught:
            cluster.node("node4").engine.create_network(NETWORK, subnet="10.77.1.0/24")
    finally:
        # At once: an engine that asks its store for this container while one member is alone waits for half a minute.
        started = cluster.each(lambda node: node.engine.start(members[node.name]), nodes=running)
        assert [outcome.error for outcome in started] == [None] * len(running)
    assert "02_autostart_etcd" in caught.value.remedy


def test_an_engine_is_reached_at_another_of_its_addresses(cluster: Cluster) -> None:
    node = cluster.node("node1")
    with node.engine.at(node.spec.docker.host or "") as same:
        assert same.info()["ID"] == node.engine.info()["ID"]
    with node.engine.at("127.0.0.1") as nobody, pytest.raises(UnreachableError, match=r"at 127\.0\.0\.1:2376 over TLS"):
        nobody.ping()
