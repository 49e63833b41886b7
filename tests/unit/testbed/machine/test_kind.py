from __future__ import annotations

import pytest

from runbook_lib.errors import InputError
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind, choose_kind


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ((None, None, None), ARTICLES_KIND),
        ((None, "26.1", None), Kind(engine="26.1", control_plane="swarm-mode")),
        ((None, None, "swarm-mode"), Kind(engine="26.1", control_plane="swarm-mode")),
        ((None, "20.10", "swarm-mode"), Kind(control_plane="swarm-mode")),
        (("debian", None, None), Kind(platform="debian")),
    ],
)
def test_what_was_not_said_follows_from_the_rest(asked: tuple[str | None, str | None, str | None], kind: Kind) -> None:
    assert choose_kind(*asked) == kind


@pytest.mark.parametrize(
    ("asked", "option", "remedy"),
    [
        (("windows", None, None), "--platform", "choose one"),
        ((None, "19.03", None), "--engine", "choose one"),
        ((None, "26.1", "etcd"), "--engine", "--control-plane swarm-mode"),
        (("debian", None, "swarm-mode"), "--platform", "--platform boot2docker"),
    ],
)
def test_choices_that_exclude_each_other_are_refused_with_what_to_choose(
    asked: tuple[str | None, str | None, str | None], option: str, remedy: str
) -> None:
    with pytest.raises(InputError) as caught:
        choose_kind(*asked)
    assert caught.value.place == option
    assert remedy in caught.value.remedy


def test_a_kind_survives_its_record_and_an_older_record_is_the_articles() -> None:
    kind = Kind(engine="26.1", control_plane="swarm-mode")
    assert Kind.from_json(kind.to_json()) == kind
    assert Kind.from_json({"name": "runbook"}) == ARTICLES_KIND
