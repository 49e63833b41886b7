"""What the probers print, and what ping prints, read from output captured on a node."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.model.results import By, Expectation, Probe, Verdict
from runbook_lib.verify.ping_matrix import row
from runbook_lib.verify.probe import FullSize, Pair
from runbook_lib.verify.prober import Reading, is_address, parse_ping, parse_readings, program, shell_prober

Captured = Callable[[str], str]


def pair(target: str, by: By, address: str) -> Pair:
    return Pair("v-01", "node1", target, "node4", by, address)


@pytest.mark.parametrize(
    ("file", "times"),
    [
        ("ping_iputils.txt", (0.301, 0.102, 0.115)),
        ("ping_busybox.txt", (0.111, 0.113, 0.145)),
        ("ping_iputils_lost.txt", (None, None, None)),
        ("ping_busybox_lost.txt", (None, None, None)),
    ],
)
def test_both_pings_give_the_time_of_each_probe(captured: Captured, file: str, times: tuple[float | None, ...]) -> None:
    assert parse_ping(captured(file), 3) == (times, "")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("ping_no_name.txt", "ping: v-nosuch: Temporary failure in name resolution"),
        ("ping_no_route.txt", "ping: connect: Network is unreachable"),
    ],
)
def test_a_ping_that_could_not_send_gives_its_own_words(captured: Captured, file: str, words: str) -> None:
    assert parse_ping(captured(file), 3) == ((), words)


def test_ping_without_any_output_is_told() -> None:
    assert parse_ping("", 3) == ((), "ping printed nothing")


@pytest.mark.parametrize("file", ["matrix_perl.txt", "matrix_ping.txt", "matrix_exec.txt"])
def test_every_prober_gives_names_addresses_and_times(captured: Captured, file: str) -> None:
    reading = parse_readings(captured(file), 3)["v-01"]
    assert reading.complete
    assert reading.answers["v-25"] == "10.77.0.5"
    assert reading.answers["v-nosuch"] == "timeout"
    for by in ("name", "address"):
        assert len([time for time in reading.echoes["v-25", by].times if time is not None]) == 3
    assert reading.echoes["v-nosuch", "address"].times == (None, None, None)
    assert ("v-nosuch", "name") not in reading.echoes


@pytest.mark.parametrize("file", ["matrix_perl.txt", "matrix_ping.txt"])
def test_a_namespace_that_is_gone_leaves_its_reason(captured: Captured, file: str) -> None:
    reading = parse_readings(captured(file), 3)["v-gone"]
    assert not reading.complete
    assert "cannot open /proc/999999/ns/net" in reading.error
    found = row(pair("v-02", "name", "10.77.0.8"), reading, "ovr0")
    assert found.verdict is Verdict.FAIL
    assert found.detail.startswith("not probed: exit status 1")


def test_a_prober_that_was_cut_off_is_not_complete(captured: Captured) -> None:
    text = captured("matrix_perl.txt").replace("end\tv-01\n", "")
    assert not parse_readings(text, 3)["v-01"].complete


def test_every_prober_tells_the_largest_packet_and_what_became_of_a_connection(captured: Captured) -> None:
    reading = parse_readings(captured("carry_perl.txt"), 3)["alpine1"]
    assert reading.listens
    assert reading.sizes == {"alpine2": FullSize(1450, 1450, 1, 1)}
    assert reading.connections == {"alpine2": "passed"}
    lost = parse_readings(captured("carry_perl_lost.txt"), 3)["alpine1"]
    assert lost.sizes == {"alpine2": FullSize(1450, 100, 2, 0)}
    assert lost.connections == {"alpine2": "connected, but 0 of 4350 bytes came back in 5 s"}


@pytest.mark.parametrize("file", ["carry_ping.txt", "carry_exec.txt"])
def test_a_prober_of_shell_tells_the_same(captured: Captured, file: str) -> None:
    reading = parse_readings(captured(file), 3)["alpine1"]
    assert reading.listens
    assert reading.sizes == {"alpine2": FullSize(1450, 1450, 1, 1)}
    assert reading.connections == {"alpine2": "passed"}


def test_what_a_ping_cannot_prove_is_never_silent(captured: Captured) -> None:
    reading = parse_readings(captured("carry_exec_cut.txt"), 3)["alpine1"]
    size = reading.sizes["alpine2"]
    assert (size.wanted, size.largest) == (1450, 1450)
    assert size.doubt == "what passed may have been cut into fragments: this ping cannot forbid it"


def test_a_size_that_could_not_be_tried_gives_its_reason() -> None:
    reading = parse_readings("size\ta\tb\tfull size not tried: no ip\nend\ta\n", 3)["a"]
    assert reading.sizes == {"b": FullSize(doubt="full size not tried: no ip")}


# knows the options of iputils; every echo request is answered but those that $lost matches (as "number size")
_PING = """\
#!/bin/sh
size=56
while [ $# -gt 0 ]; do
    case $1 in
        -M) [ "$2" = "$knows" ] || exit 2; shift ;;
        -s) size=$2; shift ;;
        -*) shift ;;
    esac
    shift
