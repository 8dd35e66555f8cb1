"""Spans that stand word for word in texts, against every span tried, and what chance gives where words are independent."""

import numpy as np
import pytest

from llmattr.retrieval.verbatim import Corpus
from llmattr.retrieval.wording import forms, words

ALL = 1e300  # spans that chance may give: none is left out


def spans(corpus, answer, chance=ALL):
    """What is found, by words."""
    said = [(word.start, word.end) for word in words(answer)]
    first, last = {start: i for i, (start, _) in enumerate(said)}, {end: i + 1 for i, (_, end) in enumerate(said)}
    return {(first[q.start], last[q.end]): (q.count, q.rows.tolist()) for q in corpus.quoted(answer, chance).quotes}


def every_span(texts, answer):
    """The same by trying every span of the answer at every place of every text."""
    texts, said = [list(forms(text)) for text in texts], list(forms(answer))
    found = {}
    for first in range(len(said)):
        for last in range(first + 1, len(said) + 1):
            span = said[first:last]
            rows = [n for n, text in enumerate(texts) for i in range(len(text)) if text[i : i + len(span)] == span]
            if rows:
                found[first, last] = (len(rows), sorted(set(rows)))
    inside = {(a, b) for a, b in found for c, d in found if c <= a and b <= d and (a, b) != (c, d)}
    return {span: said for span, said in found.items() if span not in inside}


def random_texts(rng, many, longest, vocabulary):
    return [" ".join(rng.choice(vocabulary, rng.integers(0, longest))) for _ in range(many)]


@pytest.mark.parametrize("words", ["ab", "abcdefgh", ["a", "is", "1889", "塔", "🗼", "é", "الكتاب"]])
def test_spans_are_those_of_trying_every_one(words):
    rng = np.random.default_rng(len(words))
    vocabulary = list(words)
    for _ in range(334):  # 1,002 corpora with the three vocabularies
        texts = random_texts(rng, rng.integers(0, 6), 12, vocabulary)
        answer = " ".join(rng.choice([*vocabulary, "unheard"], rng.integers(0, 14)))
        assert spans(Corpus.of(texts), answer) == every_span(texts, answer)
