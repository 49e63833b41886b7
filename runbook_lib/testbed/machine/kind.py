"""The kind of a testbed: its nodes' platform, engine and control plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from runbook_lib.errors import InputError

NodePlatform = Literal["boot2docker", "debian"]


EngineSeries = Literal["20.10", "26.1"]


NodeControlPlane = Literal["etcd", "swarm-mode"]


@dataclass(frozen=True)
class Kind:
    """One kind of testbed; the article's by default. ``debian`` nodes boot systemd."""

    platform: NodePlatform = "boot2docker"
    engine: EngineSeries = "20.10"
    control_plane: NodeControlPlane = "etcd"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"platform": self.platform, "engine": self.engine, "control_plane": self.control_plane}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Kind:
        """The inverse of ``to_json``; fields that an older record lacks get the article's values."""
        return cls(**{key: data[key] for key in ("platform", "engine", "control_plane") if key in data})

    def __str__(self) -> str:
        return f"{self.platform} nodes, Docker {self.engine}, {self.control_plane}"


ARTICLES_KIND = Kind()


def choose_kind(platform: str | None = None, engine: str | None = None, control_plane: str | None = None) -> Kind:
    """The requested kind; missing choices follow from the others, and default to the article's.

    Raises:
        InputError: an unknown choice, or choices that exclude each other.
    """
    choices = (
        ("--platform", platform, NodePlatform),
        ("--engine", engine, EngineSeries),
        ("--control-plane", control_plane, NodeControlPlane),
    )
    for option, given, allowed in choices:
        if given is not None and given not in get_args(allowed):
            raise InputError(f"{given!r} is none of {', '.join(get_args(allowed))}", place=option, remedy="choose one")
    swarm_mode = control_plane == "swarm-mode" or (control_plane is None and engine == "26.1")
    kind = Kind.from_json(
        {
            "platform": platform or "boot2docker",
            "engine": engine or ("26.1" if swarm_mode else "20.10"),
            "control_plane": "swarm-mode" if swarm_mode else "etcd",
        }
    )
    if kind.engine == "26.1" and kind.control_plane == "etcd":
        raise InputError(
            "Docker 20.10 is the last series with a cluster store, 26.1 has none",
            place="--engine",
            remedy="choose --control-plane swarm-mode, or --engine 20.10",
        )
    if kind.platform == "debian" and kind != Kind(platform="debian"):
        raise InputError(
            "nodes that boot systemd come with Docker 20.10 and etcd alone",
            place="--platform",
            remedy="choose --platform boot2docker for a swarm, or leave --engine and --control-plane out",
        )
    return kind
