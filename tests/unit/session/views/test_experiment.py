from __future__ import annotations

from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.views.tables import Experiment
from runbook_lib.verify.gateway_bridge import BridgeExperiment, Traffic

TRAFFIC = Traffic("east-west", "10.0.0.3", "node3", "node", "docker_gwbridge", "gateway bridge", 10, 12, 2)
CHECK = Check("east-west traffic is carried by the overlay", "node3", Verdict.PASS)


def test_it_shows_how_much_each_interface_counted() -> None:
    experiment = Experiment(BridgeExperiment((TRAFFIC,), "default via 172.18.0.1 dev eth1", (CHECK,)))
    assert experiment.table.iloc[0].tolist() == ["east-west", "node3", "docker_gwbridge", "gateway bridge", 2]
    assert experiment.checks == (CHECK,)


def test_in_plan_mode_without_containers_it_is_skipped_and_says_so() -> None:
    experiment = Experiment(None)
    assert experiment.table.empty
    assert [check.verdict for check in experiment.checks] == [Verdict.SKIP]
    assert "plan mode" in experiment.checks[0].found
