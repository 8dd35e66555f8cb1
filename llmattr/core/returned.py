"""What a method gave, looked at: arrays of finite numbers, the targets that were asked, nothing that it was given changed."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, runtime_checkable

from llmattr.core.attribution import Attribution
from llmattr.core.fields import is_plain
from llmattr.core.kinds import asking
from llmattr.core.method import Named, describe
from llmattr.core.plain_json import plain
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError

T = TypeVar("T")


@runtime_checkable
class OfSources(Protocol):
    """What an ablation of every family has."""

    @property
    def sources(self) -> Sources:
        """What can be removed."""
        ...

    @property
    def targets(self) -> Targets:
        """What is measured."""
        ...


def scores_of(
    method: Named, ablation: OfSources, attribute: Callable[[], object], targets: Targets | None = None, **given: object
) -> Attribution:
    """What a method's `attribute` gives when it is asked for an ablation's scores, looked at, and with the method's record.

    `targets`: what the scores must be of; without them the method may have its own. `given`: what else it is given that others
    use after it. Raises `LlmattrError` for scores of something else, and where the method changed what it was given.
    """
    seen = {"sources": vars(ablation.sources), "targets": vars(ablation.targets), **given}
    with unchanged(method.name, lambda: plain(seen)), asking(method.name, ablation):
        found = attribute()
    return dataclasses.replace(returned_scores(method, found, ablation.sources, targets), method=describe(method))


def returned(method: Named, verb: str, found: object, wanted: type[T], shape: Sequence[int] | None = None) -> T:
    """What a method's verb gave, if that is of the wanted type; an array (numpy's or torch's): of finite numbers in this shape.

    Raises `LlmattrError` with the method and the verb.
    """
    if not isinstance(found, wanted):
        raise LlmattrError(f"{method.name}: {verb} gave a {type(found).__name__} and no {wanted.__name__}")
    if not is_plain(found):
        odd = f"{method.name}: {verb} gave a {type(found).__name__} that is masked, sparse or a matrix"
        raise LlmattrError(f"{odd}: give a plain array, with a number in each place")
    if shape is None:
        return found
    array: Any = found
    if tuple(array.shape) != tuple(shape):
        raise LlmattrError(f"{method.name}: {verb} gave an array {tuple(array.shape)} where {tuple(shape)} is needed")
    if not re.search(r"float|int", str(array.dtype)):  # of numpy or torch
        raise LlmattrError(f"{method.name}: {verb} gave an array of {array.dtype}, which are no numbers: give real ones")
    if not bool((abs(array) < math.inf).all()):
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


@contextmanager
def unchanged(name: str, look: Callable[[], Mapping[str, object]], error: type[Exception] = LlmattrError) -> Iterator[None]:
    """What a method is given is afterwards what it was before, where somebody looks at each part of it in this way."""
    before = look()
    yield
    after = look()
    if changed := [part for part in before if after[part] != before[part]]:
        what = f"{name} changed what it was given, which others use after it ({', '.join(changed)})"
        raise error(f"{what}: let it work on a copy, or put it back as it was")
