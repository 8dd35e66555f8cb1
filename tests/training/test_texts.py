"""Indexes of texts alone: what is kept of the rows answers as the rows themselves do."""

import numpy as np
import pytest

from llmattr import build_index, open_index
from llmattr.retrieval.bm25 import Weights, bm25_scores
from llmattr.training import texts
from llmattr.training.index.search import Top
from llmattr.training.methods import METHODS

WORDS = [f"w{i}" for i in range(30)]
ASKED = [{"text": "w1 w2 w2"}, {"text": "w29 stranger"}, {"text": "stranger"}]


def rows_of(n):
    rng = np.random.default_rng(0)
    return [{"text": " ".join(rng.choice(WORDS, size=rng.integers(1, 9)))} for _ in range(n)]


@pytest.mark.parametrize("idf", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
def test_what_is_kept_scores_as_the_texts_do(tmp_path, idf):
    rows, asked = [row["text"] for row in rows_of(40)], [query["text"] for query in ASKED]
    Weights.of(iter(rows), idf=idf).save(tmp_path)
    np.testing.assert_array_equal(Weights.open(tmp_path, 40).scores(asked), bm25_scores(rows, asked, idf=idf))


def test_texts_without_a_word(tmp_path):
    Weights.of(["", "!"]).save(tmp_path)
    np.testing.assert_array_equal(Weights.open(tmp_path, 2).scores(["w1", ""]), np.zeros((2, 2)))


def test_a_question_reads_no_text(tmp_path, monkeypatch):
    index = build_index(None, rows_of(40), tmp_path / "i", "bm25")
    expected = bm25_scores([row["text"] for row in rows_of(40)], [query["text"] for query in ASKED])
    monkeypatch.setattr(type(index.index), "texts", None)
    found = open_index(tmp_path / "i").query(ASKED, None, foreign=0)
    np.testing.assert_array_equal(np.sort(found.values), np.sort(expected))
    assert [found[t].top(1)[0].id for t in range(2)] == [str(np.argmax(scores)) for scores in expected[:2]]


def test_rows_that_are_added_count(tmp_path):
    build_index(None, rows_of(40)[:30], tmp_path / "i", "bm25")
    index = build_index(None, rows_of(40)[30:], tmp_path / "i", "bm25", append=True)
    whole = build_index(None, rows_of(40), tmp_path / "j", "bm25")
    np.testing.assert_array_equal(index.query(ASKED, 5).values, whole.query(ASKED, 5).values)


def test_another_method_and_an_index_that_kept_nothing_read_the_texts(tmp_path):
    index = build_index(None, rows_of(40), tmp_path / "i", "bm25")
    rows, asked = [row["text"] for row in rows_of(40)], [query["text"] for query in ASKED]
    other = index.query(ASKED, 1, method=METHODS["bm25"](k1=0.1)).values.max(axis=1)
    np.testing.assert_array_equal(other, bm25_scores(rows, asked, k1=0.1).max(axis=1))
    for kept in (tmp_path / "i").glob("kept.*"):
        kept.unlink()
    np.testing.assert_array_equal(index.query(ASKED, 1).values.max(axis=1), bm25_scores(rows, asked).max(axis=1))


def test_groups_of_queries_choose_as_all_do(tmp_path, monkeypatch):
    index = build_index(None, rows_of(40), tmp_path / "i", "bm25")
    together = index.query(ASKED, 3, foreign=0)
    monkeypatch.setattr(texts, "NUMBERS", 50)  # one query at a time
    alone = index.query(ASKED, 3, foreign=0)
    np.testing.assert_array_equal(alone.values, together.values)
    rng, parts = np.random.default_rng(0), [Top(t, 4) for t in (2, 1)]
    scores = rng.standard_normal((3, 20))
    for part, some in zip(parts, (scores[:2], scores[2:]), strict=True):
        part.add(np.arange(20), some)
    one, both = Top(3, 4).over([(np.arange(20), scores)]), Top.joined(parts)
    assert all(np.array_equal(a, b) for a, b in zip(one.result(), both.result(), strict=True))
    np.testing.assert_array_equal(both.sums, one.sums)