done
[ "$size" = 56 ] || echo . >>"$counter"
case "$([ "$size" = 56 ] || wc -l <"$counter") $size" in $lost) echo "$words"; exit 1 ;; esac
echo "64 bytes from 10.0.0.3: icmp_seq=1 ttl=64 time=0.301 ms"
echo "1 packets transmitted, 1 received, 0% packet loss"
"""
_IP = """\
#!/bin/sh
case $1 in
    route) echo "10.0.0.3 dev eth0 src 10.0.0.2" ;;
    *) echo "2: eth0: <UP> mtu 1450 qdisc noqueue" ;;
esac
"""
# what netcat-openbsd says; it would run no program for a caller
_NETCAT = """\
#!/bin/sh
echo 'nc: invalid option -- -' >&2
echo 'usage: nc [-46CDdFhklNnrStUuvZz] [-I length] [-i interval] [-M ttl]' >&2
exit 1
"""
_NO_BUSYBOX = "#!/bin/sh\nexit 127\n"


def reading_of(tmp_path: Path, **behaviour: str) -> Reading:
    for name, text in (("ping", _PING), ("ip", _IP), ("nc", _NETCAT), ("busybox", _NO_BUSYBOX)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "counter").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {"PATH": path, "counter": str(tmp_path / "counter"), "lost": "", "words": ""} | behaviour
    argv = ["sh", "-c", shell_prober(), "sh", "a", "1", "1", "address", "20000", "b=10.0.0.3"]
    text = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    return parse_readings(text, 1)["a"]


def sizes_of(tmp_path: Path, **behaviour: str) -> FullSize:
    return reading_of(tmp_path, **behaviour).sizes["b"]


def test_without_a_tool_that_listens_no_connection_is_tried_and_it_says_why(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, knows="probe")
    assert not reading.listens
    assert reading.connections == {"b": "not tried: it needs perl and root over SSH, or an nc of busybox"}


def test_a_ping_that_can_forbids_fragments_whatever_the_kernel_has_learned(tmp_path: Path) -> None:
    assert sizes_of(tmp_path, knows="probe") == FullSize(1450, 1450, 1, 1)


def test_what_the_kernel_refused_to_send_was_not_lost_on_the_way(tmp_path: Path) -> None:
    learned = "ping: local error: message too long, mtu=1350"
    size = sizes_of(tmp_path, knows="do", lost="* 1422", words=learned)
    assert size.wanted == 0
    assert size.doubt.startswith("full size not tried: the kernel sends none: it has learned of a smaller way")


def test_a_ping_sends_ten_packets_of_full_size_where_the_first_is_lost_and_the_second_is_not(tmp_path: Path) -> None:
    assert sizes_of(tmp_path, knows="probe", lost="1 1422") == FullSize(1450, 1450, 10, 9)
    assert sizes_of(tmp_path, knows="probe", lost="* 1[34]*") == FullSize(1450, 1300, 2, 0)


# answers in the kernel's place, in a network namespace of its own, but not the packets of full size that are to be lost
_PEER = """\
import pathlib, socket, subprocess, sys
program, lost = sys.argv[1], set(sys.argv[2].split(","))
for command in ("link set lo mtu 1450 up", "address add 10.9.0.3/32 dev lo", "route add 10.9.0.0/24 dev lo"):
    subprocess.run(["ip", *command.split()], check=True)
