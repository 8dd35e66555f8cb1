"""Training rows that give away a test set: they say what one of its rows says, nearly or word for word."""

from collections import Counter, defaultdict

import numpy as np
from jaxtyping import Int

from llmattr.core.progress import progress
from llmattr.curation.finding import Finding
from llmattr.curation.kept import Kept
from llmattr.curation.texts import Texts, spaced
from llmattr.retrieval.duplicates import near_duplicates, resemblance
from llmattr.retrieval.verbatim import CHANCE, Corpus
from llmattr.retrieval.wording import forms

SPAN = 13  # words in a row, or a test row that has fewer as a whole
COMMON = 10  # rows that have them, at most: what more have is a phrase or a template

Copied = Int[np.ndarray, "k 3"]  # row, test row, how many runs of words they share


def contamination(texts: Texts, test: Texts, kept: Kept) -> list[Finding]:
    """Rows that say nearly what a test row says, and rows that share 13 words in a row with one.

    Near: 0.8 of the shingles of both (`near_duplicates`). Word for word: runs of 13 words that 10 rows at most have (Brown et
    al. 2020, arXiv 2005.14165, appendix C); a shorter test row as a whole, where it is rarer than what chance gives.
    """
    if not len(test):
        return []
    near = _near(texts, test, kept)
    found = [Finding("contaminated", row, f"says {how}the same", of) for row, (of, how) in near.items()]
    best: dict[int, tuple[int, int]] = {}
    for row, of, runs in kept.part("copied from test", lambda: _copied(texts, test)).tolist():
        best[row] = max(best.get(row, (0, 0)), (runs, -of))
    for row, (runs, of) in best.items():
        if row not in near:
            words = f"{SPAN + runs - 1} words" if len(list(forms(test.whole[-of]))) > SPAN else "all words"
            found.append(Finding("contaminated", row, f"has {words} of it", -of))
    return sorted(found, key=lambda one: one.row)


def _near(texts: Texts, test: Texts, kept: Kept) -> dict[int, tuple[int, str]]:
    """Of each row that says what a test row says the first such test row, and "nearly " where it does not word for word."""
    n, every = len(texts), [*texts.whole, *test.whole]
    groups, alike = kept.part("near with test", lambda: near_duplicates(every)), resemblance(every)
    tests: dict[int, list[int]] = defaultdict(list)
    for of, group in enumerate(groups[n:].tolist()):
        tests[group].append(of)
    found = {}
    for row, group in enumerate(groups[:n].tolist()):
        of = next((of for of in tests.get(group, ()) if alike(row, n + of)), None)
        if of is not None:
            found[row] = of, "" if spaced(every[row]) == spaced(every[n + of]) else "nearly "
    return found


def _copied(texts: Texts, test: Texts) -> Copied:
    corpus = Corpus.of(progress(texts.whole, "sorting the rows' words", "rows"))
    found = []
    for of, text in enumerate(progress(test.whole, "looking for the test set", "test rows")):
        found += [(row, of, runs) for row, runs in _runs(corpus, text).items()]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _runs(corpus: Corpus, text: str) -> Counter[int]:
    """The rows that have runs of the text's words, and how many."""
    unknown = len(corpus.known) + 1
    numbers = np.array([corpus.known.get(form, unknown) for form in forms(text)], dtype=np.int32)
    length = min(SPAN, len(numbers))
    by_chance = len(numbers) * corpus.size * np.exp(-corpus.surprise[numbers].sum())  # as `Corpus.quoted` has it
    found: Counter[int] = Counter()
    if not length or (length < SPAN and by_chance > CHANCE):
        return found
    for start in range(len(numbers) - length + 1):
        run = numbers[start : start + length]
        places = corpus.suffixes.places(run) if unknown not in run else run[:0]
        if 0 < len(places) <= COMMON:
            found.update(np.unique(np.searchsorted(corpus.starts, places, side="right") - 1).tolist())
    return found
