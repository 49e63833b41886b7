"""The picture of a packet's way: the cluster's own names and numbers, and the same in words."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from runbook_lib.charts.packet_path import End, PacketPath, Part, packet_path, path_text
from tests.unit.charts.test_cluster import SVG, words

NAMES = ("outer Ethernet", "outer IPv4", "UDP", "VXLAN", "inner Ethernet", "inner IPv4", "ICMP", "data")
PARTS = [
    Part(name, size, 1 <= place <= 4)
    for place, (name, size) in enumerate(zip(NAMES, (14, 20, 8, 8, 14, 20, 8, 56), strict=True))
]
ONE = End(
    node="node3",
    node_interface="eth1",
    node_address="192.168.99.27",
    node_mac="02:00:00:00:01:03",
    node_mtu=1500,
    namespace="1-13e8806640",
    bridge="br0",
    tunnel="vxlan0",
    veth="veth0",
    container="alpine1",
    interface="eth0",
    address="10.0.0.2",
    mac="02:42:0a:00:00:02",
    mtu=1450,
    leads_to="192.168.99.28",
)
OTHER = replace(ONE, node="node4", node_address="192.168.99.28", container="alpine2", address="10.0.0.3")
PATH = PacketPath("ovr0", 256, 4789, "192.168.99.0/24", ONE, OTHER, PARTS)


def test_it_names_every_station_and_the_numbers_of_this_cluster() -> None:
    shown = " ".join(words(packet_path(PATH)))
    for expected in ("node3", "node4", "container alpine1", "hidden namespace 1-13e8806640", "VNI 256", "MTU 1450"):
        assert expected in shown
    assert "is at 192.168.99.28" in shown
    assert "20 + 8 + 8 + 14 = 50 bytes" in shown
    assert "1500 − 50 = 1450" in shown


def test_the_order_can_be_followed_without_colour() -> None:
    shown = [word for word in words(packet_path(PATH)) if word in "①②③④⑤⑥⑦⑧⑨"]
    assert sorted(shown) == list("①②③④⑤⑥⑦⑧⑨")


def test_it_says_the_same_in_words() -> None:
    root = ElementTree.fromstring(packet_path(PATH))
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}desc") == path_text(PATH)
    assert "The overlay adds 50 bytes." in path_text(PATH)


def test_it_is_drawn_dark_on_a_dark_page() -> None:
    assert "prefers-color-scheme: dark" in packet_path(PATH)


def test_what_is_not_known_is_not_invented() -> None:
    blank = replace(PATH, vni=None, source=replace(ONE, veth="", leads_to="", node_mtu=None), parts=())
    assert "has to ask for" in path_text(blank)
    assert "bytes" not in " ".join(words(packet_path(blank)))
