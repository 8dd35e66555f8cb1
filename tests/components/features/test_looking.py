"""A feature looked at, and held at a value while the model goes on."""

import pytest
import torch

from llmattr.components.features.dictionary import SparseAutoencoder
from llmattr.components.features.hook import Hook
from llmattr.components.features.looking import AROUND, look, neighbours
from llmattr.components.features.splice import Splice, place_of, standing
from llmattr.components.features.steering import clamped, continued, steered
from llmattr.components.sites import changed
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.report.feature import page, text
from tests import tiny_models
from tests.components.families import family
from tests.components.features.worlds import WIDTH, autoencoder

EXACT = 1e-10  # float64
TOKENIZER = tiny_models.tokenizer()
PROMPT = "The canal is"


def lm(name="llama"):
    return LM.load((family(name), TOKENIZER))


def ids(said):
    return TOKENIZER(said)["input_ids"]


def reads(model, said, layer=1):
    """A dictionary whose feature 2 is active where a token is like the last of this text: by half of it."""
    x = standing(model, place_of(model, autoencoder(layer)), ids(said))[-1]
    encoder = torch.zeros(5, WIDTH, dtype=torch.float64)
    encoder[2] = x / x.square().sum()
    biases = torch.full((5,), -0.5, dtype=torch.float64), torch.zeros(WIDTH, dtype=torch.float64)
    return SparseAutoencoder(encoder, biases[0], torch.eye(5, WIDTH, dtype=torch.float64), biases[1], Hook(layer))


class TestLooking:
    TEXTS = ("It opened in 1914.", "The canal is", "The lake is high, and the canal is long.")

    def test_the_texts_that_make_it_most_active(self):
        model = lm()
        dictionary = reads(model, self.TEXTS[1])
        found = look(model, dictionary, 2, [ids(said) for said in self.TEXTS], 2)
        assert [one.text for one in found.examples][:1] == [1]
        assert found.examples[0].highest == pytest.approx(0.5, abs=EXACT)
        assert "".join(found.examples[0].tokens) == TOKENIZER.decode(ids(self.TEXTS[1])[1:])
        every = torch.cat([standing(model, place_of(model, dictionary), ids(said))[1:] for said in self.TEXTS])
        assert (found.active, found.tokens) == (int((dictionary.encode(every)[:, 2] > 0).sum()), len(every))
        assert [one.highest for one in found.examples] == sorted((one.highest for one in found.examples), reverse=True)

    def test_of_a_long_text_what_is_near(self):
        model = lm()
        said = "The lake is high. " * 12
        found = look(model, reads(model, "The lake"), 2, [ids(said)])
        (one,) = found.examples
        assert len(one.tokens) == len(one.codes) <= 2 * AROUND + 1

    def test_one_that_is_never_active(self):
        found = look(lm(), reads(lm(), PROMPT), 3, [ids(PROMPT)])
        assert (found.active, found.examples) == (0, [])

    def test_neighbours_by_cosine(self):
        """T39: a row that is there twice is its own neighbour, either way."""
        rows = autoencoder().rows.clone()
        rows[7] = 3 * rows[20]
        for one, other in ((7, 20), (20, 7)):
            number, cosine = neighbours(rows, one, 3)[0]
            assert number == other
            assert cosine == pytest.approx(1, abs=1e-6)
        assert len(neighbours(rows, 0, 100)) == 47

    def test_a_feature_that_is_not_there(self):
        with pytest.raises(LlmattrError, match="feature 48 is asked for, and the dictionary 'random' has features 0 to 47"):
            look(lm(), autoencoder(), 48, [ids(PROMPT)])


class TestSteering:
    def test_a_clamp_is_exactly_what_it_adds(self):
        """T38: `x + (c - code) row`, also where the code was changed before by another hook on it."""
        model, dictionary = lm(), autoencoder(0)
        host = place_of(model, dictionary)
        x, after = standing(model, host, ids(PROMPT)), []
        feature = int(dictionary.encode(x)[-1].argmax())
        with clamped(model, dictionary, feature, 7.5):
            handle = host.module.register_forward_hook(lambda _module, _given, y: after.append(y[0] if y.ndim == 3 else y))
            standing(model, host, ids(PROMPT))
            handle.remove()
        expected = x + (7.5 - dictionary.encode(x)[:, [feature]]) * dictionary.rows[feature]
        assert torch.allclose(after[0], expected, atol=EXACT)
        assert (after[0] - x).abs().max() > 0.1
        splice = Splice(dictionary, host, [feature])
        twice = [splice.sites[0], splice.sites[0]]
        with changed(twice, lambda number, codes: torch.full_like(codes, (99.0, 7.5)[number])):
            handle = host.module.register_forward_hook(lambda _module, _given, y: after.append(y[0] if y.ndim == 3 else y))
            standing(model, host, ids(PROMPT))
            handle.remove()
        assert torch.allclose(after[1], expected, atol=EXACT)

    @pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
    def test_generation_with_a_cache_is_generation_token_by_token(self, name):
        model, dictionary = lm(name), autoencoder(1)
        said = steered(model, dictionary, 3, 20.0, PROMPT, max_new_tokens=8)
        every = ids(PROMPT)
        for _ in range(8):
            with clamped(model, dictionary, 3, 20.0), torch.no_grad():
                every = [*every, int(model.model(input_ids=torch.tensor([every])).logits[0, -1].argmax())]
        assert TOKENIZER.decode(every).startswith(TOKENIZER.decode(ids(PROMPT)) + said)
        assert said != continued(model, PROMPT, 8)

    def test_afterwards_the_model_is_what_it_was(self):
        model = lm()
        before = continued(model, PROMPT, 8)
        with pytest.raises(ZeroDivisionError), clamped(model, autoencoder(), 3, 20.0):
            1 / 0  # noqa: B018
        assert continued(model, PROMPT, 8) == before
        assert not any(module._forward_hooks for module in model.model.modules())


class TestShown:
    def test_in_the_terminal_and_on_a_page(self):
        model = lm()
        dictionary = reads(model, PROMPT)
        looked = look(model, dictionary, 2, [ids(said) for said in (PROMPT, "It <b>opened</b>")], 3)
        said, html = text(looked, dictionary), page(looked, dictionary, model)
        assert said.startswith("feature 2 of layer 1: active at 2 of 14 tokens (14.29%), 0.5 at most")
        assert "[[is]]" in said
        assert "nearest features" in said
        assert "Feature 2 of layer 1" in html
        assert "--fill: 100%" in html
        assert "<script" not in html
        assert "<b>" not in html  # what a text has is shown as it is

    def test_one_that_is_never_active(self):
        model, dictionary = lm(), reads(lm(), PROMPT)
        looked = look(model, dictionary, 3, [ids(PROMPT)])
        assert "active at none of" in text(looked, dictionary)
        assert "No token of these texts makes it active." in page(looked, dictionary, model)
