"""What a method is: a frozen dataclass whose fields are its hyper-parameters, found by name in a `METHODS` dict."""

import dataclasses
from typing import Any

from llmattr.errors import LlmattrError, did_you_mean


def option(default: Any, help: str) -> Any:
    """A hyper-parameter: a dataclass field with its default and the sentence that `--help` and the docs show."""
    return dataclasses.field(default=default, metadata={"help": help})


def describe(method: Any) -> dict[str, Any]:
    """The record of a method in `run.json` and JSON results: its name and every field."""
    return {"name": method.name, **dataclasses.asdict(method)}


def find_method(method: Any, methods: dict[str, type]) -> Any:
    """Return the method itself, or the default one of that name; raises `LlmattrError` for an unknown name."""
    if not isinstance(method, str):
        return method
    if method not in methods:
        known = ", ".join(methods)
        raise LlmattrError(f"unknown method {method!r}{did_you_mean(method, methods)} (there are: {known})")
    return methods[method]()
