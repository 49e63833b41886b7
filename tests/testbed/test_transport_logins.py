"""Ways to log in and to become root, against the sshd, sudo and ssh-agent that people run."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, HostKeyError, InputError, NodeError, SudoError, UnreachableError
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.model.inventory import DockerAccess, NodeSpec, SshAccess
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Timeouts
from runbook_lib.testbed import Testbed
from runbook_lib.transport.ssh import SshConnection, ask_for_key, login
from runbook_lib.transport.ssh.endpoint import machine_of_node
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True

PASSWORD, WRONG = "open Sesame's $HOME", "open Barley"
SECRET = {"env": "LAB_PASSWORD"}
# A further sshd on node1 that takes passwords and forwards nothing, and one that asks for them as PAM does.
BY_PASSWORD, BY_QUESTION = 2222, 2223
PEOPLE = """
for user in worker guest bound; do
    useradd --create-home --shell /bin/sh "$user"
    echo "$user:$1" | chpasswd
    cp -R /home/docker/.ssh "/home/$user/.ssh"
    chown -R "$user:" "/home/$user"
done
useradd --create-home --shell /bin/bash --groups docker noisy
useradd --create-home --shell /usr/sbin/nologin closed
for user in noisy closed; do
    cp -R /home/docker/.ssh "/home/$user/.ssh"
    chown -R "$user:" "/home/$user"
    echo "$user:$1" | chpasswd  # sshd refuses an account without a password
done
cat >/home/noisy/.bashrc <<'FILE'
echo hi
echo 'stty: standard input: Inappropriate ioctl for device' >&2
cd /usr
export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 PATH=/usr/bin:/bin http_proxy=http://10.255.255.1:3128
export DOCKER_HOST=tcp://10.255.255.1:2376 DOCKER_TLS_VERIFY=1
set -e
FILE
echo 'ALL_PROXY=http://10.255.255.1:3128' >>/etc/environment
echo 'noisy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/noisy
printf 'Defaults:noisy env_keep += "http_proxy HTTPS_PROXY DOCKER_HOST"\n' >>/etc/sudoers.d/noisy
echo 'worker ALL=(ALL) ALL' >/etc/sudoers.d/worker
printf 'bound ALL=(ALL) NOPASSWD: ALL\nDefaults:bound requiretty\n' >/etc/sudoers.d/bound
/usr/sbin/sshd -p 2222 -o PidFile=none -o PasswordAuthentication=yes -o AllowTcpForwarding=no
/usr/sbin/sshd -p 2223 -o PidFile=none -o UsePAM=yes -o KbdInteractiveAuthentication=yes -o PasswordAuthentication=no \\
    -o SetEnv=HTTPS_PROXY=http://10.255.255.1:3128
"""
NOBODY = """
pkill -f '^sshd: /usr/sbin/sshd -p 222'
for user in worker guest bound noisy closed; do
    userdel --force --remove "$user"
    rm -f "/etc/sudoers.d/$user"
done
sed -i /ALL_PROXY/d /etc/environment
"""


@pytest.fixture(scope="module")
def place(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The cluster with people on node1 who have a password, which is at hand."""
    with pytest.MonkeyPatch.context() as patch, Cluster(run.inventory) as cluster:
        patch.setenv("LAB_PASSWORD", PASSWORD)
        patch.setenv("LAB_WRONG", WRONG)
        cluster.node("node1").ssh.script(PEOPLE, PASSWORD, sudo=True)
        yield Place(run, tmp_path_factory.mktemp("logins") / "known_hosts")
        cluster.node("node1").ssh.script(NOBODY, sudo=True, check=False)


class Place:
    """How the nodes are logged in on, with a known_hosts file that is empty to begin with."""

    def __init__(self, run: Run, known_hosts: Path) -> None:
        self.run = run
        self.known_hosts = known_hosts

    def login(self, name: str, **changes: Any) -> dict[str, Any]:
        """A login on a node; ``None`` leaves out what is usually there."""
        access = self.run.inventory.node(name).ssh.model_dump(mode="json", exclude_defaults=True)
        access |= {"known_hosts": str(self.known_hosts)} | changes
        return {key: value for key, value in access.items() if value is not None}

    def node(self, name: str, **changes: Any) -> NodeSpec:
        """A node so logged in on, whose engine is reached over that connection."""
        access = SshAccess.model_validate(self.login(name, **changes))
        return self.run.inventory.node(name).model_copy(update={"ssh": access, "docker": DockerAccess()})

    def trusted(self, name: str, **changes: Any) -> NodeSpec:
        """A node whose host key was recorded."""
        spec = self.node(name, **changes)
        ask_for_key(machine_of_node(spec), 5).record()
        return spec


