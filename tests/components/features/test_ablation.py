"""Features and the error term are components: removed, foretold and judged by what heads are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from llmattr.ablation import random_masks
from llmattr.components import METHODS
from llmattr.components.build import attributed, component_ablation
from llmattr.components.edit import edit
from llmattr.components.features.dictionary import Origin
from llmattr.components.features.hook import Hook
from llmattr.components.fills import seen
from llmattr.components.sites import changed
from llmattr.errors import LlmattrError
from llmattr.model.layers import layers_of
from llmattr.model.lm import LM
from tests import tiny_models
from tests.components.families import MAKERS, ends, family
from tests.components.features.worlds import autoencoder

EXACT = 1e-10  # float64 keeps some 16 digits of logits near 10
ROUNDED = 1e-4  # float32, in which some norms compute, keeps some 7
TOKENIZER = tiny_models.tokenizer()
QUERY = {"prompt": "The canal is", "completion": " lake", "rather_than": " canal"}
QUERIES = [{"prompt": "The canal is", "completion": " long."}, {"prompt": "It opened", "completion": " in 1914"}]
PLACES = pytest.mark.parametrize("place", ["stream", "attention", "mlp"])


def rounding(name):
    return EXACT if name in ("gpt2", "opt", "neox") else ROUNDED


def features(model, queries=QUERIES, dictionary=None, parts="features", **options):
    return component_ablation((model, TOKENIZER), queries, parts=parts, dictionary=dictionary or autoencoder(), **options)


def keeping(ablation, *removed):
    """A mask without these components."""
    return ~np.isin(ablation.sources.ids, removed)[None]


def last_layer(model):
    """The number of the last layer, behind which there are only the norm and the head."""
    return len(layers_of(LM.load((model, TOKENIZER)))) - 1


class TestNothingRemoved:
    @pytest.mark.parametrize("name", MAKERS)
    @PLACES
    def test_the_model_is_what_it_was_to_the_bit(self, name, place):
        """T35: with the error term and nothing edited."""
        model, dictionary = family(name), autoencoder(1, place, k=4)
        plain = component_ablation((model, TOKENIZER), QUERIES, parts="layers")
        found = features(model, dictionary=dictionary)
        assert len(found.sources) > 5
        (expected,) = plain(np.ones((1, len(plain.sources)), dtype=bool))
        assert (found(keeping(found))[0] == expected).all()
        assert (found(~keeping(found))[0] != expected).all()

    def test_hooks_are_gone_afterwards(self):
        model = family("llama")
        features(model)(np.ones((1, 1), dtype=bool).repeat(len(features(model).sources), axis=1))
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class TestRemoving:
    def test_the_live_features_and_the_error_are_the_sources(self):
        model, dictionary = family("llama"), autoencoder(1)
        found = features(model, dictionary=dictionary)
        live = set()
        for request in found.asked.requests:
            x = seen(found.lm, [found.sites[0].splice.host], request.ids)[0][:, 0]
            live |= set((dictionary.encode(x) > 0).any(dim=0).nonzero()[:, 0].tolist())
        assert list(found.sources.ids) == [f"1.feature.{i}" for i in sorted(live)] + ["1.error"]
        assert found.sources.texts[-1] == "what no feature of layer 1 explains"
        assert found.sources.metadata(0) == {"part": "features", "layer": 1, "number": min(live)}
        assert 6 < len(live) < 48

    def test_a_feature_at_every_position(self):
        """`x - f_i row_i`, put into the model by hand."""
        model, dictionary = family("gpt2"), autoencoder(0, "mlp")
        found = features(model, QUERIES[0], dictionary)
        one = found.sources.ids[3]
        number = found.sources.metadata(3)["number"]
        block = layers_of(found.lm)[0].down

        def less(_module, _given, x):
            return x - dictionary.encode(x)[..., number : number + 1] * dictionary.rows[number]

        handle = block.register_forward_hook(less)
        expected = component_ablation((model, TOKENIZER), QUERIES[0], parts="layers")(np.ones((1, 2), dtype=bool))
        handle.remove()
        assert found(keeping(found, one)) == pytest.approx(expected, abs=EXACT)
        assert found(keeping(found)) != pytest.approx(expected, abs=1e-3)

    @PLACES
    def test_all_of_them_leave_the_bias(self, place):
        """Behind the last layer: norm and head of the decoder's bias, and of what other parts write."""
        model = family("opt")
        dictionary = autoencoder(last_layer(model), place)
        found = features(model, QUERY, dictionary)
        lm, host, read = found.lm, found.sites[0].splice.host, []
        handles = [
            host.module.register_forward_hook(
                lambda _module, _given, x: (
                    (dictionary.bias.expand_as(x[0]), *x[1:]) if isinstance(x, tuple) else dictionary.bias.expand_as(x)
                )  # older layers hand on a tuple
            ),
            ends("opt", model)[0].register_forward_pre_hook(lambda _module, given: read.append(given[0])),
        ]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([found.asked.requests[0].ids[:-1]])).logits[0, -1]
        for handle in handles:
            handle.remove()
        if place == "stream":
            assert torch.allclose(read[0], dictionary.bias.expand_as(read[0]))
        said, other = (lm.tokenizer(QUERY[name])["input_ids"][0] for name in ("completion", "rather_than"))
        assert found(~keeping(found)).item() == pytest.approx((logits[said] - logits[other]).item(), abs=EXACT)

    @pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gemma3"])
    def test_masks_in_a_batch_are_masks_one_by_one(self, name):
        many, one = (features(family(name), parts="features+heads", way="mean") for _ in range(2))
        masks = random_masks(9, len(many.sources), seed=1)
        singly = np.concatenate([one(mask[None]) for mask in masks])
        assert np.ptp(singly, axis=0).min() > 0.1
        assert np.abs(many(masks) - singly).max() <= EXACT

    def test_the_mean_is_over_all_tokens(self):
        model, dictionary = family("llama"), autoencoder()
        found = features(model, QUERIES, dictionary, way="mean")
        x = torch.cat([seen(found.lm, [found.sites[0].splice.host], r.ids)[0][:, 0] for r in found.asked.requests])
        codes = dictionary.encode(x)
        of_features, of_error = found.fills[0]
        assert torch.allclose(of_features[:, 0], codes[:, found.sites[0].splice.live].mean(dim=0))
        assert torch.allclose(of_error[0], (x - dictionary.decode(codes)).mean(dim=0))

    def test_everything_resampled_is_the_other_prompt(self):
        """Behind the last layer nothing else is left of the prompt; what is active on the other alone is a source, too."""
        model = family("opt")
        query = {"prompt": "The canal is", "completion": " lake", "counterfactual": "The lake was"}
        found = features(model, query, autoencoder(last_layer(model)), way="resample")
        other = component_ablation((model, TOKENIZER), {**query, "prompt": query["counterfactual"]}, parts="layers")
        expected = other(np.ones((1, 2), dtype=bool))
        assert found(~keeping(found)) == pytest.approx(expected, abs=EXACT)
        assert len(found.sources) > len(features(model, query, autoencoder(last_layer(model))).sources)


