"""An index of texts alone, for methods that ask no model: what is kept of the rows, and what they are compared with."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe
from llmattr.core.processes import is_main
from llmattr.core.progress import Progress
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError, check_text
from llmattr.retrieval.verbatim import Quote, Quoted, places
from llmattr.text.checked import kind_of_row
from llmattr.text.row_files import Rows
from llmattr.text.rows import row_text
from llmattr.training.contract import KeepingMethod, QuotingMethod, TextMethod
from llmattr.training.index.files import building, check_bytes, read_run
from llmattr.training.index.rows import GROUP
from llmattr.training.index.search import Top
from llmattr.training.index.store import GradientIndex, check_empty, refuse_other

NUMBERS = 2**24  # scores that are in memory at once


def keep(
    method: TextMethod | QuotingMethod, rows: Sequence[dict[str, Any]], out: Path, read: Mapping[str, Any], append: bool
) -> GradientIndex:
    """The rows on disk, made by the first of several processes, which others wait for, with what a method that quotes keeps.

    What was killed before its end is begun anew, of all its rows.
    """
    from accelerate import PartialState

    with PartialState().main_process_first(), building(out) if is_main() else nullcontext():
        index = _begin(method, rows, out, read, append)
        if not index.run.get("complete"):
            if isinstance(method, KeepingMethod | QuotingMethod):
                method.keep(_texts(index), out)
            index.done[:] = 1
            index.done.flush()
            index.finish()
    return GradientIndex.open(out)


def _begin(
    method: TextMethod | QuotingMethod, rows: Sequence[dict[str, Any]], out: Path, read: Mapping[str, Any], append: bool
) -> GradientIndex:
    """The index begun, gone on with, or finished."""
    run = {"method": describe(method), "row_type": "int8", "dim": 0}
    if (out / "run.json").exists():
        begun = read_run(out)
        refuse_other(out, begun, run)
        check_bytes(out, begun["checksums"])
    else:
        check_empty(out)
    return GradientIndex.create(out, {**run, "data_hash": _digest(rows), "read": dict(read)}, rows, append)


def _digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """A hash of all texts; raises `LlmattrError` for a row that has none."""
    digest, called = hashlib.sha256(), rows.name if isinstance(rows, Rows) else "row {}".format
    for number, row in enumerate(rows):
        kind_of_row(row, f"{called(number)}: ")
        digest.update(check_text(row_text(row), called(number)).encode() + b"\0")
    return digest.hexdigest()[:16]


def _texts(index: GradientIndex) -> Iterator[str]:
    """The rows' texts, of which only some are in memory at once."""
    with Progress(len(index), "indexing", "rows") as bar:
        for start in range(0, len(index), GROUP):
            rows = index.rows(range(start, min(start + GROUP, len(index))))
            yield from map(row_text, rows)
            bar.update(len(rows))


def compared(method: TextMethod, index: GradientIndex, queries: Sequence[Mapping[str, Any]], top: int) -> Top:
    """The best and worst rows of each query; raises `LlmattrError` for a method that gives anything but scores [t, n]."""
    asked = [row_text(query) for query in queries]
    if isinstance(method, KeepingMethod) and _is_kept(method, index):
        size = max(1, NUMBERS // len(index))
        return Top.joined([_of_kept(method, index, asked[t : t + size], top) for t in range(0, len(asked), size)])
    rows = index.texts()
    with unchanged(method.name, lambda: {"rows": list(rows), "queries": list(asked)}):
        return _best(method, "retrieve", method.retrieve(rows, asked), (len(asked), len(rows)), top)


def _is_kept(method: KeepingMethod, index: GradientIndex) -> bool:
    """Whether it is what the index was built with, by a version that kept something."""
    return describe(method) == index.run["method"] and any(index.folder.glob("kept.*"))


def _of_kept(method: KeepingMethod, index: GradientIndex, asked: list[str], top: int) -> Top:
    """The best and worst rows of some queries, by what was kept of the rows."""
    with unchanged(method.name, lambda: {"queries": list(asked)}):
        found = method.retrieve_kept(index.folder, len(index), asked)
        return _best(method, "retrieve_kept", found, (len(asked), len(index)), top)


def _best(method: TextMethod, verb: str, found: Float[np.ndarray, "t n"], shape: tuple[int, int], top: int) -> Top:
    """Of scores that are there at once."""
    scores = returned(method, verb, found, np.ndarray, shape)
    best = Top(len(scores), top)
    best.add(np.arange(scores.shape[1]), scores)
    return best


def quoted(method: QuotingMethod, index: GradientIndex, answers: Sequence[str]) -> list[Quoted]:
    """What of each answer stands in rows; raises `LlmattrError` for a method that gives anything else."""
    with unchanged(method.name, lambda: {"answers": list(answers)}):
        found = list(returned(method, "quote", method.quote(index.folder, answers), Sequence))
    if len(found) != len(answers) or not all(isinstance(one, Quoted) for one in found):
        raise LlmattrError(f"{method.name}: quote must give a Quoted for each of {len(answers)} answers")
    return found


def rarities(found: Sequence[Quoted], n: int) -> Float[np.ndarray, "t n"]:
    """Each row's sum of the rarities of the spans that stand in it, in nats; not of those within others of the row's."""
    values = np.zeros((len(found), n))
    for row, one in zip(values, found, strict=True):
        for quote in one.quotes:
            wider = [other.rows for other in one.quotes if _within(quote, other)]
            row[np.setdiff1d(quote.rows, np.concatenate(wider)) if wider else quote.rows] += quote.rarity
    return values


def _within(one: Quote, other: Quote) -> bool:
    """Whether a span is a part of a longer one."""
    return other.start <= one.start and one.end <= other.end and one.words < other.words


def told(result: Attribution, found: Sequence[Quoted]) -> list[dict[str, Any]]:
    """The spans of each target as a result has them, with their places in the rows that were returned.

    `{words, by_chance, spans: [{start, end, text, words, rarity, by_chance, count, rows, outermost, places}]}`, rows how many,
    a place `{id, start, end}`.
    """
    texts = {int(row): text for row, text in zip(result.sources.ids, result.sources.texts, strict=True)}

    def span(answer: str, quote: Quote) -> dict[str, Any]:
        text = answer[quote.start : quote.end]
        shown = [(row, at) for row in quote.rows.tolist() if row in texts for at in places(texts[row], text)]
        where = [{"id": str(row), "start": start, "end": end} for row, (start, end) in shown]
        return asdict(quote) | {"rows": len(quote.rows), "text": text, "places": where}

    return [
        {"words": one.words, "by_chance": one.by_chance, "spans": [span(answer, quote) for quote in one.quotes]}
        for answer, one in zip(result.targets.texts, found, strict=True)
    ]
