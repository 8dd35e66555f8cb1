"""What a dataclass says of its fields: of which types they are, and whether its values are."""

import dataclasses
import inspect
import sys
from contextlib import suppress
from functools import cache
from numbers import Integral, Real
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import AbstractArray

from llmattr.errors import LlmattrError

NUMBERS: dict[object, type] = {int: Integral, float: Real}  # numpy's, too
WORDS: dict[object, str] = {
    bool: "True or False",
    str: "a text",
    NoneType: "None",
    Integral: "a whole number",
    Real: "a number",
}


@cache
def types_of(options: type) -> dict[str, Any]:
    """The types of a dataclass's fields, also where they are texts (`from __future__ import annotations`)."""
    wanted = {field.name for field in dataclasses.fields(options)}  # what a ClassVar is, need not be known when this runs
    try:
        types = {name: kind for base in options.__mro__[::-1] for name, kind in _own_types(base, wanted).items()}
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        what = f"the types of {options.__name__}'s fields cannot be read: {error}"
        raise LlmattrError(f"{what}; import or define it at the top of the file, and not under TYPE_CHECKING") from None
    for name, kind in types.items():
        if odd := [word for word in accepted(kind)[1] if not isinstance(word, str)]:
            raise LlmattrError(f"{options.__name__}: the words of {name} (Literal) must be texts, not {odd[0]!r}")
    return types


def _own_types(kind: type, wanted: set[str]) -> dict[str, Any]:
    own = {name: said for name, said in inspect.get_annotations(kind).items() if name in wanted}
    return get_type_hints(SimpleNamespace(__annotations__=own), vars(sys.modules[kind.__module__]))


def _parts(kind: object) -> tuple[Any, ...]:
    """The types of a union, or the one that it is."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def accepted(kind: object) -> tuple[Any, tuple[Any, ...]]:
    """What a field of this type takes, and which words: `int | Literal["auto"]` -> int, ("auto",); else a union as it is."""
    words = [part for part in _parts(kind) if get_origin(part) is Literal]
    others = [part for part in _parts(kind) if part not in words]
    other = others[0] if len(others) == 1 else kind if others else None
    return other, tuple(word for part in words for word in get_args(part))


def _classes(kind: object) -> tuple[Any, ...]:
    """The classes that values of this type are of; none for arrays, which are checked where their shapes are known."""
    found = tuple(NUMBERS.get(part, get_origin(part) or part) for part in _parts(kind))
    return () if any(isinstance(one, type) and issubclass(one, AbstractArray) for one in found) else found


@cache
def _classes_of(made: type) -> dict[str, tuple[Any, ...]]:
    return {name: _classes(kind) for name, kind in types_of(made).items()}


def _check(name: str, value: object, classes: tuple[Any, ...]) -> None:
    with suppress(TypeError):  # a type that `isinstance` knows nothing of
        if classes and not isinstance(value, classes):
            wanted = " or ".join(WORDS.get(one) or one.__name__ for one in classes)
            raise LlmattrError(f"{name} must be {wanted}, not {value!r:.60}")


def check_field(name: str, value: object, kind: object) -> None:
    """Raise `LlmattrError` for a value that is not of this type, unless that is an array's."""
    _check(name, value, _classes(kind))


def check_fields(made: object, whose: str) -> None:
    """Raise `LlmattrError` for a dataclass with a value that is not of its field's type, but for arrays."""
    for name, classes in _classes_of(type(made)).items():
        _check(f"{whose}: {name}", vars(made)[name], classes)


def is_plain(array: object) -> bool:
    """Whether an array (numpy's or torch's) has a number in each place, and is multiplied as arrays are."""
    match array:
        case np.ma.MaskedArray() | np.matrix():
            return False
        case object(layout=layout):  # a tensor's, which may be sparse
            return str(layout) == "torch.strided"
    return True
