"""The blocks are run for real, by every POSIX shell that is here, in a sandbox: stub commands, a folder as /proc."""

import re
import shutil
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.facts.control_planes.etcd.access import StoreAccess
from runbook_lib.steps.platforms.boot2docker import address_lines, etcd_autostart, start_lines, static_address
from tests.waiting import PATIENCE_SECONDS

SHELLS = [[path] for name in ("dash", "sh") if (path := shutil.which(name))]
if busybox := shutil.which("busybox"):
    SHELLS.append([busybox, "sh"])

ARTICLE_BOOTSYNC = """
if [ -f /var/run/udhcpc.eth1.pid ] ; then
       \tkill 123
fi
ifconfig eth1 192.168.99.104 netmask 255.255.255.0 broadcast 192.168.99.255 up"""
ARTICLE_BOOTLOCAL = """
sleep 5
/usr/local/bin/docker start etcd1 etcd2 etcd3"""

# A kill of the sandbox: notes its argument and takes the process off the sandbox's /proc.
KILL = 'kill() { echo "kill $*" >>"$SANDBOX/done"; rm -rf "$SANDBOX/proc/$1"; }\n'


class Sandbox:
    def __init__(self, folder: Path, shell: list[str]) -> None:
        self.folder, self.shell = folder, shell
        for name in ("proc", "bin", "run"):
            (folder / name).mkdir()
        for tool in ("tr", "grep", "cat", "sed", "date", "mkdir", "sleep", "rm"):
            found = shutil.which(tool)
            assert found is not None
            (folder / "bin" / tool).symlink_to(found)

    def process(self, pid: int, *argv: str) -> None:
        (self.folder / "proc" / str(pid)).mkdir()
        (self.folder / "proc" / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))

    def stub(self, name: str, script: str = "") -> None:
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"$SANDBOX/done"\n{script}\n')
        path.chmod(0o755)

    def run(self, block: str) -> list[str]:
        for place in ("/proc/", "/var/run/", "/var/lib/boot2docker/log/"):
            target = {"/proc/": "proc", "/var/run/": "run"}.get(place, "log")
            block = block.replace(place, f"{self.folder}/{target}/")
        block, paths = re.subn(r"PATH=/usr/local\S+", f"PATH={self.folder}/bin", block)
        assert paths == 1, "the block would reach this machine's own commands"
        done = subprocess.run(
            self.shell,
            input=KILL + block,
            text=True,
            capture_output=True,
            env={"SANDBOX": str(self.folder)},
            timeout=PATIENCE_SECONDS,
        )
        assert done.stderr == ""
        log = self.folder / "done"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def log(self) -> str:
        return (self.folder / "log" / "overlay-runbook.log").read_text()


@pytest.fixture(params=SHELLS, ids=lambda shell: " ".join(Path(word).name for word in shell))
def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> Sandbox:
    return Sandbox(tmp_path, request.param)


BLOCK = static_address("eth1", "192.168.99.25", IPv4Network("192.168.99.0/24"))


def test_the_interfaces_own_dhcp_clients_are_stopped_and_nobody_else(sandbox: Sandbox) -> None:
    sandbox.process(45, "udhcpc", "-b", "-i", "eth1", "-p", "/var/run/udhcpc.eth1.pid")
    sandbox.process(46, "busybox", "udhcpc", "-i", "eth1")
    sandbox.process(47, "/sbin/udhcpc", "--interface=eth1")
    sandbox.process(50, "udhcpc", "-b", "-i", "eth0")
    sandbox.process(51, "udhcpc", "-i", "eth10")
    sandbox.process(52, "sh", "-c", "udhcpc -i eth1")
    sandbox.process(53, "vi", "udhcpc", "*")
    (sandbox.folder / "run" / "udhcpc.eth1.pid").write_text("45\n")
    sandbox.stub("ip")
    done = sandbox.run(BLOCK)
    assert sorted(line for line in done if line.startswith("kill")) == ["kill 45", "kill 46", "kill 47"]


def test_a_stale_pid_file_kills_no_stranger(sandbox: Sandbox) -> None:
    sandbox.process(45, "sshd", "-D")
    (sandbox.folder / "run" / "udhcpc.eth1.pid").write_text("45\n")
    sandbox.stub("ip")
    assert not [line for line in sandbox.run(BLOCK) if line.startswith("kill")]


