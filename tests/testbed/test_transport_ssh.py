"""The SSH transport against the real sshd of real nodes, which are rebooted, cut off and switched off under it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, CommandTimeout, HostKeyError, NodeError, UnreachableError
from runbook_lib.model.loading import Run
from runbook_lib.testbed import Testbed
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True

MARK = "/tmp/long"
LONG = ["sh", "-c", f"touch {MARK}; sleep 600"]
ARGUMENTS = [
    "",
    " ",
    "it's",
    'say "x"',
    "a\nb",
    "$HOME",
    "`id`",
    "*",
    "~",
    "-n",
    "--",
    "é→🐋",
    "a;b|c&d>e",
    "\\",
    "A=b",
]


@pytest.fixture
def node(cluster: Cluster) -> Node:
    return cluster.node("node1")


def test_arguments_arrive_as_they_were_given(node: Node) -> None:
    script = 'for word; do printf "<%s>" "$word"; done'
    expected = "".join(f"<{word}>" for word in ARGUMENTS)
    assert node.ssh.run(["sh", "-c", script, "sh", *ARGUMENTS]).stdout == expected
    assert node.ssh.run(["sh", "-c", script, "sh", *ARGUMENTS], sudo=True).stdout == expected
    assert node.ssh.script(script, *ARGUMENTS, sudo=True).stdout == expected


def test_streams_of_any_size_flow_both_ways_at_once(node: Node) -> None:
    data = os.urandom(3_000_000).hex().encode()
    assert node.ssh.run(["cat"], stdin=data).stdout.encode() == data
    result = node.ssh.run(["sh", "-c", "head -c 5000000 /dev/zero & head -c 5000000 /dev/zero >&2; wait"])
    assert (len(result.stdout), len(result.stderr)) == (5_000_000, 5_000_000)
    assert node.ssh.run(["head", "-c", "3"], stdin=data).stdout.encode() == data[:3]


def test_signals_statuses_and_time_limits_are_told_apart(node: Node) -> None:
    assert node.ssh.run(["sh", "-c", "exit 42"], check=False).exit_status == 42
    with pytest.raises(CommandError, match="ended by a signal"):
        node.ssh.run(["sh", "-c", "kill -TERM $$"], check=False)
    with pytest.raises(CommandTimeout):
        node.ssh.run(["sleep", "60"], timeout=0.5)
    with pytest.raises(CommandError, match="not found") as caught:
        node.ssh.run(["no-such-command"])
    assert caught.value.exit_status == 127


def test_no_packet_of_a_command_waits_for_another(node: Node) -> None:
    # tests/benchmarks/ssh_command.py measures the milliseconds that a command costs
    connection = node.ssh.transport().sock
    assert isinstance(connection, socket.socket)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_more_threads_than_sshd_has_sessions_share_one_connection(node: Node) -> None:
    with ThreadPoolExecutor(24) as pool:
        results = list(pool.map(lambda index: node.ssh.run(["sh", "-c", f"sleep 0.1; echo {index}"]), range(48)))
    assert [result.stdout for result in results] == [f"{index}\n" for index in range(48)]
    listed = node.ssh.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).stdout.split()
    established = node.ssh.script('netstat -tn | grep -c "$1 .*ESTABLISHED" || true', f"{listed[0]}:{listed[1]}")
    assert established.stdout.strip() == "1"


def test_files_are_written_as_root_with_mode_and_one_backup(node: Node) -> None:
    folder = "/var/lib/boot2docker/transport test"
    node.ssh.run(["mkdir", "-p", folder], sudo=True)
    try:
        path = f"{folder}/it's"
        content = bytes(range(256)) * 1000
        node.ssh.write_file(path, b"first\n", mode=0o600)
        node.ssh.write_file(path, content, mode=0o755, backup=f"{path}.orig")
        node.ssh.write_file(path, content, mode=0o755, backup=f"{path}.orig")
        assert node.ssh.read_file(path) == content
        assert node.ssh.read_file(f"{path}.orig", sudo=True) == b"first\n"
        assert node.ssh.run(["stat", "-c", "%a %U", path]).stdout == "755 root\n"
        assert node.ssh.run(["ls", folder]).stdout == "it's\nit's.orig\n"
        assert node.ssh.run(["sh", "-c", "ls /tmp/.runbook-* 2>&1 || true"]).stdout.count("No such file") == 1
    finally:
        node.ssh.run(["rm", "-rf", folder], sudo=True)


def test_files_that_are_not_there_and_files_that_may_not_be_read(node: Node) -> None:
    assert node.ssh.read_file("/no/such/file") is None
    assert node.ssh.read_file("/no/such/file", sudo=True) is None
    with pytest.raises(NodeError, match=r"cannot read /etc/shadow: .*Permission denied"):
        node.ssh.read_file("/etc/shadow")
    shadow = node.ssh.read_file("/etc/shadow", sudo=True)
    assert shadow is not None
    assert shadow.startswith(b"root:")
    with pytest.raises(CommandError, match=r"cannot create /no/such/folder/file\.new"):
        node.ssh.write_file("/no/such/folder/file", b"x")


def test_the_line_in_an_error_works_when_it_is_pasted(node: Node) -> None:
    for argv, stdin in ((["sh", "-c", 'echo "it\'s $1"; exit 3', "sh", "a  b"], b""), (["grep", "x"], b"it's\n$HOME")):
        with pytest.raises(CommandError) as caught:
            node.ssh.run(argv, sudo=True, stdin=stdin)
        pasted = subprocess.run(
            ["sh", "-c", caught.value.paste], capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert (pasted.returncode, pasted.stdout.strip()) == (caught.value.exit_status, caught.value.stdout_tail)


def test_a_host_key_that_is_another_nodes_is_refused_with_both_fingerprints(cluster: Cluster, tmp_path: Path) -> None:
    first, second = cluster.nodes[0].spec.ssh, cluster.nodes[1].spec.ssh
    known = Path(first.known_hosts).read_text()
    other = next(line.split(maxsplit=1)[1] for line in known.splitlines() if line.startswith(second.host))
    (tmp_path / "known_hosts").write_text(f"{first.host} {other}\n")
    access = first.model_copy(update={"known_hosts": str(tmp_path / "known_hosts")})
    spec = cluster.nodes[0].spec.model_copy(update={"ssh": access})
    with SshConnection(spec) as ssh, pytest.raises(HostKeyError) as caught:
        ssh.run(["true"])
    printed = subprocess.run(["ssh-keygen", "-lf", "-"], input=known, capture_output=True, text=True, check=True).stdout
    fingerprints = {line.split()[2].split(",")[0]: line.split()[1] for line in printed.splitlines()}
    assert fingerprints[first.host] in caught.value.offered
    assert fingerprints[second.host] in str(caught.value.expected)


@pytest.fixture
def victim(cluster: Cluster, testbed: Testbed) -> Iterator[Node]:
    """A node that the test may switch off or cut off; it is there again for the next test."""
    node = cluster.node("node4")
    yield node
    testbed.restore("node4")
    testbed.start(["node4"])


def wait_until_begun(node: Node) -> None:
    """Wait until ``LONG`` runs on a node."""
    wait_until(lambda: node.ssh.run(["rm", MARK], check=False).exit_status == 0, "the command begins", pause=0.1)


def test_a_node_that_loses_power_in_the_middle_of_a_command_is_unreachable(victim: Node, testbed: Testbed) -> None:
    with ThreadPoolExecutor() as pool:
        command = pool.submit(victim.ssh.run, LONG, timeout=600)
        wait_until_begun(victim)
        testbed.poweroff([victim.name], hard=True)
        with pytest.raises(UnreachableError):
            command.result(PATIENCE_SECONDS)
    with pytest.raises(UnreachableError, match="no SSH connection to docker@"):
        victim.ssh.run(["true"])
    testbed.start([victim.name])
    assert victim.ssh.run(["echo", "back"]).stdout == "back\n"


def test_a_node_whose_cable_is_pulled_is_noticed_though_nothing_says_so(
    victim: Node, testbed: Testbed, run: Run
) -> None:
    victim.engine.ping()
    with ThreadPoolExecutor() as pool:
        command = pool.submit(victim.ssh.run, LONG, timeout=600)
        call = pool.submit(victim.engine.logs, "no-such-container")
        call.exception(PATIENCE_SECONDS)
        wait_until_begun(victim)
        testbed.cut(victim.name, management=True)
        with pytest.raises(UnreachableError):  # the kernel by itself would wait a quarter of an hour
            command.result(PATIENCE_SECONDS)
    with Cluster(run.inventory, run.parameters.timeouts.model_copy(update={"connect": 5.0})) as fresh:
        outcomes = fresh.each(lambda node: node.ssh.run(["hostname"]).stdout)
    assert [outcome.node for outcome in outcomes if outcome.error is not None] == [victim.name]
    testbed.restore(victim.name)
    assert victim.ssh.run(["echo", "back"]).stdout == "back\n"
    victim.engine.ping()


def test_a_connection_kept_over_a_reboot_is_opened_again(victim: Node, testbed: Testbed) -> None:
    victim.ssh.run(["true"])
    victim.engine.ping()
    testbed.reboot([victim.name])
    assert victim.ssh.run(["echo", "back"]).stdout == "back\n"
    victim.engine.ping()


def test_every_node_answers_while_one_is_off(victim: Node, testbed: Testbed, run: Run) -> None:
    testbed.poweroff([victim.name], hard=True)
    with Cluster(run.inventory, run.parameters.timeouts.model_copy(update={"connect": 5.0})) as impatient:
        outcomes = impatient.each(lambda node: node.ssh.run(["hostname"]).stdout.strip())
    assert [outcome.value for outcome in outcomes] == ["node1", "node2", "node3", None]
    assert isinstance(outcomes[3].error, UnreachableError)


def test_closing_leaves_no_socket_and_no_thread(run: Run) -> None:
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with Cluster(run.inventory) as opened:
        opened.each(lambda node: (node.ssh.run(["true"]), node.engine.info()))
    wait_until(lambda: not set(threading.enumerate()) - before[0], threading.enumerate)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before[1], "sockets are closed")  # noqa: PTH208