pathlib.Path("/proc/sys/net/ipv4/icmp_echo_ignore_all").write_text("1")
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(0.1)
argv = ["perl", "-e", program, "a", "3", "2", "address", "20000", "b=10.9.0.3"]
prober, large = subprocess.Popen(argv), 0
while prober.poll() is None:
    try:
        packet = raw.recv(65536)[20:]
    except TimeoutError:
        continue
    if packet[0] != 8:
        continue
    large += len(packet) > 1400
    if len(packet) > 1400 and lost & {str(large), "all"}:
        continue
    total = int.from_bytes(packet[2:4], "big") + 0x800
    raw.sendto(b"\\0\\0" + (total % 0xFFFF).to_bytes(2, "big") + packet[4:], ("10.9.0.3", 0))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the prober opens a raw socket")
@pytest.mark.parametrize(("lost", "sent", "answered"), [("none", 1, 1), ("1,4,5,10", 10, 6), ("1,2", 2, 0)])
def test_the_prober_too_sends_ten_packets_of_full_size_where_a_repeat_passes(
    lost: str, sent: int, answered: int
) -> None:
    argv = ["unshare", "--net", sys.executable, "-c", _PEER, program("prober.pl"), lost]
    reading = parse_readings(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout, 3)["a"]
    size = reading.sizes["b"]
    assert (size.wanted, size.sent, size.answered) == (1450, sent, answered)
    assert reading.connections == {"b": "passed"}
    assert None not in reading.echoes["b", "address"].times


@pytest.mark.skipif(os.geteuid() != 0, reason="the prober opens a raw socket")
def test_a_peer_that_begins_late_is_called_until_nobody_can_be_waited_for_any_longer() -> None:
    timeout, patience = 0.2, 4.2  # as in prober.pl, which stays twice that long
    for _ in range(5):
        with socket.socket() as peer:
            peer.bind(("127.0.0.1", 0))  # and so the prober cannot listen there itself
            peer.settimeout(30)
            port = str(peer.getsockname()[1])
            argv = ["perl", "-e", program("prober.pl"), "a", "1", str(timeout), "address", port, "b=127.0.0.1"]
            begun = time.monotonic()
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as prober:
                time.sleep(patience + 0.8)
                peer.listen()
                in_time = time.monotonic() - begun < 2 * patience - 0.5
                try:
                    connection = peer.accept()[0]
                except TimeoutError:
                    connection = None
                if connection:
                    length = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
                    assert len(connection.recv(length, socket.MSG_WAITALL)) == length
                    connection.sendall(bytes(length))
                    connection.close()
                reading: Reading = parse_readings(prober.communicate()[0], 1)["a"]
        if in_time:
            assert reading.connections == {"b": "passed"}
            return
    pytest.fail("this machine never let the test listen in time")


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        ("no rule", "the rules (DNAT) are gone", "docker restart v-01"),
        ("closed", "nothing listens at 127.0.0.11", ""),
        ("refused", "refuses to answer", ""),
    ],
)
def test_a_resolver_without_its_rules_is_told_from_one_that_nobody_serves(answer: str, words: str, remedy: str) -> None:
    reading = parse_readings(f"dns\tv-01\tv-25\t{answer}\nend\tv-01\n", 3)["v-01"]
    found = row(pair("v-25", "name", "10.77.0.5"), reading, "ovr0")
    assert found.verdict is Verdict.FAIL
    assert words in found.detail
    assert found.remedy.startswith(remedy)
    assert found.remedy
    assert found.remedy.startswith("docker restart") is bool(remedy)


def test_rows_come_from_a_reading(captured: Captured) -> None:
    reading = parse_readings(captured("matrix_ping.txt"), 3)["v-01"]
    assert row(pair("v-25", "address", "10.77.0.5"), reading, "ovr0").verdict is Verdict.PASS
    by_name = row(pair("v-25", "name", "10.77.0.5"), reading, "ovr0")
    assert by_name.detail == "the same echo requests as by address"
    assert row(pair("v-nosuch", "name", "10.77.0.250"), reading, "ovr0").detail.startswith("no resolution")
    nowhere = row(pair("v-noaddress", "address", ""), reading, "ovr0")
    assert nowhere.detail == "no address: v-noaddress is not on ovr0"


@pytest.mark.parametrize(("answer", "expected"), [("10.0.0.2", True), ("nxdomain", False), ("", False)])
def test_an_address_is_told_from_a_reason(answer: str, expected: bool) -> None:
    assert is_address(answer) is expected


