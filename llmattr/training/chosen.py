"""The method of a question: the one that its index was built with, or another that the stored rows allow."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmattr.core.method import describe
from llmattr.errors import LlmattrError
from llmattr.training.contract import (
    IndexMethod,
    Normalized,
    TextMethod,
    TrainingMethod,
    find_training_method,
    has_momentum,
    parameters_of,
)
from llmattr.training.methods import METHODS

READ = ("layer", "encoder")  # fields that say whose numbers a row is
WHY = {
    "measure": "a gradient is that of what is measured",
    "normalize": "gradients are divided by the root of their second moments before they are projected",
    "momentum": "the optimizer's is in rows that are its steps",
    "parameters": "only these have their gradients in a row",
}


def saved_method(saved: Mapping[str, Any]) -> TrainingMethod:
    """The method of `METHODS` that a run.json records; raises `LlmattrError` for one of somebody's own."""
    name, fields = saved["name"], {key: value for key, value in saved.items() if key != "name"}
    if name not in METHODS:
        raise LlmattrError(
            f"the index was built with {name!r}, which is not in METHODS: open_index(folder, method=...) takes it"
        )
    return find_training_method(METHODS[name](**fields), METHODS)


def method_at_question(own: TrainingMethod, asked: str | type | TrainingMethod | None) -> TrainingMethod:
    """The method that is asked for, of an index that was built with its `own`, which answers where none is.

    The rows must be what the other would have stored: its texts, or the same numbers. A method that is asked for by its name is
    of the parameters, the layer or the encoder that the rows are of. Raises `LlmattrError` for one that needs other rows.
    """
    if asked is None or asked == own.name:
        return own
    found = find_training_method(asked, METHODS)
    if isinstance(asked, (str, type)):
        there, has = describe(own), describe(found)
        found = replace(found, **{name: there[name] for name in ("parameters", *READ) if name in there and name in has})
    if found == own or isinstance(found, TextMethod):
        return found
    if not isinstance(found, IndexMethod):
        raise LlmattrError(f"{found.name} keeps no rows that another index could have: build an index with it")
    if not isinstance(own, IndexMethod):
        raise LlmattrError(f"{own.name} keeps no rows, and {found.name} needs those of {found.vectors}: build an index with it")
    _refuse_other_rows(own, found)
    return found


def _refuse_other_rows(own: IndexMethod, found: IndexMethod) -> None:
    """Raise `LlmattrError` for a method whose rows are not those of the index, with the first difference."""
    there = _rows_of(own)
    for name, value in _rows_of(found).items():
        if there.get(name) != value:
            why = f"; {WHY[name]}" if name in WHY else ""
            raise LlmattrError(
                f"{found.name} needs other rows than this index of {own.name} has ({name}: {there.get(name)!r} there, "
                f"{value!r} for it){why}: build an index with it"
            )


def _rows_of(method: IndexMethod) -> dict[str, Any]:
    """What a stored row of the method is."""
    normalize = method.normalize if isinstance(method, Normalized) else "none"
    of = {"vectors": method.vectors, "measure": method.measure, "normalize": normalize, "parameters": parameters_of(method)}
    of |= {"momentum": has_momentum(method)}
    return of | {name: value for name, value in describe(method).items() if name in READ}
