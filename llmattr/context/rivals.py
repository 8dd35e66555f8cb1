"""Other names of the documents in a name's place: does the model find one of them far likelier there?

A wrong name that the documents do contain passes every test of what stands where, and the context makes it likelier too.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmattr.context.removal.ablation import ContextAblation
from llmattr.core.evidence import RIVAL, Rival
from llmattr.core.sources import Sources
from llmattr.text.names import Name, missing, names
from llmattr.text.numbers import numbers
from llmattr.text.own_words import find, own_words
from llmattr.text.prompt import Prompt
from llmattr.text.units import MONTHS, fold

NAMES = 3  # of a sentence that are tried
OTHERS = 5  # in the place of each


class _Tried(NamedTuple):
    """A name of target `target`, by its characters in the response, and what was put in its place."""

    target: int
    start: int
    end: int
    other: str


def rivals(ablation: ContextAblation, question: str, full: Float[np.ndarray, " r"], targets: Sequence[int]) -> dict[int, Rival]:
    """The strongest rival of each of these targets that has one, of `RIVAL` nats or more.

    Of its names, years and measures that the question does not tell, three are tried: five others of the same kind stand in the
    place of each, those of the sources with the most words of question and sentence. A rival's nats are `log p(other, rest of
    the sentence) - log p(name, rest)` behind all sources and the same beginning. `full`: the log-probabilities of the
    response's tokens with all sources.
    """
    prompt = ablation.prompt
    spans = ablation.targets.spans
    assert spans is not None  # of a response, targets are parts of it
    places = {t: (int(start), int(end)) for t, (start, end) in enumerate(spans)}
    tried = [one for t in targets for one in _tried(prompt.response, places[t], t, question, ablation.sources)]
    others = [prompt.with_response(_said(prompt.response, one, places[one.target][1])) for one in tried]
    found: dict[int, Rival] = {}
    for i, logprobs in ablation.lm.score([other.full() for other in others]):
        one = tried[i]
        said = _from(prompt, full, one.start, places[one.target][1])
        nats = _from(others[i], logprobs, one.start) - said
        if nats >= max(RIVAL, found[one.target].nats if one.target in found else RIVAL):
            found[one.target] = Rival(one.start, one.end, one.other, nats)
    return found


def _said(response: str, one: _Tried, end: int) -> str:
    """The response up to the target's end, with the other name."""
    return response[: one.start] + one.other + response[one.end : end]


def _from(prompt: Prompt, logprobs: Float[np.ndarray, " r"], start: int, end: int | None = None) -> float:
    """The log-probability of the response's characters from `start` to `end`."""
    assert prompt.response_offsets is not None  # a prompt with a response has them
    starts, ends = prompt.response_offsets.T
    return float(logprobs[(ends > start) & (starts < (len(prompt.response) if end is None else end))].sum())


def _tried(response: str, place: tuple[int, int], target: int, question: str, sources: Sources) -> Iterator[_Tried]:
    """Each name of the target's that is tried, with each that stands in its place."""
    start, end = place
    sentence = response[start:end]
    known = f"{question}\n{sentence}"
    candidates = _candidates(known, sources)
    kinds, told = _kinds(sentence), _tokens(known)
    own = [name for name in missing(sentence, [question]) if kinds.get(name) in candidates]
    for name in own[:NAMES]:
        said = _tokens(sentence[name.start : name.end])
        kind = [other for other in candidates[kinds[name]] if said.isdisjoint(new := _tokens(other)) and not new <= told]
        others = [other for other in kind if name in missing(sentence, [other])]  # NHL is the National Hockey League
        yield from (_Tried(target, start + name.start, start + name.end, other) for other in others[:OTHERS])


def _candidates(known: str, sources: Sources) -> dict[str, list[str]]:
    """Names of the sources by kind, those that stand near what is known first."""
    near = np.argsort(-find(own_words(known), sources.texts).of(), kind="stable")
    found: dict[str, dict[str, None]] = {}
    for text in (sources.texts[int(i)] for i in near):
        for name, kind in _kinds(text).items():
            found.setdefault(kind, {})[text[name.start : name.end]] = None
    return {kind: list(texts) for kind, texts in found.items()}


def _tokens(text: str) -> set[str]:
    return set(re.findall(r"\w+", fold(text)))


@lru_cache(maxsize=4096)
def _kinds(text: str) -> dict[Name, str]:
    """The names of a text that have a kind: months, years, measures by what they measure, and names of anything else."""
    counted = {number[:2]: number for number in numbers(text)}
    found = {}
    for name in names(text):
        said = text[name.start : name.end]
        number = counted.get(name[:2])
        if name.kind == "name":
            found[name] = "month" if fold(said) in MONTHS else "name"
        elif number is not None and number.unit is not None:
            found[name] = number.unit.kind
        elif said.isdecimal() and len(said) == 4:
            found[name] = "year"
    return found
