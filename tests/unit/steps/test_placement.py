import pytest

from runbook_lib.model.parameters import ContainerSpec
from runbook_lib.steps.containers import full_image_name, place


def specs(*names: str, node: str | None = None) -> list[ContainerSpec]:
    return [ContainerSpec(name=name, node=node) for name in names]


def test_spread_fills_the_least_loaded_node_first_and_equal_ones_in_order() -> None:
    loads = {"node1": 1, "node2": 1, "node3": 0}
    assert place(specs("a", "b", "c", "d"), loads, {}) == {"a": "node3", "b": "node1", "c": "node2", "d": "node3"}
    assert loads == {"node1": 1, "node2": 1, "node3": 0}


def test_pinned_containers_count_before_others_are_spread() -> None:
    placed = place([*specs("a"), *specs("b", node="node1")], {"node1": 0, "node2": 0}, {})
    assert placed == {"a": "node2", "b": "node1"}


def test_what_exists_stays_unless_it_is_pinned_elsewhere() -> None:
    existing = {"a": "node2", "b": "node2"}
    assert place([*specs("a"), *specs("b", node="node1")], {"node1": 0, "node2": 2}, existing) == {
        "a": "node2",
        "b": "node1",
    }


def test_a_container_that_has_nowhere_to_go_is_refused() -> None:
    with pytest.raises(ValueError, match="no node can take a"):
        place(specs("a"), {}, {})


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("alpine", "alpine:latest"),
        ("alpine:3.20", "alpine:3.20"),
        ("host:5000/team/alpine", "host:5000/team/alpine:latest"),
        ("host:5000/alpine:3", "host:5000/alpine:3"),
        ("alpine@sha256:12", "alpine@sha256:12"),
    ],
)
def test_an_image_without_a_tag_is_the_latest(short: str, full: str) -> None:
    assert full_image_name(short) == full
