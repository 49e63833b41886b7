from runbook_lib.facts.host.addresses import Reach
from runbook_lib.facts.host.host import Boot
from runbook_lib.model.parameters import MODES, External, ExternalMode
from runbook_lib.session.questions.external import NOT_HERE, ReachProbes, comparison
from runbook_lib.verify.external import ExternalState, ReachProbe

NODE_MAC, OWN_MAC = "02:00:00:00:01:01", "02:42:c0:a8:63:60"


def looks(ticks: int, *, ipvlan: str = "Unknown device type.") -> ReachProbes:
    """Every way on node1, looked at from node3: ipvlan as the kernel says, the others as they should be."""
    states, seen = [], []
    for mode in MODES:
        trouble = ipvlan if mode == "ipvlan" else ""
        spec = External(mode, "node1", "node3", f"web-{mode}", f"ext-{mode}", "alpine")
        address = "" if trouble else f"192.168.99.{96 + MODES.index(mode)}"
        mac = OWN_MAC if mode == "macvlan" else NODE_MAC
        states.append(ExternalState(spec, None, address, mac, NODE_MAC, Boot("node1", "b0", ticks, 60.0), trouble))
        for where, node in (("another node", "node3"), ("its own node", "node1")):
            answers = mode == "published" or where == "another node"
            reach = Reach(node, address, 2, 2, 0.1, f"web-{mode}" if answers else "", mac if answers else "")
            seen.append(ReachProbe(mode, f"web-{mode}", where, node, reach if address else None))  # type: ignore[arg-type]
    return ReachProbes(tuple(states), tuple(seen))


def column(mode: ExternalMode, before: ReachProbes, after: ReachProbes) -> dict[str, str]:
    table = comparison(before, after)
    return dict(zip(table["question"], table[mode], strict=True))


def test_the_comparison_tells_what_was_measured_and_what_is_known() -> None:
    macvlan = column("macvlan", looks(100), looks(9000))
    assert macvlan["its address is"] == "its own, 192.168.99.97"
    assert (macvlan["reached from another node"], macvlan["reached from its own node"]) == ("yes", "no")
    assert (macvlan["MAC that others see"], macvlan["kept across a restart"]) == ("its own", "yes")
    assert "pool" in macvlan["DHCP"]
    published = column("published", looks(100), looks(9000))
    assert (published["reached from its own node"], published["MAC that others see"]) == ("yes", "the node's")


def test_a_way_that_the_kernel_lacks_says_so_in_every_measured_row() -> None:
    ipvlan = column("ipvlan", looks(100), looks(9000))
    assert list(ipvlan.values())[:5] == [NOT_HERE] * 5


def test_ipvlan_is_seen_under_the_nodes_mac() -> None:
    assert looks(100, ipvlan="").whose("web-ipvlan") == "the node's"


def test_without_a_restart_nothing_is_claimed_about_one() -> None:
    assert column("macvlan", looks(100), looks(100))["kept across a restart"] == "node1 was not restarted"


def test_no_cell_of_the_comparison_is_cut_off_when_it_is_shown() -> None:
    table = comparison(looks(100, ipvlan=""), looks(9000, ipvlan=""))
    assert max(len(str(cell)) for mode in MODES for cell in table[mode]) <= 50


def test_the_nodes_to_restart_are_those_of_the_ways_that_the_kernel_knows() -> None:
    assert looks(100).nodes == ("node1",)
    seen = looks(100).table
    assert list(seen["reached"].isna()) == [False] * 4 + [True] * 2
