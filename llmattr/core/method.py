"""What a method is: a frozen dataclass whose fields are its hyper-parameters, found by name in a `METHODS` dict."""

import dataclasses
import math
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints, runtime_checkable

from llmattr.errors import LlmattrError, check_choice, check_number, did_you_mean

T = TypeVar("T")


@runtime_checkable
class Named(Protocol):
    """A dataclass that the command line and records call by its name; its fields are its options."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]
    name: ClassVar[str]


def option(default: T, help: str, least: int | float = 0, below: int | float = math.inf) -> T:
    """A hyper-parameter: a dataclass field with its default, the sentence that `--help` shows, and its bounds."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "below": below})


def accepted(kind: object) -> tuple[Any, tuple[str, ...]]:
    """What a field of this type takes, and which words: `int | Literal["auto"]` -> int, ("auto",)."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    words = [part for part in parts if get_origin(part) is Literal]
    others = [part for part in parts if part not in words]
    return (others[0] if others else None), tuple(word for part in words for word in get_args(part))


def describe(method: Named) -> dict[str, Any]:
    """The record of a method in `run.json` and JSON results: its name and every field.

    Raises `LlmattrError` for a field that is out of its bounds: no result is had with one, however it was asked for.
    """
    check_options(method)
    return {"name": method.name, **dataclasses.asdict(method)}


def find_method(method: object, methods: dict[str, type], contract: type[T] = Named) -> T:
    """Return the method itself, or the default one of that name or class.

    Raises `LlmattrError` for an unknown one, one that lacks what its family's `contract` names, or a field out of its bounds.
    """
    known = ", ".join(methods)
    if isinstance(method, str):
        if method not in methods:
            raise LlmattrError(f"unknown method {method!r}{did_you_mean(method, methods)} (there are: {known})")
        method = methods[method]
    method = method() if isinstance(method, type) else method
    if not isinstance(method, Named):
        raise LlmattrError(f"a method is a name or a dataclass of METHODS, not {method!r} (there are: {known})")
    if not isinstance(method, contract):
        raise LlmattrError(f"the method {type(method).__name__} has no {_lacking(method, contract)}")
    check_options(method)
    return method


def _lacking(method: object, contract: type) -> str:
    """The first name of the contract that a method has not, and what it may have meant by another."""
    has = [name for name in dir(method) if not name.startswith("_")]
    wanted = [name for name in (*contract.__annotations__, *vars(contract)) if not name.startswith("_")]
    lacking = next(name for name in wanted if name not in has)
    return f"{lacking}{did_you_mean(lacking, has)}"


def returned(method: Named, verb: str, found: object, wanted: type[T]) -> T:
    """What a method's verb gave; raises `LlmattrError` where it is none of what the verb is to give."""
    if not isinstance(found, wanted):
        raise LlmattrError(f"{method.name}: {verb} gave a {type(found).__name__} and no {wanted.__name__}")
    return found


def check_options(options: object) -> None:
    """Raise `LlmattrError` for a field of a dataclass that is out of its bounds or none of its choices."""
    if not dataclasses.is_dataclass(options):
        raise LlmattrError(f"options must be a dataclass, not {options!r:.60}")
    types = types_of(type(options))
    for field in dataclasses.fields(options):
        (kind, words), value = accepted(types[field.name]), vars(options)[field.name]
        if kind in (int, float):
            bounds = field.metadata.get("least", 0), field.metadata.get("below", math.inf)
            check_number(field.name, value, *bounds, whole=kind is int, words=words)
        elif words:
            check_choice(field.name, value, words)


def types_of(options: type) -> dict[str, Any]:
    """The types of a dataclass's fields, also where they are texts (`from __future__ import annotations`)."""
    try:
        return get_type_hints(options)
    except NameError as error:
        raise LlmattrError(f"the types of {options.__name__}'s fields cannot be read: {error}") from None
