"""What pydantic found wrong, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

_KIND_NEEDED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list (lines that begin with '- ')",
    "list_type": "a list (lines that begin with '- ')",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}


def explain(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One sentence for one pydantic error of a model: what is wrong, and what would be right."""
    kind = str(item["type"])
    if kind in ("extra_forbidden", "invalid_key"):
        return f"unknown parameter (known: {', '.join(_fields_at(model, item['loc'][:-1]))})"
    if kind == "missing":
        return "this is required, and is missing"
    if kind in _KIND_NEEDED:
        return _wrong_kind(item["input"], _KIND_NEEDED[kind])
    context = item.get("ctx", {})
    others: dict[str, Callable[[], str]] = {
        "literal_error": lambda: f"{item['input']!r} is not one of {context['expected']}",
        "greater_than": lambda: f"{item['input']} must be more than {context['gt']:g}",
        "greater_than_equal": lambda: f"{item['input']} must be at least {context['ge']:g}",
        "less_than_equal": lambda: f"{item['input']} must be at most {context['le']:g}",
        "too_short": lambda: "this list must not be empty",
        "string_too_short": lambda: "this must not be empty",
    }
    if kind in others:
        return others[kind]()
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _wrong_kind(found: Any, needed: str) -> str:
    if found is None:
        return f"this must be {needed}, and is empty"
    if needed == "text" and isinstance(found, bool):
        return (
            f"this must be text, and YAML reads it as {str(found).lower()} "
            "(as it does yes, no, on and off): put it in quotes"
        )
    if needed == "text" and isinstance(found, int | float):
        return f"this must be text, and is read as the number {found}: put it in quotes"
    shown = repr(found)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not {needed}"


def _fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The names of the fields that may stand at a path of the model."""
    current: Any = model
    for part in path:
        if isinstance(part, int) or part == getattr(current, "__name__", ""):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is not None:
            current = _model_in(field.annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The model inside an annotation such as ``tuple[NodeSpec, ...]`` or ``str | Inventory``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