class TestStart:
    """A dictionary of the tokens from the second on leaves the first as it is."""

    @pytest.mark.parametrize("name", ["llama", "opt"])
    @PLACES
    def test_the_first_token_is_left_alone(self, name, place):
        model, dictionary = family(name), autoencoder(0, place)
        dictionary = replace(dictionary, hook=replace(dictionary.hook, start=1))
        found = features(model, QUERIES[0], dictionary)
        before = seen(found.lm, [found.sites[0].splice.host], found.asked.requests[0].ids)[0][:, 0]
        after = []
        with changed(found.sites, lambda _site, pieces: torch.zeros_like(pieces), rows=2):
            hook = found.sites[0].splice.host.module.register_forward_hook(
                lambda _module, _given, x: after.append((x[0] if isinstance(x, tuple) else x).reshape(2, -1, 32))
            )
            with torch.no_grad():
                model(input_ids=torch.tensor([found.asked.requests[0].ids] * 2))
            hook.remove()
        assert torch.allclose(after[0][:, 0], before[[0, 0]], atol=EXACT)
        assert torch.allclose(after[0][:, 1:], dictionary.bias.expand(2, len(before) - 1, 32), atol=EXACT)

    def test_means_and_masks(self):
        dictionary = replace(autoencoder(), hook=Hook(0, start=1))
        found = features(family("llama"), QUERIES, dictionary, way="mean")
        pieces = [seen(found.lm, found.sites, r.ids)[0] for r in found.asked.requests]
        assert [len(one) for one in pieces] == [len(r.ids) - 1 for r in found.asked.requests]
        assert torch.allclose(found.fills[0][0], torch.cat(pieces).mean(dim=0))
        masks = random_masks(5, len(found.sources), seed=1)
        one = features(family("llama"), QUERIES, dictionary, way="mean")
        assert found(masks) == pytest.approx(np.concatenate([one(mask[None]) for mask in masks]), abs=EXACT)


