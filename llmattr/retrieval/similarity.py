"""How alike answers are to what was said: by a sentence encoder, or by their words."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from llmattr.errors import LlmattrError
from llmattr.retrieval.bm25 import terms
from llmattr.text import split

WORDS = "words"  # in place of an encoder's name
AT_ONCE = 64  # texts that are encoded together


def usual() -> str:
    """The embedded sentence encoder where its package is installed, else words."""
    from llmattr.model.embedded import encoder_folder

    try:
        encoder_folder("minilm")
    except LlmattrError:
        return WORDS
    return "minilm"


def similarities(answers: Sequence[str], said: Sequence[str], by: str = WORDS) -> Float[np.ndarray, "m t"]:
    """How alike each answer is to each thing said: the best of the whole answer and its sentences, 0 for an empty answer.

    `by`: an encoder (hub id, folder or "minilm"), whose cosine it is, or "words": F1 of the words that both have, counted as
    often as they stand there (ROUGE-1's, Lin 2004).

    >>> similarities(["It opened in 1914. It is long.", "No.", ""], ["It opened in 1914."]).round(2).tolist()
    [[1.0], [0.0], [0.0]]
    """
    parts = [_parts(answer) for answer in answers]
    texts = list(dict.fromkeys([part for some in parts for part in some] + list(said)))
    place = {text: number for number, text in enumerate(texts)}
    targets = [place[text] for text in said]
    alike = _word_f1(texts, said) if by == WORDS else _cosines(texts, targets, by)
    rows = [alike[[place[part] for part in some]].max(axis=0) if some else np.zeros(len(said)) for some in parts]
    return np.reshape(rows, (len(answers), len(said)))


def _parts(answer: str) -> list[str]:
    """An answer and its sentences; none of an empty one."""
    if not answer.strip():
        return []
    return [answer, *(answer[a:b] for a, b in split.cut(answer, "sentences", "answer").spans)]


def _word_f1(texts: Sequence[str], said: Sequence[str]) -> Float[np.ndarray, "k t"]:
    """`2 |both| / (|one| + |other|)` of bags of words."""
    ones, others = ([Counter(terms(text)) for text in some] for some in (texts, said))
    rows = [[2 * (one & other).total() / max(one.total() + other.total(), 1) for other in others] for one in ones]
    return np.reshape(rows, (len(texts), len(said))).astype(float)


def _cosines(texts: Sequence[str], targets: Sequence[int], encoder: str) -> Float[np.ndarray, "k t"]:
    from llmattr.retrieval.encoder import Encoder

    loaded = Encoder.load(encoder)
    vectors = np.concatenate([loaded.encode(texts[i : i + AT_ONCE]) for i in range(0, len(texts), AT_ONCE)])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors @ vectors[targets].T).astype(float)
