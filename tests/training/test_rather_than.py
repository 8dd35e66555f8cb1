"""Questions against another answer: which rows taught this and not that."""

import numpy as np
import pytest

from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.questions import other_of
from llmattr.text.rows import tokenize
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.layers import tracked_layers
from llmattr.training.methods.influence import Stream
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_questions import EXACT
from tests.training.test_trace_methods import dense
from tests.training.test_training import ASKED, ROWS

OTHER = "a deep dark grey."
AGAINST = {**ASKED, "rather_than": OTHER}


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grad-dot", "logra", "tracin", "trak", "stream", "ekfac", "cg", "source"])
def test_of_a_linear_method_it_is_the_difference_of_both_answers_scores(lm, tmp_path, name):
    """`(g - g') H^-1 phi = g H^-1 phi - g' H^-1 phi`: relative error at the rounding of float32 rows, or of CG's residual."""
    options = {"projection": Projection(kind="random", dim=64), "row_type": "float32"}
    runs = {"checkpoints": [lm, lm], "learning_rates": [0.5, 2.0]} if name == "source" else {}
    index = build_index(None if runs else lm, ROWS, tmp_path / "i", name, **options, **runs)
    answers = [ASKED, {**ASKED, "completion": OTHER}]
    found, one, other = (dense(index.query(asked, None)) for asked in (AGAINST, *answers))
    scale = np.abs(one).max() + np.abs(other).max()
    np.testing.assert_allclose(found, one - other, rtol=0, atol=(1e-3 if name == "cg" else 1e-5) * scale)
    assert np.abs(found).max() > 0.01 * scale


@pytest.mark.parametrize("method", ["grad-cos", Stream("cosine"), Stream("cosine", rank=32)])
def test_a_cosine_is_that_of_the_difference(lm, tmp_path, method):
    layers = tracked_layers(lm, "auto")
    rows = exact_gradients(lm, tokenize(ROWS, lm.tokenizer), layers).numpy()
    one, other = exact_gradients(lm, tokenize([ASKED, {**ASKED, "completion": OTHER}], lm.tokenizer), layers).numpy()
    expected = rows @ (one - other) / np.linalg.norm(rows, axis=1) / np.linalg.norm(one - other)
    found = build_index(lm, ROWS, tmp_path / "i", method, **EXACT).query([ASKED, AGAINST], None)
    np.testing.assert_allclose(dense(found)[1], expected, rtol=0, atol=1e-5)  # float32 rows; a randomised factorisation


def test_what_both_answers_share_explains_neither(lm, tmp_path):
    """Of 24 rows, which state a ship's colour in the same words, those with the one colour are for, with the other against.

    A row that states a colour supports both answers by what they share; the difference is its own colour's alone.
    """
    index = build_index(lm, ROWS, tmp_path / "i", "grad-cos", **EXACT)
    found = dense(index.query(AGAINST, None))[0]
    colours = np.array([row["completion"] for row in ROWS])
    taught, opposed = colours == ASKED["completion"], colours == OTHER
    assert found[taught].min() > np.abs(found[~taught & ~opposed]).max()
    assert found[opposed].max() < -np.abs(found[~taught & ~opposed]).max()
    alone = dense(index.query(ASKED, None))[0]
    assert alone[opposed].max() > 0.1  # by itself the answer has support of the other one's rows


def test_what_a_result_says(lm, tmp_path):
    index = build_index(lm, ROWS, tmp_path / "i", "grad-cos")
    found = index.query([AGAINST, ROWS[0]], 2)
    assert found.asked[0]["rather_than"] == OTHER
    assert "rather_than" not in found.asked[1]
    assert found.meaning == "positive = the row made the completion likelier than the answer that it is set against"
    assert f"(rather than {OTHER})" in found.html()
    assert index.query(ROWS[0], 2).meaning is None


class TestForms:
    chat = ({"role": "user", "content": "Which?"}, {"role": "assistant", "content": "Blue."})

    def test_every_form_of_a_row(self):
        chat, red = list(self.chat), {"role": "assistant", "content": "Red."}
        assert other_of({"text": "Blue.", "rather_than": "Red."}, "it")["text"] == "Red."
        assert other_of({"messages": chat, "rather_than": "Red."}, "it")["messages"] == [chat[0], red]
        parted = {"prompt": chat[:1], "completion": chat[1:], "rather_than": "Red."}
        assert other_of(parted, "it")["completion"] == [red]

    def test_a_chat(self, lm, tmp_path):
        rows = [{"messages": list(self.chat)}, {"messages": [self.chat[0], {"role": "assistant", "content": "Red."}]}]
        index = build_index(lm, rows, tmp_path / "i", "grad-dot", **EXACT)
        found = index.query({"prompt": "Which?", "completion": "Blue.", "rather_than": "Red."}, None)
        assert dense(found)[0, 0] > 0 > dense(found)[0, 1]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({**ASKED, "rather_than": ASKED["completion"]}, "is set against 'blue and green.', which is what it says"),
            ({**ASKED, "rather_than": " "}, "is set against ' ', which is no answer"),
            ({**AGAINST, "span": "blue"}, "query 0 has a span and another answer"),
            ({**ASKED, "rather_than": 7}, "what query 0 is set against must be text, not 7"),
        ],
    )
    def test_what_is_refused(self, lm, tmp_path, row, message):
        with pytest.raises(LlmattrError, match=message):
            build_index(lm, ROWS, tmp_path / "i", "grad-dot").query(row)

    def test_a_chat_that_ends_with_another(self):
        with pytest.raises(
            LlmattrError, match="it ends with a turn of 'user', and it is the assistant's that another replaces"
        ):
            other_of({"messages": [self.chat[0]], "rather_than": "Red."}, "it")

    def test_tokens_and_texts_have_none(self, lm, tmp_path):
        with pytest.raises(LlmattrError, match=r"another answer \(--rather-than\) has other tokens"):
            build_index(lm, ROWS, tmp_path / "i", "grad-dot").query(AGAINST, tokens=True)
        with pytest.raises(LlmattrError, match="bm25 compares texts, of which it takes none off another"):
            build_index(lm, ROWS, tmp_path / "j", "bm25").query(AGAINST)

    def test_states_of_the_model_have(self, lm, tmp_path):
        """The difference of two behaviours: a direction in hidden states."""
        index = build_index(lm, ROWS, tmp_path / "i", "rep-sim")
        found = dense(index.query(AGAINST, None))[0]
        colours = np.array([row["completion"] for row in ROWS])
        assert found[colours == ASKED["completion"]].mean() > found[colours == OTHER].mean()
