"""The context methods that ask little or nothing of the model, in closed form; what they share with training."""

import numpy as np
import pytest

from llmattr import cite
from llmattr.context import METHODS
from llmattr.context.removal.ablation import ContextAblation
from llmattr.errors import LlmattrError
from llmattr.report.text import terminal
from llmattr.retrieval.bm25 import bm25_scores, terms
from llmattr.retrieval.encoder import Encoder
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests import worlds

CONTEXT = "The canal is long. It has three locks. It opened in 1914. Ships pay a toll."
ANSWER = "It opened in 1914. It has locks."


def test_alone_is_its_definition(tiny):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="alone")
    chat = conversation(CONTEXT, "When?")
    prompt = Prompt(tiny.tokenizer, chat, cut(chat, "sentences")).with_response(ANSWER)
    ablation = ContextAblation(tiny, prompt, prompt.targets())
    none, *each = ablation(np.concatenate([np.zeros((1, 4), dtype=bool), np.eye(4, dtype=bool)]))
    np.testing.assert_allclose(result.values, np.transpose(each - none), atol=1e-10)
    np.testing.assert_allclose(result.predict(np.eye(4, dtype=bool)), each, atol=1e-10)
    assert result.unit == "nats of log-odds"


def test_alone_sees_both_of_two_sources_that_suffice():
    assert METHODS["alone"]().attribute(worlds.either(4)).values.tolist() == [[1, 1, 0, 0]]
    assert METHODS["leave-one-out"]().attribute(worlds.either(4)).values.tolist() == [[0, 0, 0, 0]]


def test_alone_and_leave_one_out_agree_where_sources_add_up():
    world = worlds.linear([[3, 1, 0, -2]], [5])
    result = METHODS["alone"]().attribute(world)
    np.testing.assert_allclose(result.values, [[3, 1, 0, -2]])
    np.testing.assert_allclose(result.baseline, [5])


@pytest.mark.parametrize(("name", "unit"), [("bm25", "BM25"), ("embeddings", "cosine")])
def test_similarities_find_what_is_alike_and_cite_nothing(tiny, name, unit):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method=name)
    assert [target.top(1)[0].source for target in result][1:] == [2, 1]
    assert result.unit == unit
    assert not result.cited.any()
    with pytest.raises(LlmattrError, match="gives scores, not predictions"):
        result.predict(np.ones((1, 4), dtype=bool))


def test_a_cosine_of_equal_texts_is_one(tiny):
    result = cite(tiny, CONTEXT, "When?", response="It has three locks.", method="embeddings")
    np.testing.assert_allclose(result.values[0, 1], 1, atol=1e-6)  # float32 encoder
    assert (np.abs(result.values) <= 1 + 1e-6).all()


def test_bm25_by_hand():
    # One text holds the word; its length is the mean. Lucene: ln(1 + (n - df + .5) / (df + .5)) f / (f + k1).
    scores = bm25_scores(["tall tower", "long bridge"], ["Tower!", "nothing", "TOWER tower"])
    once = np.log(1 + 1.5 / 1.5) * 1 / (1 + 1.5)
    np.testing.assert_allclose(scores, [[once, 0], [0, 0], [2 * once, 0]], rtol=1e-6)  # bm25s sums in float32
    np.testing.assert_array_equal(bm25_scores(["...", "!"], ["word"]), [[0, 0]])
    assert terms("Das Ärgernis, 高い塔 3") == ["das", "ärgernis", "高", "い", "塔", "3"]


def test_texts_are_encoded_alike_in_any_batch():
    encoder = Encoder.load("minilm")
    texts = ["One.", "A sentence that is quite a lot longer than the other one."]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)
    assert alone.shape == (2, encoder.dim)
    with pytest.raises(LlmattrError, match="cannot load the encoder 'nowhere'"):
        Encoder.load("nowhere")


def test_reports_rank_what_cites_nothing(tiny):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="bm25")
    text = terminal(result, 2)
    assert "they cite nothing" in text
    assert f"\n{ANSWER.split()[0]}" in f"\n{text}"  # the question is not in front of it, as a trace's prompt is
    assert "context#2  It opened in 1914." in text
    assert "no source stands clear" not in text
    page = result.html()
    assert "they cite nothing" in " ".join(page.split())
    assert "more alike" in page
    assert "Training rows" not in page
    assert "stands clear of its error" not in page
