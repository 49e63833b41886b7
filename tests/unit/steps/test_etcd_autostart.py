from dataclasses import replace

import pytest

from runbook_lib.facts.control_planes.etcd.members import UnitMember
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.host.host import BootClock
from runbook_lib.model.parameters import Etcd
from runbook_lib.steps.base import Verb
from runbook_lib.steps.etcd_autostart import (
    AutostartReading,
    EtcdAutostart,
    RemoveAutostart,
    StartMembers,
    changed_starts,
    peer_engines,
)
from runbook_lib.steps.platforms.blocks import find_block
from runbook_lib.steps.platforms.boot2docker import ETCD_AUTOSTART

BY_SCRIPT, BY_POLICY = Etcd(autostart="bootlocal"), Etcd(autostart="restart-policy")


def member(name: str = "etcd1", policy: str = "no", state: str = "exited") -> ContainerFacts:
    return ContainerFacts("node1", "1" * 64, name, "etcd:3.4", "sha256:1", "etcd", state, state, policy)


def written(text: str | None = None) -> str:
    work = EtcdAutostart(BY_SCRIPT).judge(AutostartReading((member(),), text)).work
    assert work is not None
    assert work.write is not None
    return work.write


def test_bootlocal_gets_a_block_with_this_nodes_members_only() -> None:
    body = find_block(written("echo theirs\n"), ETCD_AUTOSTART)
    assert body is not None
    assert "members='etcd1'" in body
    after = EtcdAutostart(BY_SCRIPT).judge(AutostartReading((member(),), written("echo theirs\n")))
    assert (after.verb, after.before) == (Verb.SATISFIED, "bootlocal.sh starts etcd1")


@pytest.mark.parametrize("etcd", [BY_SCRIPT, BY_POLICY])
def test_a_node_without_a_member_is_ok_and_says_so(etcd: Etcd) -> None:
    finding = EtcdAutostart(etcd).judge(AutostartReading((), "echo theirs\n"))
    assert (finding.verb, finding.detail) == (Verb.SATISFIED, "no etcd member here")


def test_choosing_the_restart_policy_takes_the_block_out() -> None:
    finding = EtcdAutostart(BY_POLICY).judge(AutostartReading((member(),), written()))
    assert finding.verb is Verb.PENDING
    assert finding.work is not None
    assert finding.work.policies == (("etcd1", "always"),)
    assert finding.work.restoration is not None
    assert finding.work.restoration.text is None


def test_choosing_bootlocal_resets_the_restart_policy() -> None:
    work = EtcdAutostart(BY_SCRIPT).judge(AutostartReading((member(policy="always"),), None)).work
    assert work is not None
    assert work.policies == (("etcd1", "no"),)
    assert work.write is not None


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_either_restarting_policy_satisfies(policy: str) -> None:
    finding = EtcdAutostart(BY_POLICY).judge(AutostartReading((member(policy=policy),), None))
    assert (finding.verb, finding.before) == (Verb.SATISFIED, f"Docker restarts etcd1 ({policy})")


def test_a_policy_that_restarts_on_failure_only_is_no_autostart() -> None:
    assert EtcdAutostart(BY_POLICY).judge(AutostartReading((member(policy="on-failure"),), None)).verb is Verb.PENDING


def test_the_articles_line_is_reported() -> None:
    reading = AutostartReading((member(),), written("sleep 5\n/usr/local/bin/docker start etcd1 etcd2 etcd3\n"))
    assert "line 2: /usr/local/bin/docker start etcd1" in EtcdAutostart(BY_SCRIPT).judge(reading).detail


def test_removal_takes_back_whichever_mechanism_is_there() -> None:
    step = RemoveAutostart(BY_SCRIPT)
    finding = step.judge(AutostartReading((member(policy="always"),), written("echo theirs\n")))
    assert finding.work is not None
    assert finding.work.policies == (("etcd1", "no"),)
    assert finding.work.restoration is not None
    assert finding.work.restoration.text == "echo theirs\n"
    assert step.judge(AutostartReading((member(),), "echo theirs\n")).verb is Verb.SATISFIED


def test_only_members_that_do_not_run_are_started() -> None:
    step = StartMembers(BY_SCRIPT)
    findings = step.assess(
        {"node1": (member(),), "node2": (member("etcd2", state="running"),), "node3": ()}, frozenset()
    )
    assert findings["node1"].work == (member(),)
    assert findings["node2"].verb is Verb.SATISFIED
    assert findings["node3"].detail == "no etcd member here"