def test_a_pid_of_a_process_that_is_gone_is_passed_over_silently(sandbox: Sandbox) -> None:
    (sandbox.folder / "run" / "udhcpc.eth1.pid").write_text("45\n")
    sandbox.stub("ip")
    assert not [line for line in sandbox.run(BLOCK) if line.startswith("kill")]


def test_the_address_is_replaced_and_not_added(sandbox: Sandbox) -> None:
    sandbox.stub("ip")
    assert sandbox.run(BLOCK) == [
        "ip route show dev eth1",
        "ip -f inet addr flush dev eth1",
        "ip addr add 192.168.99.25/24 broadcast 192.168.99.255 dev eth1",
        "ip link set eth1 up",
    ]
    assert sandbox.log.endswith(" static-address: eth1 has 192.168.99.25\n")


def test_a_default_route_over_the_interface_outlives_the_change(sandbox: Sandbox) -> None:
    sandbox.stub("ip", 'if [ "$1" = route ] && [ "$2" = show ]; then echo "default via 192.168.99.1 metric 3"; fi')
    assert sandbox.run(BLOCK)[-1] == "ip route add default via 192.168.99.1 dev eth1"


def test_ifconfig_does_where_there_is_no_ip(sandbox: Sandbox) -> None:
    sandbox.stub("ifconfig")
    assert sandbox.run(BLOCK) == [
        "ifconfig eth1 0.0.0.0",
        "ifconfig eth1 192.168.99.25 netmask 255.255.255.0 broadcast 192.168.99.255 up",
    ]


def test_an_address_that_the_kernel_refuses_is_logged(sandbox: Sandbox) -> None:
    sandbox.stub("ip", 'if [ "$2" = add ]; then exit 2; fi')
    sandbox.run(BLOCK)
    assert sandbox.log.endswith("eth1 did not take 192.168.99.25\n")


def test_members_are_started_once_the_engine_answers(sandbox: Sandbox) -> None:
    sandbox.stub("docker", 'if [ "$1" = version ]; then [ "$(grep -c version "$SANDBOX/done")" -ge 3 ]; fi')
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"]))
    assert done == ["docker version"] * 3 + ["docker start etcd1"]
    assert sandbox.log.endswith(" etcd-autostart: started etcd1\n")


def test_a_member_that_does_not_start_is_logged_and_the_next_one_is_started(sandbox: Sandbox) -> None:
    sandbox.stub("docker", 'if [ "$2" = etcd1 ]; then echo "no such container" >&2; exit 1; fi')
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    assert sandbox.run(etcd_autostart(["etcd1", "etcd2"]))[-1] == "docker start etcd2"
    assert "could not start etcd1: no such container" in sandbox.log
    assert "started etcd2" in sandbox.log


