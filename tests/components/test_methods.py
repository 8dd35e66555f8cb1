"""Methods of components: dead ones are 0, what is linear is exact, and what is foretold says how well it is."""

import numpy as np
import pytest
import torch

from llmattr.ablation import one_out_masks
from llmattr.components import METHODS
from llmattr.components.build import attribute, attributed, component_ablation
from llmattr.components.methods.patching import Verified, chosen, scaled, share_off
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
@pytest.mark.parametrize("name", METHODS)
def test_a_dead_head_is_0(name, way):
    found = attribute((dead_head(), TOKENIZER), QUERIES, name, way=way)
    dead = list(found.sources.ids).index("1.2")
    assert np.abs(found.values[:, dead]).max() <= ROUNDING
    assert np.abs(np.delete(found.values, dead, axis=1)).min() > 1e-3


def test_a_fit_gives_a_dead_head_exactly_0_and_no_error():
    """Of random masks some that keep the head are better than those that do not: a fit would see chance."""
    found = attribute((dead_head(), TOKENIZER), QUERIES, METHODS["coar"](n_ablations=64))
    dead = list(found.sources.ids).index("1.2")
    assert (found.values[:, dead] == 0).all()
    assert (found.stderr[:, dead] == 0).all()
    assert (np.delete(found.stderr, dead, axis=1) > 0).all()


@pytest.mark.parametrize("parts", ["heads", "neurons", "mlps", "attentions", "layers"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_nothing_that_does_something_is_dead(name, parts):
    found = component_ablation((family(name), TOKENIZER), QUERIES, parts=parts).dead()
    assert not found.any()


def test_a_block_that_adds_nothing_is_dead():
    model = family("opt")
    model.model.decoder.layers[1].fc2.weight.data.zero_()
    model.model.decoder.layers[1].fc2.bias.data.zero_()
    assert component_ablation((model, TOKENIZER), QUERIES, parts="mlps").dead().tolist() == [False, True]


def test_leave_one_out_is_what_is_lost():
    ablation = component_ablation((family("opt"), TOKENIZER), QUERIES, parts="heads+mlps")
    full, *without = ablation(one_out_masks(len(ablation.sources)))
    assert attributed(ablation, METHODS["leave-one-out"]()).values == pytest.approx((full - np.array(without)).T, abs=ROUNDING)


def linear_model():
    """One layer whose heads add to the stream, no block and no norm behind them."""
    model = family("opt")
    decoder = model.model.decoder
    decoder.layers, model.config.num_hidden_layers = decoder.layers[:1], 1
    decoder.layers[0].fc2.weight.data.zero_()
    decoder.layers[0].fc2.bias.data.zero_()
    decoder.final_layer_norm = torch.nn.Identity()
    return model


def test_where_all_is_linear_every_method_is_direct_logit_attribution():
    """One layer whose block adds to the stream, no norm behind it: heads add their share of the difference of two logits."""
    model = linear_model()
    decoder = model.model.decoder
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


def test_where_all_is_linear_a_circuit_does_its_components_scores():
    """Of four heads none of up to 20 % of them is kept, at 50 % the best two: their share of the sum of all four scores."""
    query = {"prompt": "The canal is", "completion": " lake", "rather_than": " canal"}
    found = attribute((linear_model(), TOKENIZER), query, "leave-one-out", circuits=True)
    best = np.sort(found.values[0])[::-1]
    expected = [0.0] * 8 + [best[:2].sum() / best.sum(), 1.0]
    assert found.details["faithfulness"][0] == pytest.approx(expected, abs=1e-6)


class TestIntegratedGradients:
    def test_the_values_add_up_to_all_that_the_components_do(self):
        """The midpoint rule's error falls with the square of the steps: by some 16 from 8 to 32, and by 4 at the least."""
        ablation = component_ablation((family("gpt2"), TOKENIZER), QUERIES, parts="heads+mlps")
        none, full = ablation(np.repeat([[False], [True]], len(ablation.sources), axis=1))
        gaps = []
        for steps in (8, 32):
            found = attributed(ablation, METHODS["integrated-gradients"](steps=steps))
            assert full - none - found.values.sum(axis=1) == pytest.approx(np.array(found.details["gap"]))
            gaps.append(np.abs(found.details["gap"]))
        assert (gaps[1] < gaps[0] / 4).all()

    def test_from_the_counterfactual_a_linear_model_is_leave_one_out(self):
        model, query = linear_model(), {"prompt": "The canal is", "completion": " lake", "rather_than": " canal"}
        query |= {"counterfactual": "The lake is"}
        ablation = component_ablation((model, TOKENIZER), query, way="resample")
        found = attributed(ablation, METHODS["integrated-gradients"](path="prompt"))
        true = attributed(ablation, METHODS["leave-one-out"]()).values
        assert found.values == pytest.approx(true, abs=1e-6 * np.abs(true).max())  # gates are float32
        assert np.abs(true).max() > 1e-3

    def test_at_the_end_of_the_way_it_is_attribution_patching(self):
        query = {**QUERIES[0], "counterfactual": "The lake is"}
        ablation = component_ablation((family("llama"), TOKENIZER), query, way="resample")
        near = ablation.gradients(prompt=1 - 1e-9)
        assert near == pytest.approx(ablation.gradients(), rel=1e-5)

    def test_a_way_from_a_counterfactual_needs_one(self):
        with pytest.raises(LlmattrError, match="'prompt' comes from the counterfactual: remove components by 'resample'"):
            attribute((family("llama"), TOKENIZER), QUERIES, METHODS["integrated-gradients"](path="prompt"))


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
        # Chebyshev: of any distribution with this deviation 3/4 or more lie within two.
        off = np.abs(found.values - true)[:, ~tried]
        assert ((off <= 2 * found.stderr[:, ~tried]).mean(axis=1) >= 0.75).all()
        strong = np.abs(found.values[:, ~tried]).argmax(axis=1)
        assert (found.stderr[:, ~tried][[0, 1], strong] > found.stderr[:, ~tried].min(axis=1)).all()

    def test_of_too_few_that_are_drawn_no_error_is_known(self):
        ablation = component_ablation((family("gpt2"), TOKENIZER), QUERIES, parts="neurons")
        found = attributed(ablation, Verified(n_ablations=12))
        tried = np.isin(found.sources.ids, found.details["verified"][0])
        assert np.isnan(found.stderr[:, ~tried]).all()
        assert (found.stderr[:, tried] == 0).all()

    def test_the_share_by_which_it_is_off(self):
        foretold, true = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 3.0], [1.0, 1.0]])
        assert share_off(foretold, true) == pytest.approx(np.array([[0.2], [0.0]]))

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
