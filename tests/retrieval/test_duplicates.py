"""Near-duplicates: the same groups as by comparing every pair, with few pairs compared."""

import numpy as np
import pytest

from llmattr.retrieval.bm25 import terms
from llmattr.retrieval.duplicates import ALIKE, _candidates, _shingles, near_duplicates


def by_pairs(texts):
    """Each text's group, by the definition: shingles as words, every pair."""
    words = [terms(text) for text in texts]
    sets = [{tuple(some[k : k + 3]) for k in range(max(1, len(some) - 2))} for some in words]
    group = np.arange(len(texts))
    for i, one in enumerate(sets):
        for j in range(i):
            if len(one & sets[j]) >= ALIKE * len(one | sets[j]):
                group[group == group[i]] = group[j]
    return group


def partition(groups):
    """Which pairs are in one group."""
    return np.equal.outer(groups, groups)


def changed(random, words, text):
    """A word replaced, taken out or put in, at up to two places."""
    text = list(text)
    for _ in range(random.integers(3)):
        place = random.integers(len(text) + 1)
        text[place : place + random.integers(2)] = random.choice(words, random.integers(2)).tolist()
    return text


@pytest.mark.parametrize("length", [2, 6, 12, 25])
def test_the_groups_are_those_of_all_pairs(length):
    """Of 100 corpora of 30 texts each, of few words, half of them changed copies: resemblances lie on both sides of 0.8."""
    random = np.random.default_rng(length)
    words, both = [f"w{i}" for i in range(12)], 0
    for _ in range(100):
        texts = []
        for _ in range(30):
            copied = texts and random.random() < 0.5
            texts.append(
                changed(random, words, texts[random.integers(len(texts))])
                if copied
                else random.choice(words, random.integers(length + 1)).tolist()
            )
        said = [" ".join(text) for text in texts]
        found, expected = near_duplicates(said), by_pairs(said)
        np.testing.assert_array_equal(partition(found), partition(expected))
        both += len(set(expected)) > 1
    assert both == 100


def test_what_is_alike_by_just_so_much():
    """8 of 10 shingles are enough, 7 of 9 are not: 9 shingles of which 1 is replaced, 8 with a word less at the end."""
    ten = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]  # 9 shingles
    assert len(set(near_duplicates([" ".join(ten), " ".join([*ten[:-1], "x"])]))) == 1  # 8 / 10
    assert len(set(near_duplicates([" ".join(ten[:-1]), " ".join([*ten[:-2], "x"])]))) == 2  # 7 / 9


@pytest.mark.slow
def test_few_pairs_are_compared():
    """Of 3,000 texts of 60 words of Zipf's law, 4.5 million pairs, and each with one copy: as many pairs as copies, or two."""
    random = np.random.default_rng(0)
    chances = 1 / np.arange(1, 10_001)
    numbers = random.choice(10_000, (1500, 60), p=chances / chances.sum())
    texts = [" ".join(f"w{i}" for i in row) for row in numbers]
    texts += [f"{text} more" for text in texts]
    words = {word: number for number, word in enumerate({word for text in texts for word in terms(text)}, 1)}
    sets = [_shingles(text, words) for text in texts]
    compared = sum(1 for _ in _candidates(sets))
    assert 1500 <= compared <= 3000
    assert (near_duplicates(texts) == np.tile(np.arange(1500), 2)).all()