AUTO = Etcd(autostart="auto")


def unit(enabled: bool = False) -> UnitMember:
    policy = f"etcd.service {'enabled' if enabled else 'disabled'}"
    facts = ("node3", "", "etcd3", "", "", "etcd.service", "running", "unit etcd.service active", policy)
    return UnitMember(*facts, after_engine=enabled, drop_in=enabled)


def test_auto_takes_what_fits_each_node() -> None:
    step = EtcdAutostart(AUTO)
    on_boot2docker = step.judge(AutostartReading((member(),), None)).work
    on_systemd = step.judge(AutostartReading((member(),), None, systemd=True)).work
    native = step.judge(AutostartReading((unit(),), None, systemd=True)).work
    assert on_boot2docker is not None
    assert on_systemd is not None
    assert native is not None
    assert (on_boot2docker.write is not None, on_boot2docker.policies, on_boot2docker.unit) == (True, (), "")
    assert (on_systemd.write, on_systemd.policies, on_systemd.unit) == (None, (("etcd1", "always"),), "")
    assert (native.write, native.policies, native.unit) == (None, (), "enable")


def test_an_enabled_unit_satisfies_and_removal_disables_it() -> None:
    reading = AutostartReading((unit(enabled=True),), None, systemd=True)
    finding = EtcdAutostart(AUTO).judge(reading)
    assert (finding.verb, finding.before) == (Verb.SATISFIED, "systemd starts etcd3 (etcd.service enabled)")
    work = RemoveAutostart(AUTO).judge(reading).work
    assert work is not None
    assert work.unit == "disable"


def test_an_enabled_unit_that_starts_before_the_engine_is_not_enough() -> None:
    reading = AutostartReading((replace(unit(enabled=True), after_engine=False),), None, systemd=True)
    assert EtcdAutostart(AUTO).judge(reading).verb is Verb.PENDING


@pytest.mark.parametrize(
    ("autostart", "reading", "why"),
    [
        ("systemd-unit", AutostartReading((member(),), None, systemd=True), "etcd1 is a container"),
        ("restart-policy", AutostartReading((unit(),), None, systemd=True), "etcd3 is the unit"),
        ("bootlocal", AutostartReading((member(),), None, systemd=True), "nothing runs bootlocal.sh here"),
    ],
)
def test_a_mechanism_that_cannot_start_the_node_s_member_is_refused(
    autostart: str, reading: AutostartReading, why: str
) -> None:
    finding = EtcdAutostart(Etcd.model_validate({"autostart": autostart})).judge(reading)
    assert finding.verb is Verb.REFUSED
    assert why in finding.detail
    assert "etcd.autostart: auto" in finding.detail


@pytest.mark.parametrize(
    ("store", "advertise", "peers"),
    [
        ("etcd://10.1.1.1:2379,10.1.1.2:2379,10.1.1.3:2379", "10.1.1.2:2376", ("10.1.1.1:2376", "10.1.1.3:2376")),
        ("etcd://10.1.1.1:2379/prefix", "10.1.1.1:2376", ()),
        ("", "", ()),
        ("etcd://10.1.1.1:2379", "", ()),
    ],
)
def test_peers_are_the_engines_beside_the_stores_other_members(
    store: str, advertise: str, peers: tuple[str, ...]
) -> None:
    engine = EngineFacts("node2", "20.10.24", "1.41", "ID", "etcd", store, advertise, "overlay2", "6.1", "Debian", 0)
    assert peer_engines(engine) == peers


def test_a_restart_policy_that_was_set_since_the_boot_is_proved_by_no_boot() -> None:
    policies = {"/d/containers/1/hostconfig.json": "the restart policy of etcd1"}

    def told(**changed: float) -> str:
        paths = {"policy": "/d/containers/1/hostconfig.json", "block": "/b/bootlocal.sh"}
        return changed_starts(BootClock(1000.0, 2000.0, {paths[key]: at for key, at in changed.items()}), policies)

    assert told(policy=900.0, block=900.0) == ""
    assert told(policy=1500.0, block=900.0) == "the restart policy of etcd1"
    assert told(policy=900.0, block=1500.0) == "/b/bootlocal.sh"
    assert told(block=900.0) == "the restart policy of etcd1"  # its file is not where it should be