class TestMethods:
    @pytest.mark.parametrize("name", METHODS)
    def test_where_all_behind_it_is_linear_every_method_is_exact(self, name):
        """T36 and T37: activity times the gradient is the effect of removal, and with the error and the bias all add up."""
        model = family("opt")
        model.model.decoder.final_layer_norm = torch.nn.Identity()
        dictionary = autoencoder(last_layer(model), k=3)
        found = features(model, QUERY, dictionary)
        (host, ids) = found.sites[0].splice.host, found.asked.requests[0].ids
        x = seen(found.lm, [host], ids)[0][-2, 0]  # where the completion is predicted
        said, other = (TOKENIZER(QUERY[name])["input_ids"][0] for name in ("completion", "rather_than"))
        direction = model.lm_head.weight[said] - model.lm_head.weight[other]
        codes = dictionary.encode(x)[found.sites[0].splice.live]
        readout = (codes * (dictionary.rows[found.sites[0].splice.live] @ direction)).tolist()
        error = ((x - dictionary.decode(dictionary.encode(x))) @ direction).item()
        options = {"coar": {"alpha": 1e-9, "keep": 0.5}, "shapley": {"n_ablations": 64}, "banzhaf": {"n_ablations": 64}}
        found = attributed(found, METHODS[name](**options.get(name, {})))
        expected = np.array([*readout, error])
        # gates are float32; the penalty 1e-9 shrinks by as much, and draws of a sum do not matter
        assert found.values[0] == pytest.approx(expected, abs=1e-6 * np.abs(expected).max())
        assert (np.abs(expected) > 1e-3).sum() == 4  # three features and the error
        assert expected.sum() + (dictionary.bias @ direction).item() == pytest.approx((x @ direction).item(), abs=EXACT)

    def test_one_that_is_active_on_the_second_prompt_alone_is_not_dead(self):
        found = features(family("llama"), QUERIES, autoencoder(1))
        first = features(family("llama"), QUERIES[0], autoencoder(1))
        assert set(first.sources.ids) < set(found.sources.ids)
        assert not found.dead().any()
        scores = attributed(found, METHODS["coar"](n_ablations=40)).values
        there = np.isin(found.sources.ids, first.sources.ids)
        assert (scores[1][~there] != 0).all()

    def test_the_record_says_which_dictionary(self):
        found = attributed(features(family("llama"), dictionary=autoencoder(1)), METHODS["attribution-patching"]())
        assert found.run["parts"] == "features+error"
        said = found.run["dictionary"]
        assert {name: said[name] for name in ("name", "layer", "place", "features")} == {
            "name": "random", "layer": 1, "place": "stream", "features": 48
        }  # fmt: skip
        assert said["live"] == len(found.sources) - 1
        assert 0 < said["fvu"] < 2


class TestRefused:
    @pytest.mark.parametrize(
        ("dictionary", "message"),
        [
            (autoencoder(2), "layer 2 is asked for, and the model has layers 0 to 1"),
            (autoencoder(0, width=16), "the dictionary 'random' is 16 wide, what the model computes there 32"),
            (
                autoencoder(0, origin=Origin("random", "other", "abc")),
                "'random' was learnt from another model (other) than this one",
            ),
        ],
    )
    def test_a_dictionary_of_another_model_layer_or_width(self, dictionary, message):
        with pytest.raises(LlmattrError) as raised:
            features(family("llama"), dictionary=dictionary)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_no_live_feature(self):
        dictionary = autoencoder(0, threshold=torch.full((48,), 1e6, dtype=torch.float64))
        with pytest.raises(LlmattrError, match="no feature of 'random' is active on any token of what is asked"):
            features(family("llama"), dictionary=dictionary)

    def test_parts_and_a_dictionary_belong_together(self):
        with pytest.raises(LlmattrError, match="features are those of a dictionary"):
            component_ablation((family("llama"), TOKENIZER), QUERIES, parts="features+heads")
        with pytest.raises(LlmattrError, match="a dictionary is for the parts 'features', and 'heads' are asked for"):
            features(family("llama"), parts="heads")

    def test_features_are_in_no_weights(self, tmp_path):
        with pytest.raises(LlmattrError, match="features are in no weights that could be edited"):
            edit((family("llama"), TOKENIZER), QUERIES, QUERIES, tmp_path / "out", parts="features")
