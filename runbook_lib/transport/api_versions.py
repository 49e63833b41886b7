"""Which engines this package speaks to, and in which version of the Docker Engine API.

Versions and what changed with them are from Docker's "Engine API version history". Of the calls made here these differ:

* 1.25 brought ``StopTimeout`` of a container, 1.28 ``verbose`` of a network; older engines are not asked for either.
* 1.44 deprecated ``CheckDuplicate`` of a new network: from Docker 25 on, names are always checked.
* 1.44 also put a container's short ID among its ``Aliases``, and 1.45 took it out again; 1.45 dropped ``Container`` and
  ``ContainerConfig`` of an image: nothing here reads them.

Connecting (with a fixed address since 1.22), exec, and a container's networking at its creation are the same from 1.24
to 1.51 as far as they are used here: one network, at most one address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.errors import EngineError, NodeError
from runbook_lib.model.platforms import ControlPlaneName

# docker-py speaks none older.
LOWEST = "1.24"
# Above docker-py's own default: nothing that is called here changed since.
HIGHEST = "1.51"

STOP_TIMEOUT_SINCE = "1.25"
VERBOSE_NETWORK_SINCE = "1.28"
NAMES_ALWAYS_CHECKED_SINCE = "1.44"


@dataclass(frozen=True)
class SupportedEngines:
    """A range of engines: their series, the newest API of each, and the control planes that they can have.

    ``run`` is the version that this project's tests really ran, empty where documentation is all that vouches for it.
    """

    engines: str
    api: str
    control_planes: tuple[ControlPlaneName, ...]
    run: str = ""


_STORE: tuple[ControlPlaneName, ...] = ("etcd", "classic-swarm", "swarm-mode")
_SWARM_MODE: tuple[ControlPlaneName, ...] = ("swarm-mode",)

# 20.10 is the last series with a cluster store; 29 refuses clients older than 1.44.
SUPPORTED = (
    SupportedEngines("1.12 to 17.05", "1.24 to 1.29", _STORE),
    SupportedEngines("17.06 to 19.03", "1.30 to 1.40", _STORE),
    SupportedEngines("20.10", "1.41", _STORE, run="20.10.24"),
    SupportedEngines("23.0 and 24.0", "1.42 and 1.43", _SWARM_MODE),
    SupportedEngines("25.0", "1.44", _SWARM_MODE),
    SupportedEngines("26.0 and 26.1", "1.45", _SWARM_MODE, run="26.1.5"),
    SupportedEngines("27 and 28", "1.46 to 1.51", _SWARM_MODE),
    SupportedEngines("29", "1.52 and later", _SWARM_MODE),
)


def negotiate(node: str, version: Mapping[str, Any]) -> str:
    """The API version to speak with an engine, from its ``GET /version``: its own, but none above ``HIGHEST``.

    Raises:
        EngineError: the engine's newest is below ``LOWEST``, or its oldest above ``HIGHEST``.
        NodeError: it says no version, so it is no engine.
    """
    try:
        newest, oldest = str(version["ApiVersion"]), str(version.get("MinAPIVersion") or LOWEST)
        too_old, too_new = number(newest) < number(LOWEST), number(oldest) > number(HIGHEST)
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError(
            node,
            f"what answers there is no Docker engine: its /version is {str(version)[:80]}",
            remedy="correct the node's docker.host and docker.port",
        ) from error
    name = f"Docker {version.get('Version') or 'of an unknown version'}"
    if too_old:
        raise EngineError(
            node,
            f"API {LOWEST} to {HIGHEST}",
            f"{name} speaks API {newest} at most, and {LOWEST} is the lowest that can be spoken here",
            remedy="this engine is too old to be spoken to: update Docker there to 1.12 or newer, a classic Swarm"
            " manager to 1.2.9",
        )
    if too_new:
        raise EngineError(
            node,
            f"API {LOWEST} to {HIGHEST}",
            f"{name} accepts no API older than {oldest}, and {HIGHEST} is the highest that is known here",
            remedy="this engine is too new to be spoken to: update this project, or start dockerd there with"
            f" DOCKER_MIN_API_VERSION={HIGHEST} in its environment",
        )
    return min(newest, HIGHEST, key=number)


def number(version: str) -> tuple[int, ...]:
    """``1.41`` as numbers to compare. Raises ``ValueError`` for what is no version."""
    if re.fullmatch(r"\d+\.\d+", version) is None:
        raise ValueError(f"{version!r} is no version of the Docker Engine API")
    return tuple(int(part) for part in version.split("."))


def has(spoken: str, since: str) -> bool:
    """Whether what came with one version is there in the version spoken."""
    return number(spoken) >= number(since)
