"""What a method is: a frozen dataclass whose fields are its hyper-parameters, found by name in a `METHODS` dict."""

import dataclasses
import math
from typing import Any, get_args

from llmattr.errors import LlmattrError, check_number, did_you_mean


def option(default: Any, help: str, least: int | float = 0, below: int | float = math.inf) -> Any:
    """A hyper-parameter: a dataclass field with its default, the sentence that `--help` shows, and its bounds."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "below": below})


def describe(method: Any) -> dict[str, Any]:
    """The record of a method in `run.json` and JSON results: its name and every field."""
    return {"name": method.name, **dataclasses.asdict(method)}


def find_method(method: Any, methods: dict[str, type]) -> Any:
    """Return the method itself, or the default one of that name or class.

    Raises `LlmattrError` for an unknown one and for a field that is out of its bounds.
    """
    known = ", ".join(methods)
    if isinstance(method, str):
        if method not in methods:
            raise LlmattrError(f"unknown method {method!r}{did_you_mean(method, methods)} (there are: {known})")
        method = methods[method]
    method = method() if isinstance(method, type) else method
    if not dataclasses.is_dataclass(method) or not hasattr(method, "name"):
        raise LlmattrError(f"a method is a name or a dataclass of METHODS, not {method!r} (there are: {known})")
    check_options(method)
    return method


def check_options(options: Any) -> None:
    """Raise `LlmattrError` for a field of a dataclass that is out of its bounds or none of its choices."""
    if not dataclasses.is_dataclass(options):
        raise LlmattrError(f"options must be a dataclass, not {options!r:.60}")
    for field in dataclasses.fields(options):
        choices, value = get_args(field.type), getattr(options, field.name)
        if choices and value not in choices:
            raise LlmattrError(
                f"{field.name} must be one of {', '.join(choices)}, not {value!r}{did_you_mean(str(value), choices)}"
            )
        if field.type in (int, float):
            bounds = field.metadata.get("least", 0), field.metadata.get("below", math.inf)
            check_number(field.name, getattr(options, field.name), *bounds, whole=field.type is int)
