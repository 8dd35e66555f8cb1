"""What a method is: a frozen dataclass whose fields are its hyper-parameters, found by name in a `METHODS` dict."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from numbers import Real
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from llmattr.core.fields import accepted, check_field, types_of
from llmattr.core.kinds import check_kind, public_names
from llmattr.core.plain_json import plain
from llmattr.errors import LlmattrError, check_choice, check_number, check_text, did_you_mean, nearest

T = TypeVar("T")
NAME = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
FAMILIES = ("datamodel", "game-theoretic", "predictive", "corroborative", "reference")


@runtime_checkable
class Named(Protocol):
    """A dataclass that the command line and records call by its name; its fields are its options."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]
    name: ClassVar[str]


def option(default: T, help: str, least: int | float = 0, below: int | float = math.inf) -> T:
    """A hyper-parameter: a dataclass field with its default, the sentence that `--help` shows, and its bounds.

    Raises `LlmattrError` for a sentence that is no text, and bounds that are no numbers.
    """
    check_text(help, "an option's help")
    if not (isinstance(least, Real) and isinstance(below, Real)):
        raise LlmattrError(f"an option's bounds must be numbers, not {least!r:.60} and {below!r:.60}")
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "below": below})


def describe(method: Named) -> dict[str, Any]:
    """The record of a method in `run.json` and JSON results: its name and every field, as JSON has them.

    Raises `LlmattrError` for a field that is out of its bounds: no result is had with one, however it was asked for.
    """
    check_options(method)
    return {"name": method.name, **plain(dataclasses.asdict(method))}


def find_method(method: object, methods: dict[str, type], contract: type[T] = Named) -> T:
    """Return the method itself, or the default one of that name or class.

    Raises `LlmattrError` for an unknown one, one of another kind, one that lacks what its family's `contract` names or whose
    verb takes other arguments, and a field out of its bounds.
    """
    check_listed(methods)
    known = ", ".join(methods)
    if isinstance(method, str):
        if method not in methods:
            raise LlmattrError(f"unknown method {method!r}{did_you_mean(method, methods)} (there are: {known})")
        method = methods[method]
    method = by_default(method) if isinstance(method, type) else method
    if not isinstance(method, Named):
        raise LlmattrError(f"a method is a name or a dataclass of METHODS, not {method!r} (there are: {known})")
    check_name(method)
    if type(method) not in methods.values():
        _check_own(method, methods, contract)
    if not isinstance(method, contract):
        lacking, near = _lacking(method, contract)
        instead = f": is {near!r} meant for it?" if near else f", which {contract.__module__}.{contract.__name__} describes"
        raise LlmattrError(f"the method {type(method).__name__} has no {lacking!r}{instead}")
    check_verbs(method, contract)
    for name in _names_of(contract):
        said = check_text(attrgetter(name)(method), f"{type(method).__name__}: {name}")
        if name == "family":
            check_choice(f"the family of {method.name}", said, FAMILIES)
    check_options(method)
    return method


def check_listed(methods: Mapping[str, type]) -> None:
    """Raise `LlmattrError` for a `METHODS` with anything but the classes of methods, each under its own name."""
    for name, kind in methods.items():
        if not (isinstance(kind, type) and isinstance(kind, Named) and kind.name == name):
            raise LlmattrError(f"METHODS[{name!r}] is {kind!r:.80}, and must be the class of a method of that name")


def check_name(method: Named) -> None:
    """Raise `LlmattrError` for a name that is no word of a command line."""
    if not NAME.fullmatch(check_text(method.name, f"{type(method).__name__}: name")):
        raise LlmattrError(f"the name {method.name!r} becomes a sub-command: it must be small letters, digits and hyphens")


def _check_own(method: Named, methods: dict[str, type], contract: type) -> None:
    """Raise `LlmattrError` for a method that is not in the list, where it belongs into another or has the name of one in it."""
    check_kind(method, contract)
    if method.name in methods:
        raise LlmattrError(f"{method.name!r} is the name of another method: give {type(method).__name__} a name of its own")


def by_default(kind: type) -> object:
    """The method with its defaults; raises `LlmattrError` for a class that is not had without more."""
    try:
        return kind()
    except TypeError as error:
        named = f"{kind.__name__} cannot be had by its name or class"
        raise LlmattrError(f"{named}: every option needs a default ({error}); else give an instance") from None


def _names_of(contract: type) -> list[str]:
    """The public names that a contract annotates, its bases' too: what a class says of itself (name, family ...), in texts."""
    return [name for base in contract.__mro__ for name in inspect.get_annotations(base) if not name.startswith("_")]


def _lacking(method: object, contract: type) -> tuple[str, str | None]:
    """The first name of the contract that a method has not, and the one that may be meant for it."""
    has = public_names(method)
    wanted = [name for name in (*_names_of(contract), *vars(contract)) if not name.startswith("_")]
    lacking = next(name for name in wanted if name not in has)
    return lacking, nearest(lacking, [name for name in has if name != lacking])


def check_verbs(method: object, contract: type) -> None:
    """Raise `LlmattrError` for a verb that cannot be given, by place, what the contract says that it takes."""
    verbs = {name: verb for name, verb in inspect.getmembers(contract, inspect.isfunction) if not name.startswith("_")}
    for name, verb in verbs.items():
        check_arguments(f"{type(method).__name__}: {name}", attrgetter(name)(method), verb.__get__(method))


def check_arguments(what: str, own: object, like: Callable[..., object]) -> None:
    """Raise `LlmattrError` for what is no function, or one that cannot be given, by place, what another one takes."""
    if not callable(own):
        raise LlmattrError(f"{what} is {own!r:.60} and no function")
    taken, wanted = _without_types(own), _without_types(like)
    try:
        taken.bind(*wanted.parameters)
    except TypeError:
        raise LlmattrError(f"{what} takes {taken}, and must take {wanted}") from None


def _without_types(function: Callable[..., object]) -> inspect.Signature:
    """A function's parameters: their names, places and defaults."""
    parameters = inspect.signature(function).parameters.values()
    return inspect.Signature([one.replace(annotation=one.empty) for one in parameters])


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
        else:
            check_field(field.name, value, types[field.name])


def check_described(options: type) -> None:
    """Raise `LlmattrError` for a dataclass with a field that no command line can give."""
    types = types_of(options)
    for field in dataclasses.fields(options):
        what, kind = f"{options.__name__}'s option {field.name}", accepted(types[field.name])[0]
        if field.name.startswith("_"):
            raise LlmattrError(f"{what} begins with an underscore, which no command line can give: take it away")
        if field.default is dataclasses.MISSING:
            raise LlmattrError(f"{what} has no default, so it is not had by its name: make it with option(default, help)")
        if not field.metadata.get("help"):
            instead = "make it with option(default, help), or annotate it as ClassVar[...] if it is no option"
            raise LlmattrError(f"{what} has no description for --help: {instead}")
        if kind not in (None, int, float, str, bool):
            raise LlmattrError(f"{what} is of the type {kind}, which no command line can give")
