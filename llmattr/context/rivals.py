"""Other names of the documents in a name's place: does the model find one of them far likelier there?

A wrong name that the documents do contain passes every test of what stands where, and the context makes it likelier too.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
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
from llmattr.text.split import sentences
from llmattr.text.split.languages import language_of
from llmattr.text.tokens import Cutter
from llmattr.text.units import MONTHS, Unit, fold

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

    Of its names and numbers that the question does not tell, three are tried: five others of the same kind (months, years,
    numbers of one unit) stand in the place of each, those of the documents' sentences with the most words of question and
    sentence; no name that a sentence has together with this one, since both may be right. A rival's nats are
    `log p(other, rest of the sentence) - log p(name, rest)` behind all sources and the same beginning. `full`: the
    log-probabilities of the response's tokens with all sources. A server is not asked: it would cut every other into tokens,
    one after the other.
    """
    prompt = ablation.prompt
    if isinstance(prompt.tokenizer, Cutter):
        return {}
    spans = ablation.targets.spans
    assert spans is not None  # of a response, targets are parts of it
    places = {t: (int(spans[t, 0]), int(spans[t, 1])) for t in targets}
    passages = _passages(ablation.sources)
    tried = [one for t in targets for one in _tried(prompt.response, places[t], t, question, passages)]
    ends = {t: _end(prompt, places[t][1]) for t in targets}
    others = [(one, prompt.with_response(_said(prompt.response, one, ends[one.target]))) for one in tried]
    others = [(one, other) for one, other in others if _fits(ablation.lm.window, other)]
    found: dict[int, Rival] = {}
    for (one, other), logprobs in zip(others, ablation.other_logprobs([other for _, other in others]), strict=True):
        nats = _from(other, logprobs, one.start) - _from(prompt, full, one.start, ends[one.target])
        if nats >= max(RIVAL, found[one.target].nats if one.target in found else RIVAL):
            found[one.target] = Rival(one.start, one.end, one.other, nats)
    return found


def _end(prompt: Prompt, end: int) -> int:
    """Where the token ends that holds the target's last character: a break behind the sentence may be part of it."""
    assert prompt.response_offsets is not None  # a prompt with a response has them
    starts, ends = prompt.response_offsets.T
    return int(ends[starts < end].max(initial=end))


def _fits(window: int | None, prompt: Prompt) -> bool:
    return window is None or len(prompt.full().ids) <= window


def _said(response: str, one: _Tried, end: int) -> str:
    """The response up to `end`, with the other name."""
    return response[: one.start] + one.other + response[one.end : end]


def _from(prompt: Prompt, logprobs: Float[np.ndarray, " r"], start: int, end: int | None = None) -> float:
    """The log-probability of the response's characters from `start` to `end`."""
    assert prompt.response_offsets is not None  # a prompt with a response has them
    starts, ends = prompt.response_offsets.T
    return float(logprobs[(ends > start) & (starts < (len(prompt.response) if end is None else end))].sum())


def _passages(sources: Sources) -> list[str]:
    """The documents' sentences, whatever the sources are."""
    if sources.kind == "sentences":
        return list(sources.texts)
    whole = [document.text for document in sources.documents] or sources.texts
    return [sentence for text in whole for sentence in sentences(text)]


def _tried(response: str, place: tuple[int, int], target: int, question: str, passages: Sequence[str]) -> Iterator[_Tried]:
    """Each name of the target's that is tried, with each that stands in its place."""
    start, end = place
    sentence = response[start:end]
    candidates = _candidates(f"{question}\n{sentence}", passages)
    kinds, told = _kinds(sentence), _tokens(f"{question}\n{sentence}")
    own = [name for name in missing(sentence, [question]) if kinds.get(name) in candidates]
    for name in own[:NAMES]:
        said = sentence[name.start : name.end]
        others = (
            other
            for other, holding in candidates[kinds[name]].items()
            if (name.kind == "number" or _is_another(other, said, told, [passages[i] for i in holding]))
            and name in missing(sentence, [other])  # NHL is the National Hockey League, 12.9 is about 13
        )
        yield from (_Tried(target, start + name.start, start + name.end, other) for other in islice(others, OTHERS))


def _is_another(other: str, said: str, told: set[str], holding: Sequence[str]) -> bool:
    """Whether a name is new beside what is `told`, has no word of the one that was said, and no sentence has both."""
    return not _tokens(other) <= told and _tokens(other).isdisjoint(_tokens(said)) and not any(said in text for text in holding)


def _candidates(known: str, passages: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Names of the passages by kind, with those that have them; the names that stand near what is known first."""
    near = np.argsort(-find(own_words(known), passages).of(), kind="stable")
    found: dict[str, dict[str, list[int]]] = {}
    for i in near.tolist():
        text = str(passages[i])
        for name, kind in _kinds(text).items():
            found.setdefault(kind, {}).setdefault(text[name.start : name.end], []).append(i)
    return found


def _tokens(text: str) -> set[str]:
    return set(re.findall(r"\w+", fold(text)))


@lru_cache(maxsize=4096)
def _kinds(text: str) -> dict[Name, str]:
    """The names and numbers of a text by kind: months, years, numbers of each unit and of none, and other names."""
    language = language_of(text)
    units = {number[:2]: number.unit for number in numbers(text, language)}
    return {name: _kind(text[name.start : name.end], name, units.get(name[:2])) for name in names(text, language)}


def _kind(said: str, name: Name, unit: Unit | None) -> str:
    if name.kind == "name":
        return "month" if fold(said) in MONTHS else "name"
    return "year" if said.isdecimal() and len(said) == 4 else f"number of {unit.kind if unit else 'anything'}"
