"""Runs one prober in the network namespace of each container."""

from __future__ import annotations

from typing import Literal

Method = Literal["auto", "perl", "ping", "exec"]
