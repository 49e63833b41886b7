"""Managers of a swarm are the engines themselves: nothing to start, and dockerd's own start is what counts."""

from __future__ import annotations

from runbook_lib.facts.docker.engine import EngineStart
from runbook_lib.model.parameters import Parameters
from runbook_lib.steps.base import Verb
from runbook_lib.steps.etcd_autostart import EtcdAutostart, StartMembers
from runbook_lib.steps.members import ManagersAutostart, ManagerStart, StartManagers, member_steps


def test_a_manager_runs_where_its_engine_answers() -> None:
    finding = StartManagers().assess({"node1": "26.1.5"}, frozenset())["node1"]
    assert (finding.verb, finding.before) == (Verb.SATISFIED, "dockerd 26.1.5 runs")
    assert finding.detail == "a member of a swarm is the engine itself"


def test_a_host_that_does_not_start_its_engine_at_boot_is_refused_with_the_command() -> None:
    starts = {
        "node1": ManagerStart(EngineStart("docker.service enabled")),
        "node2": ManagerStart(EngineStart("", "systemctl enable docker")),
    }
    findings = ManagersAutostart().assess(starts, frozenset())
    assert findings["node1"].before == "dockerd starts at boot (docker.service enabled)"
    assert findings["node2"].verb is Verb.REFUSED
    assert "remedy: systemctl enable docker" in findings["node2"].detail


def test_a_manager_that_waits_for_a_key_at_boot_is_refused_with_the_command_that_lets_it_start() -> None:
    starts = {"node1": ManagerStart(EngineStart("docker.service enabled"), waits_for_key=True)}
    finding = ManagersAutostart().assess(starts, frozenset())["node1"]
    assert finding.verb is Verb.REFUSED
    assert "waits for the unlock key of its swarm" in finding.detail
    assert "remedy: docker swarm update --autolock=false" in finding.detail


def test_the_control_plane_of_the_parameters_chooses_the_steps() -> None:
    swarm, etcd = member_steps(Parameters(control_plane="swarm-mode")), member_steps(Parameters())
    assert (type(swarm.start), type(swarm.autostart)) == (StartManagers, ManagersAutostart)
    assert (type(etcd.start), type(etcd.autostart)) == (StartMembers, EtcdAutostart)