@contextmanager
def connected(spec: NodeSpec) -> Iterator[SshConnection]:
    with SshConnection(spec, Timeouts(connect=30, command=60)) as ssh:
        yield ssh


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """A running ssh-agent without keys: a function that gives it one."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        wait_until(path.exists, "the agent listens")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield lambda key: subprocess.run(["ssh-add", "-q", str(key)], check=True) and None
        process.terminate()


def test_a_node_is_logged_in_on_by_the_agents_key_once_the_agent_has_it(
    place: Place, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    right = str(place.run.inventory.node("node1").ssh.key_file)
    spec = place.trusted("node1", key_file=None, agent=True)
    with connected(spec) as ssh, pytest.raises(InputError, match="has no keys"):
        ssh.run(["true"])
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / "other")], check=True)
    agent(tmp_path / "other")
    with connected(spec) as ssh, pytest.raises(UnreachableError, match="refuses the only key of the ssh-agent"):
        ssh.run(["true"])
    agent(Path(right))
    with connected(spec) as ssh:
        assert ssh.run(["id", "-un"]).stdout == "docker\n"


@pytest.mark.parametrize("port", [BY_PASSWORD, BY_QUESTION])
def test_a_node_is_logged_in_on_by_password(place: Place, port: int) -> None:
    access = {"user": "worker", "key_file": None, "port": port}
    with connected(place.trusted("node1", **access, password=SECRET)) as ssh:
        assert ssh.run(["id", "-un"]).stdout == "worker\n"
    refused = "refuses the password in the variable LAB_WRONG"
    wrong = connected(place.node("node1", **access, password={"env": "LAB_WRONG"}))
    with wrong as ssh, pytest.raises(UnreachableError, match=refused) as caught:
        ssh.run(["true"])
    assert WRONG not in str(caught.value)


def test_a_node_is_reached_through_two_others_at_its_address_in_the_cluster(place: Place, cluster: Cluster) -> None:
    address, between = (
        read_cluster_address(cluster.node(name), cluster.inventory.network).address for name in ("node2", "node3")
    )
    jump = [place.login("node1"), place.login("node3", host=between)]
    place.trusted("node1")
    place.trusted("node3", host=between, jump=jump[:1])
    spec = place.node("node2", host=address, jump=jump)
    with connected(spec) as ssh, pytest.raises(HostKeyError, match=f"node2: host key of {address}:22 refused"):
        ssh.run(["true"])
    ask_for_key(machine_of_node(spec), 5).record()
    with connected(spec) as ssh:
        assert ssh.run(["hostname"]).stdout == "node2\n"
        # tests/benchmarks/ssh_command.py measures what a command costs on such a way
        hop = ssh.transport()
        while isinstance(hop.sock, paramiko.Channel):
            hop = hop.sock.get_transport()
        assert hop.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(CommandError) as caught:
            ssh.run(["sh", "-c", "hostname; exit 3"])
    pasted = subprocess.run(["sh", "-c", caught.value.paste], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (pasted.returncode, pasted.stdout) == (3, "node2\n"), pasted.stderr
    node = Node(spec, Timeouts())
    node.engine.ping()
    node.close()


def test_a_node_that_is_off_and_a_jump_host_that_forwards_nothing_are_told_apart(place: Place, run: Run) -> None:
    place.trusted("node1")
    off = str(run.inventory.network.prefix[99])
    nowhere = connected(place.node("node2", host=off, jump=[place.login("node1")]))
    with nowhere as ssh, pytest.raises(UnreachableError, match=f"docker@{off}:22 through .* does not reach it"):
        ssh.run(["true"])
    place.trusted("node1", port=BY_PASSWORD)
    closed = connected(place.node("node2", jump=[place.login("node1", port=BY_PASSWORD)]))
    with closed as ssh, pytest.raises(UnreachableError, match="refuses to forward the connection") as caught:
        ssh.run(["true"])
    assert "AllowTcpForwarding yes" in caught.value.remedy


def test_a_node_that_goes_silent_behind_a_jump_host_is_noticed(
    place: Place, testbed: Testbed, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.setattr(login, "KEEPALIVE_SECONDS", 0.3)
    monkeypatch.setattr(login, "PATIENCE_SECONDS", 3.0)
    address = read_cluster_address(cluster.node("node3"), cluster.inventory.network).address
    place.trusted("node1")
    with connected(place.trusted("node3", host=address, jump=[place.login("node1")])) as ssh:
        ssh.run(["sleep", "1.5"])  # a machine that answers is left alone
        with ThreadPoolExecutor() as pool:
            command = pool.submit(ssh.run, ["sh", "-c", "touch /tmp/long; sleep 600"], timeout=600)
            wait_until(lambda: ssh.run(["rm", "/tmp/long"], check=False).exit_status == 0, "the command begins")
            testbed.cut("node3")
            try:
                with pytest.raises(UnreachableError):
                    command.result(PATIENCE_SECONDS)
            finally:
                testbed.restore("node3")
        assert ssh.run(["hostname"]).stdout == "node3\n"


def test_sudo_with_a_password_runs_commands_that_get_their_own_input(place: Place, run: Run) -> None:
    spec = place.trusted("node1", user="worker", sudo_password=SECRET)
    node = Node(spec, Timeouts(connect=30, command=60))
    data = b"first\nsecond\n" * 20000
    assert node.ssh.run(["cat"], sudo=True, stdin=data).stdout.encode() == data
    assert node.ssh.script('id -u; echo "$1"; cat', "a  b", sudo=True).stdout == "0\na  b\n"
    channel = node.ssh.stream(["sh", "-c", "id -u; cat"], sudo=True)
    channel.sendall(b"streamed")
    channel.shutdown_write()
    assert channel.makefile("r").read() == b"0\nstreamed"
    channel.close()
    shadow = node.ssh.read_file("/etc/shadow", sudo=True)
    assert shadow is not None
    assert shadow.startswith(b"root:")
    assert read_cluster_address(node, run.inventory.network).dhcp_client
    with pytest.raises(CommandError) as caught:
        node.ssh.run(["grep", "x"], sudo=True, stdin=b"it's\n")
    assert PASSWORD not in f"{caught.value}{caught.value.paste}"
    pasted = subprocess.run(["sh", "-c", caught.value.paste], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (pasted.returncode, pasted.stdout) == (1, ""), pasted.stderr
    node.engine.ping()  # worker may not use its socket
    node.close()
    with connected(place.trusted("node1")) as free:  # sudoers asks docker for none, whatever the inventory says
        assert free.run(["cat"], sudo=True, stdin=data).stdout.encode() == data
    with connected(place.node("node1", sudo_password=SECRET)) as free:
        assert free.run(["cat"], sudo=True, stdin=data).stdout.encode() == data


def test_a_login_shell_that_prints_and_sets_a_proxy_a_language_and_another_engine_changes_nothing(
    place: Place, run: Run
) -> None:
    node = Node(place.trusted("node1", user="noisy", port=BY_QUESTION), Timeouts(connect=30, command=60))
    raw = subprocess.run(
        ["sh", "-c", f"ssh {node.ssh.destination} env"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    ).stdout
    assert raw.startswith("hi\n")
    assert all(f"{name}=http://10.255.255.1" in raw for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY")), raw
    content = bytes(range(256)) * 50
    node.ssh.write_file("/var/lib/boot2docker/noisy", content, mode=0o600)
    assert node.ssh.read_file("/var/lib/boot2docker/noisy", sudo=True) == content
    node.ssh.run(["rm", "/var/lib/boot2docker/noisy"], sudo=True)
    for sudo in (False, True):
        seen = {line.partition("=")[0]: line for line in node.ssh.run(["env"], sudo=sudo).stdout.splitlines()}
        assert seen["LC_ALL"] == "LC_ALL=C"
        assert not [name for name in seen if "proxy" in name.lower() or name == "DOCKER_HOST"]
    assert node.ssh.run(["ls", "/nowhere"], check=False).stderr.strip().endswith("No such file or directory")
    assert node.engine.version() == Node(run.inventory.node("node1"), Timeouts()).engine.version()
    assert read_cluster_address(node, run.inventory.network).dhcp_client
    node.close()


def test_a_user_who_may_not_log_in_is_named_with_what_the_node_says(place: Place) -> None:
    with connected(place.trusted("node1", user="closed")) as ssh:
        for call in (lambda: ssh.run(["true"]), lambda: ssh.read_file("/etc/passwd"), lambda: ssh.stream(["true"])):
            with pytest.raises(NodeError, match=r"login shell of closed ended .*account is currently not available"):
                call()


def test_what_sudo_refuses_is_told_in_a_sentence(place: Place) -> None:
    place.trusted("node1")
    sentences = {
        ("worker", "LAB_WRONG"): "sudo refuses the password in the variable LAB_WRONG for worker",
        ("worker", ""): "sudo asks worker for a password, but the inventory has none",
        ("guest", "LAB_PASSWORD"): "guest has no sudo right on the node",
        ("bound", ""): "sudo requires a terminal there (requiretty), but commands here have none",
    }
    for (user, variable), sentence in sentences.items():
        password = {"env": variable} if variable else None
        with connected(place.node("node1", user=user, sudo_password=password)) as ssh:
            with pytest.raises(SudoError) as caught:
                ssh.run(["cat"], sudo=True, stdin=b"one\ntwo\n")
            assert caught.value.message == sentence
            assert caught.value.remedy
    guest = Node(place.node("node1", user="guest", sudo_password=SECRET), Timeouts(connect=30, command=60))
    with pytest.raises(UnreachableError, match="permission denied") as refused:
        guest.engine.ping()
    assert refused.value.remedy.startswith("let guest use it: usermod -aG docker guest")
    guest.close()
