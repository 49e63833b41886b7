"""The part of an engine's API that is about Swarm mode. The docker SDK is called through the engine, its owner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import SecretStr

if TYPE_CHECKING:
    import docker

Json = dict[str, Any]
Role = Literal["manager", "worker"]
T = TypeVar("T")


class SwarmCalls(ABC):
    """What an engine does as a member of a swarm. Join tokens are secrets: they come as values that no print shows."""

    @abstractmethod
    def _call(self, what: str, call: Callable[[docker.APIClient], T]) -> T:
        """Make a call and turn its errors into this package's."""

    def swarm_init(self, advertise: str) -> str:
        """Begin a swarm with this engine as its first manager; returns the ID of its node.

        It listens at every address and tells the others ``advertise``. That address is kept for good: an engine that
        restarts with another one is not found by the other managers (moby#30455).

        Raises:
            EngineError: the engine is part of a swarm already (status 503), or the address is none.
        """
        return str(self._call("swarm init", lambda api: api.init_swarm(advertise_addr=advertise)))

    def swarm_join(self, managers: Sequence[str], token: SecretStr, advertise: str) -> None:
        """Make this engine a member of the swarm of ``managers`` (``ADDRESS:PORT``), in the role the token is for.

        Raises:
            EngineError: the engine is part of a swarm already (status 503), or no manager took it.
        """
        self._call(
            f"swarm join {' '.join(managers)}",
            lambda api: api.join_swarm(list(managers), token.get_secret_value(), advertise_addr=advertise),
        )

    def swarm_join_token(self, role: Role) -> SecretStr:
        """What lets an engine join in a role. Raises ``EngineError`` unless this engine is a manager of a quorum."""
        swarm: Json = self._call("swarm join-token", lambda api: api.inspect_swarm())
        return SecretStr(str(swarm["JoinTokens"][role.capitalize()]))

    def swarm_info(self) -> Json:
        """``Swarm`` of ``GET /info``: what it knows of its own membership, with or without a quorum.

        ``LocalNodeState`` is inactive, pending, active, error or locked; ``ControlAvailable`` tells a manager;
        ``Error`` is why there is no quorum.
        """
        return dict(self._call("info", lambda api: api.info()).get("Swarm") or {})

    def swarm_nodes(self) -> list[Json]:
        """``GET /nodes``. Raises ``EngineError`` (status 503) unless this engine is a manager of a quorum."""
        return list(self._call("node ls", lambda api: api.nodes()))
