"""What starts dockerd at boot, by what three kinds of hosts answer."""

from __future__ import annotations

import pytest

from runbook_lib.facts.docker.engine import parse_engine_start
from runbook_lib.facts.sections import Section

ENABLED, DISABLED = Section("enabled\n", 0), Section("disabled\n", 1)


@pytest.mark.parametrize(
    ("sections", "by"),
    [
        ({"docker.service": ENABLED, "docker.socket": ENABLED}, "docker.service and docker.socket enabled"),
        ({"docker.service": DISABLED, "docker.socket": ENABLED}, "docker.socket enabled"),
        ({"docker.service": DISABLED, "docker.socket": DISABLED}, ""),
        ({"boot2docker": Section("/etc/init.d/docker\n", 0)}, "boot2docker's boot script"),
        ({"boot2docker": Section("ls: cannot access\n", 2)}, ""),
        ({"runlevels": Section("/etc/rc2.d/S01docker\n", 0)}, "init scripts"),
    ],
)
def test_what_starts_an_engine_is_named_or_what_would(sections: dict[str, Section], by: str) -> None:
    found = parse_engine_start(sections)
    assert by in found.by
    assert bool(found.by) is bool(by)
    assert found.remedy
