from dataclasses import replace

import pytest

from runbook_lib.facts.host.addresses import Reach
from runbook_lib.facts.host.host import Boot
from runbook_lib.model.parameters import External, ExternalMode
from runbook_lib.model.results import Verdict
from runbook_lib.verify.external import ExternalState, From, ReachProbe, judge_kept, judge_reach

ADDRESS = "192.168.99.96"
BOOT = Boot("node1", "b0", 100, 60.0)


def spec(mode: ExternalMode) -> External:
    return External(mode, "node1", "node3", f"web-{mode}", f"ext-{mode}", "alpine")


def state(
    mode: ExternalMode = "macvlan", *, ticks: int = 100, trouble: str = "", address: str = ADDRESS
) -> ExternalState:
    boot = replace(BOOT, init_ticks=ticks)
    return ExternalState(spec(mode), None, address, "02:42:c0:a8:63:60", "02:00:00:00:01:01", boot, trouble)


def look(mode: ExternalMode, seen_from: From, answer: str) -> ReachProbe:
    node = "node3" if seen_from == "another node" else "node1"
    return ReachProbe(mode, f"web-{mode}", seen_from, node, Reach(node, ADDRESS, 2, 2, 0.1, answer, ""))


@pytest.mark.parametrize("mode", ["macvlan", "ipvlan"])
def test_its_own_node_must_not_reach_a_container_on_its_interface(mode: ExternalMode) -> None:
    looks = [look(mode, "another node", f"web-{mode}"), look(mode, "its own node", "")]
    assert {check.verdict for check in judge_reach([state(mode)], looks)} == {Verdict.PASS}
    looks[1] = look(mode, "its own node", f"web-{mode}")
    assert [check.verdict for check in judge_reach([state(mode)], looks)] == [Verdict.PASS, Verdict.FAIL]


def test_a_published_port_must_be_reached_from_everywhere() -> None:
    looks = [look("published", "another node", "web-published"), look("published", "its own node", "")]
    checks = judge_reach([state("published")], looks)
    assert [check.verdict for check in checks] == [Verdict.PASS, Verdict.FAIL]
    assert checks[1].found == f"no answer at {ADDRESS}"


def test_an_answer_of_somebody_else_is_no_answer_of_the_container() -> None:
    (check,) = judge_reach([state()], [look("macvlan", "another node", "a printer")])
    assert (check.verdict, check.found) == (Verdict.FAIL, f"a printer at {ADDRESS}")


def test_what_does_not_run_fails_and_what_the_kernel_lacks_is_skipped() -> None:
    absent = ReachProbe("macvlan", "web-macvlan", "another node", "node3", None)
    assert judge_reach([state(address="")], [absent])[0].verdict is Verdict.FAIL
    (check,) = judge_reach([state(address="", trouble="Unknown device type.")], [absent])
    assert (check.verdict, check.found) == (Verdict.SKIP, "no macvlan in its node's kernel: Unknown device type.")


def test_an_address_is_kept_only_if_the_node_was_restarted_in_between() -> None:
    (same_boot,) = judge_kept([state()], [state()])
    assert same_boot.verdict is Verdict.SKIP
    (kept,) = judge_kept([state()], [state(ticks=9000)])
    assert kept.verdict is Verdict.PASS
    (moved,) = judge_kept([state("published")], [state("published", ticks=9000, address="192.168.99.107")])
    assert (moved.verdict, moved.expected, moved.found) == (Verdict.FAIL, ADDRESS, "192.168.99.107")
    assert "01_fix_node_ips" in moved.remedy
