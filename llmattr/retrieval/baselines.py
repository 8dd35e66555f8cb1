"""Scores that know nothing of what was said: what a method has to beat."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from llmattr.core.seeded import generator
from llmattr.retrieval.bm25 import terms

MEANING = "a baseline to compare methods with; it says nothing of what was said"


def random_scores(texts: Sequence[str], queries: Sequence[str], seed: int = 0) -> Float[np.ndarray, "t n"]:
    """Standard normal numbers, each drawn from the seed and the two texts alone.

    So neither the order of the texts nor what else there is changes a score, and equal texts have equal ones.

    >>> one, two = random_scores(["a", "b"], ["q"]), random_scores(["b", "c", "a"], ["q"])
    >>> bool((one[0] == two[0, [2, 0]]).all())
    True
    """
    scores = [generator(seed, query, text).standard_normal() for query in queries for text in texts]
    return np.reshape(scores, (len(queries), len(texts)))


def lengths(texts: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
    """How many characters each text has, whatever is asked.

    >>> lengths(["one", "three"], ["q"]).tolist()
    [[3.0, 5.0]]
    """
    return np.tile([float(len(text)) for text in texts], (len(queries), 1))


def word_shares(texts: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
    """The share of the query's different words that each text has, from 0 to 1.

    >>> word_shares(["The tower is tall.", "Rain"], ["Is the tower red?"]).tolist()
    [[0.75, 0.0]]
    """
    asked = [set(terms(query)) for query in queries]
    said = [set(terms(text)) for text in texts]
    shares = [len(one & words) / max(len(one), 1) for one in asked for words in said]
    return np.reshape(shares, (len(queries), len(texts)))
