"""What a method is: a frozen dataclass whose fields are its hyper-parameters, found by name in a `METHODS` dict."""

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints, runtime_checkable

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, check_choice, check_number, did_you_mean, nearest

T = TypeVar("T")


@runtime_checkable
class Named(Protocol):
    """A dataclass that the command line and records call by its name; its fields are its options."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]
    name: ClassVar[str]


def option(default: T, help: str, least: int | float = 0, below: int | float = math.inf) -> T:
    """A hyper-parameter: a dataclass field with its default, the sentence that `--help` shows, and its bounds."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "below": below})


# What the commands that take a method have themselves, by its kind: no method has an option of such a name.
RESERVED = {
    "context": """cache concurrency device dtype files help html index json judge language max_new_tokens measure model
        no_cache no_verify prune query quick rather_than response seed served_model sources template timeout tokenizer top
        verbose verify zoom""",
    "training": """append checkpoints columns complement data device dim dtype help kind learning_rates model modules out
        row_type rows seed split strict unknown width""",
    "retraining": """batch_size clip columns completion data group_by help html jobs json learning_rate mean measure model out
        prompt queries replicates schedule seed split start steps top verify warmup weight_decay""",
}


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

    Raises `LlmattrError` for an unknown one, one that lacks what its family's `contract` names or whose verb takes other
    arguments, and a field out of its bounds.
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
        lacking, near = _lacking(method, contract)
        instead = f": is {near!r} meant for it?" if near else f" (there are: {known})"
        raise LlmattrError(f"the method {type(method).__name__} has no {lacking!r}{instead}")
    check_verbs(method, contract)
    if type(method) is not methods.get(method.name, type(method)):
        raise LlmattrError(f"{method.name!r} is the name of another method: give {type(method).__name__} a name of its own")
    check_options(method)
    return method


def _lacking(method: object, contract: type) -> tuple[str, str | None]:
    """The first name of the contract that a method has not, and the one that may be meant for it."""
    has = public_names(method)
    wanted = [name for name in (*contract.__annotations__, *vars(contract)) if not name.startswith("_")]
    lacking = next(name for name in wanted if name not in has or vars(type(method)).get(name, name) is None)
    return lacking, nearest(lacking, [name for name in has if name != lacking])


def check_verbs(method: object, contract: type) -> None:
    """Raise `LlmattrError` for a verb that cannot be given, by place, what the contract says that it takes."""
    kind = type(method).__name__
    verbs = {name: verb for name, verb in inspect.getmembers(contract, inspect.isfunction) if not name.startswith("_")}
    for name, verb in verbs.items():
        own = attrgetter(name)(method)
        if not callable(own):
            raise LlmattrError(f"{kind}: {name} is {own!r:.60} and no function")
        _self, *wanted = _without_types(verb)
        taken = inspect.Signature(_without_types(own))
        try:
            taken.bind(*wanted)
        except TypeError:
            raise LlmattrError(f"{kind}: {name} takes {taken}, and must take {inspect.Signature(wanted)}") from None


def _without_types(function: Callable[..., object]) -> list[inspect.Parameter]:
    """A function's parameters: their names, places and defaults."""
    return [one.replace(annotation=one.empty) for one in inspect.signature(function).parameters.values()]


def public_names(method: object) -> list[str]:
    """What a method has, but for names that begin with an underscore."""
    return [name for name in dir(method) if not name.startswith("_")]


def returned(method: Named, verb: str, found: object, wanted: type[T], shape: Sequence[int] | None = None) -> T:
    """What a method's verb gave, if that is of the wanted type; an array (numpy's or torch's): of finite numbers in this shape.

    Raises `LlmattrError` with the method and the verb.
    """
    if not isinstance(found, wanted):
        raise LlmattrError(f"{method.name}: {verb} gave a {type(found).__name__} and no {wanted.__name__}")
    if shape is None:
        return found
    array: Any = found
    if tuple(array.shape) != tuple(shape):
        raise LlmattrError(f"{method.name}: {verb} gave an array {tuple(array.shape)} where {tuple(shape)} is needed")
    try:
        finite = bool((abs(array) < math.inf).all())
    except TypeError:
        raise LlmattrError(f"{method.name}: {verb} gave an array of {array.dtype}, which are no numbers") from None
    if not finite:
        raise LlmattrError(f"{method.name}: {verb} gave a number that is not finite, of numbers that are")
    return found


def returned_scores(method: Named, found: object, sources: Sources, targets: Targets | None = None) -> Attribution:
    """What a method's `attribute` gave; raises `LlmattrError` unless it is of the sources (and the targets) that were asked."""
    scores = returned(method, "attribute", found, Attribution)
    same = [list(scores.sources.ids) == list(sources.ids) and list(scores.sources.texts) == list(sources.texts)]
    same += [] if targets is None else [list(scores.targets.texts) == list(targets.texts)]
    if not all(same):
        what = "targets" if same[0] else "sources"
        raise LlmattrError(f"{method.name}: attribute gave scores of other {what}, or in another order: return ablation.{what}")
    return scores


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
        elif kind in (bool, str) and not isinstance(value, (kind, NoneType)):
            wanted = "True or False" if kind is bool else "a text"
            raise LlmattrError(f"{field.name} must be {wanted}, not {value!r:.60}")


def types_of(options: type) -> dict[str, Any]:
    """The types of a dataclass's fields, also where they are texts (`from __future__ import annotations`)."""
    wanted = {field.name for field in dataclasses.fields(options)}  # what a ClassVar is, need not be known when this runs
    try:
        return {name: kind for base in options.__mro__[::-1] for name, kind in _own_types(base, wanted).items()}
    except NameError as error:
        what = f"the types of {options.__name__}'s fields cannot be read: {error}"
        raise LlmattrError(f"{what}; import or define it at the top of the file, and not under TYPE_CHECKING") from None


def _own_types(kind: type, wanted: set[str]) -> dict[str, Any]:
    own = {name: said for name, said in inspect.get_annotations(kind).items() if name in wanted}
    return get_type_hints(SimpleNamespace(__annotations__=own), vars(sys.modules[kind.__module__]))
