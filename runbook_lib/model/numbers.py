"""Numbers as parameters take them: YAML's ``yes`` and ``on`` are no numbers, though Python counts with them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"this must be a number, and is read as {str(value).lower()}")
    return value


WholeNumber = Annotated[int, BeforeValidator(_no_truth_value)]
Port = Annotated[WholeNumber, Field(ge=1, le=65535)]
Seconds = Annotated[float, BeforeValidator(_no_truth_value), Field(gt=0, le=3600, allow_inf_nan=False)]