def nameless(answer: str, *lines: str, expected: Expectation = "reachable") -> Probe:
    """The row by name where the name is not resolved, and the prober printed these lines too."""
    text = "\n".join([f"dns\tv-01\tv-25\t{answer}", *lines, "end\tv-01", ""])
    reading = parse_readings(text, 3)["v-01"]
    return row(replace(pair("v-25", "name", "10.77.0.5"), expected=expected), reading, "ovr0")


OWN_NAME = "dns\tv-01\tv-01\t10.77.0.4"
ADDRESS_ANSWERS = "echo\tv-01\tv-25\taddress\t10.77.0.5\t0\t0.066"
ADDRESS_SILENT = "echo\tv-01\tv-25\taddress\t10.77.0.5\t0\t-"


@pytest.mark.parametrize("answer", ["timeout", "nxdomain", "servfail"])
def test_an_engine_without_the_service_record_of_a_peer_that_answers_is_named_with_its_remedy(answer: str) -> None:
    found = nameless(answer, OWN_NAME, ADDRESS_ANSWERS)
    assert found.verdict is Verdict.FAIL
    assert found.detail.endswith("; the engine of node1 has no service record of v-25, whose address answers")
    assert found.detail.startswith("no resolution: ")
    assert found.remedy == "restart dockerd on node1 (see its journal or docker.log)"


def test_a_peer_whose_address_was_not_asked_is_not_said_to_answer() -> None:
    found = nameless("timeout", OWN_NAME)
    assert found.detail.endswith("; the engine of node1 has no service record of v-25, while it answers for v-01")
    assert found.remedy.startswith("restart dockerd on node1")


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("timeout", ["dns\tv-01\tv-01\ttimeout", ADDRESS_ANSWERS]),
        ("timeout", [ADDRESS_ANSWERS]),
        ("timeout", ["dns\tv-01\tv-01\ttimeout", ADDRESS_SILENT]),
        ("nxdomain", [OWN_NAME, ADDRESS_SILENT]),
        ("closed", [OWN_NAME, ADDRESS_ANSWERS]),
        ("refused", [OWN_NAME, ADDRESS_ANSWERS]),
    ],
)
def test_what_does_not_prove_a_lost_service_record_is_not_called_one(answer: str, lines: list[str]) -> None:
    assert "service record" not in nameless(answer, *lines).detail


def test_a_resolver_that_does_not_even_know_its_own_container_is_told_from_one_that_lost_a_record() -> None:
    found = nameless("timeout", "dns\tv-01\tv-01\ttimeout", ADDRESS_ANSWERS)
    assert found.detail == "no resolution: 127.0.0.11 did not answer in time, nor for the name v-01 itself"
    assert found.remedy == "restart dockerd on node1 (see its journal or docker.log)"


def test_a_source_that_is_not_on_the_network_is_no_reason_to_restart_an_engine() -> None:
    assert "restart dockerd" not in nameless("timeout", "dns\tv-01\tv-01\ttimeout", ADDRESS_SILENT).remedy


def test_a_name_that_should_not_resolve_gets_no_cause() -> None:
    found = nameless("nxdomain", OWN_NAME, ADDRESS_SILENT, expected="unreachable")
    assert found.verdict is Verdict.PASS
    assert found.detail == "no resolution: the resolver does not know the name, as expected"


_RESOLVER = """\
import socket, struct, subprocess, sys, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("127.0.0.11", 53))
def serve():
    while True:
        query, peer = dns.recvfrom(512)
        if query[13:14] == b"a":  # for b nobody answers
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 600, 4) + socket.inet_aton("10.9.0.2")
            dns.sendto(query[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + query[12:] + record, peer)
threading.Thread(target=serve, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the prober opens a raw socket")
@pytest.mark.parametrize("prober", [["perl", "-e", program("prober.pl")], ["sh", "-c", shell_prober(), "sh"]])
def test_a_prober_asks_for_its_own_name_too_and_does_not_ping_itself(prober: list[str]) -> None:
    if prober[0] == "sh" and not (shutil.which("busybox") or shutil.which("nslookup")):
        pytest.skip("there is no nslookup")
    command = ["unshare", "--net", sys.executable, "-c", _RESOLVER, *prober, "a", "1", "1", "name", "0", "b=127.0.0.1"]
    reading = parse_readings(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, 1)["a"]
    assert reading.complete
    assert reading.answers == {"a": "10.9.0.2", "b": "timeout"}
    assert reading.echoes == {}
