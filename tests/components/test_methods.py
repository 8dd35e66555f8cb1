"""Methods of components: dead ones are 0, what is linear is exact, and what is foretold says how well it is."""

import numpy as np
import pytest
import torch

from llmattr.ablation import one_out_masks
from llmattr.components import METHODS
from llmattr.components.build import attribute, attributed, component_ablation
from llmattr.components.methods.patching import Verified, chosen, scaled
from llmattr.errors import LlmattrError
from tests import tiny_models
from tests.components.families import family

QUERIES = [{"prompt": "The canal is", "completion": " long."}, {"prompt": "It opened", "completion": " in 1914"}]
TOKENIZER = tiny_models.tokenizer()
ROUNDING = 1e-10  # of float64


def dead_head():
    """A model whose output matrix does not read head 2 of layer 1."""
    model = family("llama")
    model.model.layers[1].self_attn.o_proj.weight.data[:, 16:24] = 0
    return model


@pytest.mark.parametrize("way", ["zero", "mean"])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "coar"])
def test_a_dead_head_is_0(name, way):
    found = attribute((dead_head(), TOKENIZER), QUERIES, name, way=way)
    dead = list(found.sources.ids).index("1.2")
    assert np.abs(found.values[:, dead]).max() <= ROUNDING
    assert np.abs(np.delete(found.values, dead, axis=1)).min() > 1e-3


def test_a_dead_head_is_0_to_a_fit_within_its_error():
    """A fit sees chance: of random masks some that keep the head are better than those that do not."""
    found = attribute((dead_head(), TOKENIZER), QUERIES, METHODS["coar"](n_ablations=200, bootstraps=50))
    dead = list(found.sources.ids).index("1.2")
    assert (np.abs(found.values[:, dead]) <= 3 * found.stderr[:, dead]).all()


def test_leave_one_out_is_what_is_lost():
    ablation = component_ablation((family("opt"), TOKENIZER), QUERIES, parts="heads+mlps")
    full, *without = ablation(one_out_masks(len(ablation.sources)))
    assert attributed(ablation, METHODS["leave-one-out"]()).values == pytest.approx((full - np.array(without)).T, abs=ROUNDING)


def test_where_all_is_linear_every_method_is_direct_logit_attribution():
    """One layer whose block adds to the stream, no norm behind it: heads add their share of the difference of two logits."""
    model = family("opt")
    decoder = model.model.decoder
    decoder.layers, model.config.num_hidden_layers = decoder.layers[:1], 1
    decoder.layers[0].fc2.weight.data.zero_()
    decoder.layers[0].fc2.bias.data.zero_()
    decoder.final_layer_norm = torch.nn.Identity()
    query = {"prompt": "The canal is", "completion": " lake", "rather_than": " canal"}
    ablation = component_ablation((model, TOKENIZER), query)
    ids, read = torch.tensor([TOKENIZER("The canal is")["input_ids"]]), []
    handle = decoder.layers[0].self_attn.out_proj.register_forward_pre_hook(lambda _module, given: read.append(given[0]))
    with torch.no_grad():
        model(input_ids=ids)
        handle.remove()
        direction = model.lm_head.weight[398] - model.lm_head.weight[314]
        pieces = read[0].reshape(-1, 4, 8)[-1]
        columns = decoder.layers[0].self_attn.out_proj.weight.reshape(32, 4, 8)
        direct = torch.einsum("hw,ohw,o->h", pieces, columns, direction).numpy()
    for name in METHODS:
        options = {"coar": {"alpha": 1e-9, "keep": 0.5}}.get(name, {})
        found = attributed(ablation, METHODS[name](**options))
        # gates are float32; the penalty 1e-9 shrinks by as much
        assert found.values[0] == pytest.approx(direct, abs=1e-6 * np.abs(direct).max()), name


class TestVerified:
    def test_with_enough_ablations_it_is_leave_one_out(self):
        ablation = component_ablation((family("gpt2"), TOKENIZER), QUERIES, parts="heads+mlps")
        found = attributed(ablation, Verified(n_ablations=10))
        assert found.values == pytest.approx(attributed(ablation, METHODS["leave-one-out"]()).values, abs=ROUNDING)
        assert (found.stderr == 0).all()
        assert found.details["factor"] == [1.0, 1.0]

    def test_what_is_verified_is_true_and_the_others_are_scaled(self):
        ablation = component_ablation((family("gpt2"), TOKENIZER), QUERIES, parts="neurons")
        found = attributed(ablation, Verified(n_ablations=32))
        true, foretold = attributed(ablation, METHODS["leave-one-out"]()).values, ablation.gradients()
        tried = np.isin(found.sources.ids, found.details["verified"][0])
        assert tried.sum() == 32
        assert found.values[:, tried] == pytest.approx(true[:, tried], abs=ROUNDING)
        factor = np.array(found.details["factor"])[:, None]
        assert found.values[:, ~tried] == pytest.approx((factor * foretold)[:, ~tried], rel=1e-9)
        # The error of the others is estimated from 8 of them: of a normal one, chi squared of 7 lies within a factor 3 in 99 %.
        real = np.sqrt(((found.values - true)[:, ~tried] ** 2).mean(axis=1))
        assert (real <= 3 * found.stderr[:, ~tried].max(axis=1)).all()
        assert (real >= found.stderr[:, ~tried].max(axis=1) / 3).all()

    def test_the_factor_of_what_is_twice_as_much(self):
        factor, error = scaled(np.array([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]]), np.array([[2.0, -4.0, 6.0], [1.0, 1.0, 1.0]]))
        assert factor.tolist() == [[2.0], [1.0]]
        assert error == pytest.approx(np.array([[0.0], [1.5**0.5]]))

    def test_the_strongest_of_any_target_are_chosen(self):
        foretold = np.zeros((2, 40))
        foretold[0, [3, 7]], foretold[1, [9, 11]] = [100, -90], [-0.2, 0.1]
        first, drawn = chosen(foretold, 8, seed=0)
        assert {3, 7, 9, 11} < set(first.tolist())
        assert len(first) == 6
        assert len(set(drawn.tolist()) - set(first.tolist())) == 2
        assert chosen(foretold, 8, seed=1)[1].tolist() != drawn.tolist()


def test_a_method_of_a_context_is_told_where_it_belongs():
    from llmattr.context.methods.gradients import GradientInput

    with pytest.raises(LlmattrError, match=r"is no method of components: give it to llmattr\.cite"):
        attribute((family("llama"), TOKENIZER), QUERIES, GradientInput())
