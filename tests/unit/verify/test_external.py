from dataclasses import replace

import pytest

from runbook_lib.facts.host.addresses import Reach
from runbook_lib.facts.host.host import Boot
from runbook_lib.model.parameters import External, Way
from runbook_lib.model.results import Verdict
from runbook_lib.verify.external import From, Look, Standing, judge_kept, judge_looks

ADDRESS = "192.168.99.96"
BOOT = Boot("node1", "b0", 100, 60.0)


def spec(way: Way) -> External:
    return External(way, "node1", "node3", f"web-{way}", f"ext-{way}", "alpine")


def standing(way: Way = "macvlan", *, ticks: int = 100, trouble: str = "", address: str = ADDRESS) -> Standing:
    boot = replace(BOOT, init_ticks=ticks)
    return Standing(spec(way), None, address, "02:42:c0:a8:63:60", "02:00:00:00:01:01", boot, trouble)


def look(way: Way, seen_from: From, answer: str) -> Look:
    node = "node3" if seen_from == "another node" else "node1"
    return Look(way, f"web-{way}", seen_from, node, Reach(node, ADDRESS, 2, 2, 0.1, answer, ""))


@pytest.mark.parametrize("way", ["macvlan", "ipvlan"])
def test_its_own_node_must_not_reach_a_container_on_its_interface(way: Way) -> None:
    looks = [look(way, "another node", f"web-{way}"), look(way, "its own node", "")]
    assert {check.verdict for check in judge_looks([standing(way)], looks)} == {Verdict.PASS}
    looks[1] = look(way, "its own node", f"web-{way}")
    assert [check.verdict for check in judge_looks([standing(way)], looks)] == [Verdict.PASS, Verdict.FAIL]


def test_a_published_port_must_be_reached_from_everywhere() -> None:
    looks = [look("published", "another node", "web-published"), look("published", "its own node", "")]
    checks = judge_looks([standing("published")], looks)
    assert [check.verdict for check in checks] == [Verdict.PASS, Verdict.FAIL]
    assert checks[1].found == f"no answer at {ADDRESS}"


def test_an_answer_of_somebody_else_is_no_answer_of_the_container() -> None:
    (check,) = judge_looks([standing()], [look("macvlan", "another node", "a printer")])
    assert (check.verdict, check.found) == (Verdict.FAIL, f"a printer at {ADDRESS}")


def test_what_does_not_run_fails_and_what_the_kernel_lacks_is_skipped() -> None:
    absent = Look("macvlan", "web-macvlan", "another node", "node3", None)
    assert judge_looks([standing(address="")], [absent])[0].verdict is Verdict.FAIL
    (check,) = judge_looks([standing(address="", trouble="Unknown device type.")], [absent])
    assert (check.verdict, check.found) == (Verdict.SKIP, "no macvlan in its node's kernel: Unknown device type.")


def test_an_address_is_kept_only_if_the_node_was_restarted_in_between() -> None:
    (same_boot,) = judge_kept([standing()], [standing()])
    assert same_boot.verdict is Verdict.SKIP
    (kept,) = judge_kept([standing()], [standing(ticks=9000)])
    assert kept.verdict is Verdict.PASS
    (moved,) = judge_kept([standing("published")], [standing("published", ticks=9000, address="192.168.99.107")])
    assert (moved.verdict, moved.expected, moved.found) == (Verdict.FAIL, ADDRESS, "192.168.99.107")
    assert "01_fix_node_ips" in moved.remedy
