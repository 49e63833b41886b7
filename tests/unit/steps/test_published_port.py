from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Parameters, external
from runbook_lib.steps.base import Finding, Verb
from runbook_lib.steps.published_port import RESTART_POLICY, PublishedJob, PublishedReading, PublishPort, labels

CONTAINER = ContainerFacts(
    "node1",
    "1" * 64,
    "web-published",
    "alpine:latest",
    "sha256:1",
    "sh",
    "running",
    "running since now",
    RESTART_POLICY,
    networks=("bridge",),
    labels=labels("published", "mine"),
    published={"8080/tcp": "8080"},
)

Judge = Callable[..., Finding[PublishedJob]]


@pytest.fixture
def judge(make_inventory: Callable[..., Inventory]) -> Judge:
    def finding(container: ContainerFacts | None, has_image: bool = True) -> Finding[PublishedJob]:
        step = PublishPort(external(make_inventory(3), Parameters(), "published"), "mine")
        return step.assess({"node1": PublishedReading(container, has_image)}, frozenset())["node1"]

    return finding


def test_an_absent_container_is_created_and_a_stopped_one_started(judge: Judge) -> None:
    assert judge(None).work == PublishedJob(create=True, start=True)
    assert judge(replace(CONTAINER, state="exited")).work == PublishedJob(start=True)


def test_a_running_one_with_its_port_satisfies(judge: Judge) -> None:
    assert judge(CONTAINER).verb is Verb.SATISFIED


def test_one_without_its_port_or_of_others_is_never_touched(judge: Judge) -> None:
    assert "published port: expected 8080, found none" in judge(replace(CONTAINER, published={})).detail
    finding = judge(replace(CONTAINER, labels={}))
    assert finding.verb is Verb.REFUSED
    assert "owner: expected mine, found none" in finding.detail


def test_a_missing_image_has_its_remedy(judge: Judge) -> None:
    finding = judge(None, has_image=False)
    assert finding.verb is Verb.BLOCKED
    assert "docker pull alpine:latest" in finding.detail