def test_members_wait_for_the_engines_beside_the_other_members(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("busybox", '[ "$(grep -c "busybox nc" "$SANDBOX/done")" -ge 3 ]')
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376", "10.1.1.3:2376"]))
    asked = ["busybox nc -w 1 10.1.1.2 2376"] * 3 + ["busybox nc -w 1 10.1.1.3 2376"]
    assert done == ["docker version", *asked, "docker start etcd1"]


def test_a_members_port_refuses_other_nodes_until_there_is_a_leader(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("iptables")
    answer = 'if [ "$(grep -c wget "$SANDBOX/done")" -ge 3 ]; then echo \'{"health":"true"}\'; else exit 1; fi'
    sandbox.stub("busybox", f'if [ "$1" = wget ]; then {answer}; fi')
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379"))
    rule = "INPUT ! -i lo -p tcp --dport 2379 -j REJECT --reject-with tcp-reset"
    asked = ["busybox wget -q -O - http://10.1.1.1:2379/health"] * 3
    assert done[2:] == [f"iptables -w -I {rule}", "docker start etcd1", *asked, f"iptables -w -D {rule}"]


TLS = StoreAccess("/tls/ca.pem", "/tls/my cert.pem", "/tls/key.pem")


def test_a_member_over_tls_is_asked_over_tls(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("iptables")
    sandbox.stub("busybox")
    sandbox.stub("curl", 'echo \'{"health":"true"}\'')
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379", TLS))
    files = "--cacert /tls/ca.pem --cert /tls/my cert.pem --key /tls/key.pem"
    assert done[-2] == f"curl -q -sf -m 3 --noproxy * {files} https://10.1.1.1:2379/health"
    assert done[-1].startswith("iptables -w -D INPUT")


def test_a_node_that_cannot_ask_over_tls_leaves_the_port_open(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("iptables")
    sandbox.stub("busybox")
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379", TLS))
    assert done[-1] == "docker start etcd1"
    assert not any(line.startswith("iptables") for line in done)


def test_a_port_is_opened_again_even_if_no_leader_is_found(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("iptables")
    later = f'echo "$(grep -c "busybox wget" "$SANDBOX/done")0.0 1" >"{sandbox.folder}/proc/uptime"; exit 1'
    sandbox.stub("busybox", f'if [ "$1" = wget ]; then {later}; fi')
    (sandbox.folder / "proc" / "uptime").write_text("0.5 1\n")
    block = etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379", peer_patience_seconds=20)
    assert sandbox.run(block)[-1].startswith("iptables -w -D INPUT")
    assert "no leader within 20 s: 10.1.1.1:2379 is opened without one" in sandbox.log


def test_without_iptables_members_start_all_the_same(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub("busybox")
    (sandbox.folder / "proc" / "uptime").write_text("12.34 5.6\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379"))
    assert done[-1] == "docker start etcd1"


def test_a_member_whose_peers_stay_away_starts_all_the_same(sandbox: Sandbox) -> None:
    sandbox.stub("docker")
    sandbox.stub(
        "busybox", f'echo "$(grep -c "busybox nc" "$SANDBOX/done")0.0 1" >"{sandbox.folder}/proc/uptime"; exit 1'
    )
    (sandbox.folder / "proc" / "uptime").write_text("0.5 1\n")
    done = sandbox.run(etcd_autostart(["etcd1"], ["10.1.1.2:2376"], peer_patience_seconds=20))
    assert done == ["docker version", *["busybox nc -w 1 10.1.1.2 2376"] * 2, "docker start etcd1"]
    assert "no engine at 10.1.1.2:2376 within 20 s: starting without it" in sandbox.log


def test_the_wait_for_the_engine_is_bounded(sandbox: Sandbox) -> None:
    sandbox.stub("docker", f'echo "$(grep -c version "$SANDBOX/done")00.0 1" >"{sandbox.folder}/proc/uptime"; exit 1')
    (sandbox.folder / "proc" / "uptime").write_text("0.5 1\n")
    done = sandbox.run(etcd_autostart(["etcd1"], patience_seconds=150))
    assert done == ["docker version"] * 2
    assert "did not answer within 150 s: nothing was started" in sandbox.log


@pytest.mark.parametrize("block", [BLOCK, etcd_autostart(["etcd1"])])
def test_a_block_leaks_nothing_into_the_rest_of_the_file(sandbox: Sandbox, block: str) -> None:
    sandbox.stub("ip")
    sandbox.stub("docker", "exit 1")
    (sandbox.folder / "proc" / "uptime").write_text("999.5 1\n")
    block = block.replace("patience=120", "patience=0")
    sandbox.run(block + '[ -z "$address$members$log" ] && ! command -v say && echo clean >>"$SANDBOX/done"\n')
    assert "clean" in (sandbox.folder / "done").read_text()


@pytest.mark.parametrize(
    "block",
    [
        BLOCK,
        etcd_autostart(["etcd1", "etcd2"], ["10.1.1.2:2376"], "10.1.1.1:2379"),
        etcd_autostart(["etcd1"], ["10.1.1.2:2376"], "10.1.1.1:2379", TLS),
    ],
)
def test_the_blocks_please_shellcheck(block: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "-"], input="#!/bin/sh\n" + block, text=True, capture_output=True
    )
    assert done.stdout == ""


def test_the_articles_lines_are_found_outside_our_blocks() -> None:
    assert address_lines(ARTICLE_BOOTSYNC, "eth1") == (
        "line 2: if [ -f /var/run/udhcpc.eth1.pid ] ; then",
        "line 5: ifconfig eth1 192.168.99.104 netmask 255.255.255.0 broadcast 192.168.99.255 up",
    )
    assert start_lines(ARTICLE_BOOTLOCAL, ["etcd1"]) == ("line 3: /usr/local/bin/docker start etcd1 etcd2 etcd3",)


@pytest.mark.parametrize("line", ["ip addr show", "ifconfig eth10 up", "# ifconfig eth1 10.0.0.1", "", "echo eth1"])
def test_harmless_lines_are_left_alone(line: str) -> None:
    assert address_lines(line, "eth1") == ()


def test_only_a_members_own_start_is_reported() -> None:
    assert start_lines("docker start etcd10\ndocker start web\n# docker start etcd1", ["etcd1"]) == ()
