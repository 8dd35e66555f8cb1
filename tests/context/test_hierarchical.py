"""Blocks first, then the sources of those that matter; and what documents add up to."""

import numpy as np
import pytest

from llmattr.context.methods.hierarchical import Hierarchical, _blocks, _opened, _spread
from llmattr.context.removal.ablation import ContextAblation
from llmattr.core.sources import Sources
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests.context.test_evidence import ANSWER, World

DOCUMENTS = [
    {"id": f"d{d}", "text": " ".join(f"Lock {d} has part {i}." for i in range(20))} for d in range(10)
]  # 200 sentences


@pytest.fixture(scope="module")
def world(tiny):
    """200 sentences in 10 documents: 43 gives 8, 150 gives 5, and 7 takes 3 from each target."""
    chat = conversation(DOCUMENTS, "What?")
    prompt = Prompt(tiny.tokenizer, chat, cut(chat, "sentences")).with_response(ANSWER)
    weights = np.zeros(200)
    weights[[43, 150, 7]] = 8, 5, -3
    asked = []

    def function(masks):
        asked.append(len(masks))
        return masks @ weights + 1.5

    return (
        World(tiny, prompt, prompt.targets(), ContextAblation(tiny, prompt, prompt.targets()).store, function),
        weights,
        asked,
    )


def test_the_sentences_that_matter_are_found_at_the_stated_cost(world):
    ablation, weights, asked = world
    asked.clear()
    result = Hierarchical(opened=3).attribute(ablation)
    assert sum(asked) <= 3 * 64  # the world keeps nothing: blocks are asked for twice
    assert result.values.shape == (3, 200)
    best = np.argsort(-np.abs(result.values[0]))[:3]
    assert set(best) == {43, 150, 7}
    # Noise-free and linear: what is opened is fitted to the last digit that held-out choice of the penalty leaves.
    np.testing.assert_allclose(result.values[0, best], weights[best], atol=0.05)
    assert result.lds[0] > 0.99


def test_a_document_is_the_sum_of_its_sentences_and_predictions_add_up(world):
    ablation, weights, _ = world
    result = Hierarchical().attribute(ablation)
    documents = result.by_document()
    np.testing.assert_allclose(documents.values, result.values.reshape(3, 10, 20).sum(axis=2), atol=1e-12)
    full = np.ones((1, 200), dtype=bool)
    np.testing.assert_allclose(result.predict(full)[0], weights.sum() + 1.5, atol=0.1)


def test_blocks_never_span_documents_and_are_even():
    sources = Sources("sentences", [str(i) for i in range(13)], ["x"] * 13, groups=np.repeat([0, 1, 2], [9, 1, 3]))
    assert _blocks(sources, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 4, 4]
    assert _blocks(sources, 100).tolist() == [0] * 9 + [1] + [2] * 3


def test_opened_blocks_and_their_prior():
    blocks = np.array([0, 0, 1, 1, 1, 2])
    finer = _opened(blocks, np.array([[0.1, -5.0, 1.0], [0.2, -4.0, 0.1]]), 1)
    assert len(set(finer[2:5])) == 3  # opened: the strongest of both targets, though it opposes
    assert finer[0] == finer[1] != finer[5]
    spread = _spread(np.array([[1.0, -6.0, 2.0]]), blocks, finer)
    assert spread[0][finer].tolist() == [1.0, 1.0, -2.0, -2.0, -2.0, 2.0]


def test_a_later_span_costs_nothing(counted):
    from llmattr import cite

    lm, asked = counted
    result = cite(lm, DOCUMENTS[:3], "What?", response=ANSWER, method=Hierarchical(n_ablations=16), verify=False)
    before = sum(asked)
    assert before <= 32
    result.span("1914")
    assert sum(asked) == before
