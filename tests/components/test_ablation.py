"""Components are found in every family, removed for each row of a batch alone, and the model is afterwards what it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from llmattr.ablation import random_masks
from llmattr.components.ablation import ComponentAblation
from llmattr.components.build import component_ablation
from llmattr.components.fills import seen
from llmattr.errors import LlmattrError
from llmattr.model.layers import layers_of
from llmattr.model.lm import LM
from llmattr.testing.properties import state_of
from tests import tiny_models
from tests.components.families import MAKERS, ends, family

EXACT = 1e-10  # float64 keeps some 16 digits of logits near 10
ROUNDED = 1e-4  # float32 keeps some 7, and norms that divide by a root mean square compute in it
PROMPT, SAID = "The canal is", " long."
QUERY = {"prompt": PROMPT, "completion": SAID}
TOKENIZER = tiny_models.tokenizer()
EVERY = pytest.mark.parametrize("name", MAKERS)


def rounding(name):
    return EXACT if name in ("gpt2", "opt", "neox") else ROUNDED


def ablation(model, queries=QUERY, **options) -> ComponentAblation:
    return component_ablation((model, TOKENIZER), queries, **options)


def logits(model, prompt=PROMPT):
    with torch.no_grad():
        return model(input_ids=torch.tensor([TOKENIZER(prompt)["input_ids"]])).logits[0]


def first_token(text):
    return TOKENIZER(text)["input_ids"][0]


class TestFinding:
    @EVERY
    def test_each_part_by_structure(self, name):
        model = family(name)
        layers = layers_of(LM.load((model, TOKENIZER)))
        assert [layer.heads for layer in layers] == [4, 4]
        assert [layer.neurons for layer in layers] == (
            [0, 0] if name == "mixtral" else [32 * 4] * 2 if name == "gpt2" else [48, 48]
        )
        ends_of_layers = [place for place, module in model.named_modules() for layer in layers if module is layer.projection]
        assert [place.split(".")[-1] for place in ends_of_layers] in [
            ["o_proj"] * 2,
            ["c_proj"] * 2,
            ["out_proj"] * 2,
            ["dense"] * 2,
        ]

    def test_names(self):
        sources = ablation(family("llama"), parts="heads+mlps").sources
        assert list(sources.ids) == ["0.0", "0.1", "0.2", "0.3", "0.mlp", "1.0", "1.1", "1.2", "1.3", "1.mlp"]
        assert sources.texts[6] == "head 1 of layer 1"
        assert sources.metadata(6) == {"part": "heads", "layer": 1, "number": 1}


class TestRemoving:
    @EVERY
    def test_all_heads_and_mlps_leave_the_embedding(self, name):
        """Through the final norm and the head; biases behind the heads belong to none, and stay."""
        model = family(name)
        found = ablation(model, {"prompt": PROMPT, "completion": " lake"}, parts="heads+mlps")
        (removed,) = found(np.zeros((1, len(found.sources)), dtype=bool))[0]
        layers, read = layers_of(found.lm), []
        handle = layers[0].module.register_forward_pre_hook(lambda _module, given: read.append(given[0]))
        logits(model)
        handle.remove()
        biases = [layer.projection.bias for layer in layers]
        norm, head = ends(name, model)
        with torch.no_grad():
            left = read[0][0, -1] + sum(bias for bias in biases if bias is not None)
            scores = head(norm(left))
        if name == "gemma2":
            scores = model.config.final_logit_softcapping * torch.tanh(scores / model.config.final_logit_softcapping)
        expected = scores.log_softmax(-1)[first_token(" lake")].item()
        assert removed == pytest.approx(expected, abs=rounding(name))
        assert abs(expected - logits(model)[-1].log_softmax(-1)[first_token(" lake")].item()) > 0.1

    @EVERY
    @pytest.mark.parametrize("parts", ["layers", "attentions+mlps"])
    def test_two_names_for_the_same(self, name, parts):
        """A layer is what its attention and its MLP add."""
        model = family(name)
        whole, both = (ablation(model, parts=some) for some in ("layers", parts))
        mask = np.array([[True, False]])
        assert whole(mask) == pytest.approx(both(np.repeat(mask, len(both.sources) // 2, axis=1)), abs=rounding(name))

    @EVERY
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_masks_in_a_batch_are_masks_one_by_one(self, name, side):
        """Of prompts of several lengths, whichever side the model is padded on."""
        queries = [QUERY, {"prompt": "It opened in", "completion": " 1914, and it is long."}]
        lm = replace(LM.load((family(name), TOKENIZER)), padding_side=side)
        many, one = (component_ablation(lm, queries, parts="heads+mlps", way="mean") for _ in range(2))
        masks = random_masks(9, len(many.sources), seed=1)
        singly = np.concatenate([one(mask[None]) for mask in masks])
        assert np.ptp(singly, axis=0).min() > 0.1
        assert np.abs(many(masks) - singly).max() <= (ROUNDED if name == "mixtral" else EXACT)  # each row has the same norms

    @EVERY
    def test_with_all_components_it_is_the_model(self, name):
        model = family(name)
        found = ablation(model, {"prompt": PROMPT, "completion": " lake"}, parts="heads+mlps+layers")
        expected = logits(model)[-1].log_softmax(-1)[first_token(" lake")].item()
        assert found(np.ones((1, len(found.sources)), dtype=bool)).item() == pytest.approx(expected, abs=rounding(name))

    def test_the_mean_of_what_is_constant_changes_nothing(self):
        """Values that are a bias alone; without them there is another output, so that the test can fail."""
        model = family("gpt2")
        for layer in model.transformer.h:
            layer.attn.c_attn.weight.data[:, 64:] = 0  # of the values
        changes = {}
        for way in ("mean", "zero"):
            outputs = ablation(model, way=way)(np.array([[True] * 8, [False] * 8]))
            changes[way] = abs(outputs[0] - outputs[1]).item()
        assert changes["mean"] <= EXACT
        assert changes["zero"] > 0.01

    def test_the_mean_is_over_all_tokens_of_the_sample(self):
        model, sample = family("llama"), [{"text": "It has many locks."}, {"text": "Ships pay a toll there."}]
        found = ablation(model, way="mean", sample=sample)
        every = torch.cat([seen(found.lm, found.sites, TOKENIZER(row["text"])["input_ids"])[1] for row in sample])
        assert torch.allclose(found.fills[0][1], every.mean(dim=0), atol=EXACT)

    def test_everything_resampled_is_the_other_prompt(self):
        """Where its last token is the same, so that the embedding which stays is, too."""
        other = "The lake is"
        query = {"prompt": PROMPT, "completion": " lake", "counterfactual": other}
        assert len(TOKENIZER(other)["input_ids"]) == len(TOKENIZER(PROMPT)["input_ids"])
        model = family("llama")
        found = ablation(model, query, parts="layers", way="resample")
        expected = logits(model, other)[-1].log_softmax(-1)[first_token(" lake")].item()
        assert found(np.zeros((1, 2), dtype=bool)).item() == pytest.approx(expected, abs=EXACT)

    def test_the_prompt_itself_resampled_changes_nothing(self):
        found = ablation(family("neox"), {**QUERY, "counterfactual": PROMPT}, parts="heads+neurons", way="resample")
        outputs = found(random_masks(4, len(found.sources)))
        assert outputs == pytest.approx(found(np.ones((1, len(found.sources)), dtype=bool)).repeat(4, axis=0), abs=EXACT)


class TestTargets:
    def test_of_single_tokens_a_difference_of_logits(self):
        model = family("llama")
        found = ablation(model, {"prompt": PROMPT, "completion": " lake", "rather_than": " canal"})
        scores = logits(model)[-1]
        expected = (scores[first_token(" lake")] - scores[first_token(" canal")]).item()
        assert found(np.ones((1, 8), dtype=bool)).item() == pytest.approx(expected, abs=EXACT)
        assert found.asked.queries == [{"prompt": PROMPT, "completion": " lake", "rather_than": " canal"}]

    @pytest.mark.parametrize("way", ["zero", "resample"])
    def test_words_behind_one_prompt_share_a_pass(self, way):
        model, other = family("llama"), {"counterfactual": "The lake is"}
        words = [{"prompt": PROMPT, "completion": word, **other} for word in (" lake", " canal")]
        both = ablation(model, {**words[0], "rather_than": " canal"}, way=way)
        masks = random_masks(9, len(both.sources), 0.8, seed=1)
        passes = []
        handle = model.register_forward_pre_hook(
            lambda _module, _given, named: passes.append(len(named["input_ids"])), with_kwargs=True
        )
        found = both(masks)
        handle.remove()
        one, two = (ablation(model, word, way=way)(masks) for word in words)
        assert found == pytest.approx(one - two, abs=ROUNDED)
        assert sum(passes) == len(np.unique(masks, axis=0)) == both.record()["forward_passes"]

    def test_one_prompt_with_other_counterfactuals_is_two_passes(self):
        words = [{"prompt": PROMPT, "completion": " lake", "counterfactual": text} for text in ("The lake is", "The canal is")]
        assert ablation(family("llama"), words, way="resample").asked.passes == [[0], [1]]
        assert ablation(family("llama"), words).asked.passes == [[0], [1]]

    def test_a_chat_is_compared_with_another_last_turn(self):
        chat = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "lake"}]
        tokenizer = tiny_models.tokenizer()
        tokenizer.chat_template = tiny_models.CHATML
        lm = (family("llama"), tokenizer)
        found = component_ablation(lm, {"messages": chat, "rather_than": "canal"})
        one, two = (component_ablation(lm, {"messages": [chat[0], {**chat[1], "content": said}]}) for said in ("lake", "canal"))
        masks = random_masks(3, 8, 0.7, seed=0)
        assert found(masks) == pytest.approx(one(masks) - two(masks), abs=ROUNDED)
        assert np.abs(found(masks)).min() > 1e-3
        assert found.asked.queries[0]["rather_than"] == "canal"

    def test_a_chat_has_no_counterfactual_prompt(self):
        chat = {
            "messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "lake"}],
            "counterfactual": "It",
        }
        tokenizer = tiny_models.tokenizer()
        tokenizer.chat_template = tiny_models.CHATML
        with pytest.raises(LlmattrError, match="query 0 has no prompt that its 'counterfactual' could stand for"):
            component_ablation((family("llama"), tokenizer), chat, way="resample")

    @pytest.mark.parametrize("nothing", [None, "", float("nan")])
    def test_columns_that_other_rows_have_are_nothing_here(self, nothing):
        rows = [{**QUERY, "rather_than": nothing, "counterfactual": nothing}, {**QUERY, "rather_than": " lake"}]
        found = ablation(family("llama"), rows)
        alone = ablation(family("llama"), QUERY)
        assert len(found.asked.requests) == 3
        everything = np.ones((1, 8), dtype=bool)
        assert found(everything)[0, 0] == pytest.approx(alone(everything).item(), abs=ROUNDED)

    @pytest.mark.parametrize("measure", ["logprob", "logit"])
    def test_the_mean_over_queries(self, measure):
        queries = [QUERY, {"prompt": "It opened", "completion": " in 1914", "rather_than": " late"}]
        each, mean = (ablation(family("llama"), queries, measure=measure, mean=mean) for mean in (False, True))
        masks = random_masks(5, 8)
        assert mean(masks) == pytest.approx(each(masks).mean(axis=1, keepdims=True), abs=EXACT)
        assert mean.gradients() == pytest.approx(each.gradients().mean(axis=0, keepdims=True), abs=1e-5)  # gates are float32
        assert mean.asked.queries is None

    def test_the_margin_over_all_others(self):
        model = family("llama")
        scores = logits(model)[-1]
        chosen = first_token(" lake")
        expected = scores[chosen] - torch.cat([scores[:chosen], scores[chosen + 1 :]]).logsumexp(0)
        found = ablation(model, {"prompt": PROMPT, "completion": " lake"}, measure="logit")
        assert found(np.ones((1, 8), dtype=bool)).item() == pytest.approx(expected.item(), abs=1e-8)  # 1 - p loses some digits


class TestGradients:
    @EVERY
    @pytest.mark.parametrize("parts", ["heads+mlps", "layers+neurons"])
    def test_are_differences_of_ablations(self, name, parts):
        """By fills a little less, and more, than what a component computes: off by the square of that little.

        And by the rounding of norms in float32, divided by it; gates are float32, too.
        """
        parts = parts.removesuffix("+neurons") if name == "mixtral" else parts
        step, allowed = (1e-5, 1e-5) if rounding(name) == EXACT else (1e-2, 1e-2)
        found = ablation(family(name), parts=parts)
        inside, one_out = seen(found.lm, found.sites, found.asked.requests[0].ids), ~np.eye(len(found.sources), dtype=bool)
        fills = ([[sign * x for x in inside]] for sign in (1 + step, 1 - step))
        high, low = (replace(found, known={}, fills=some)(one_out)[:, 0] for some in fills)
        gradients = found.gradients()[0]
        assert np.abs((high - low) / (2 * step) - gradients).max() <= allowed * np.abs(gradients).max()


class TestTheModelStaysAsItIs:
    @EVERY
    def test_after_it_was_asked(self, name):
        model = family(name)
        before, state = logits(model), state_of(model)
        found = ablation(model, parts="heads+mlps+layers", way="mean")
        found(random_masks(3, len(found.sources)))
        found.gradients()
        assert torch.equal(logits(model), before)
        assert state_of(model) == state

    @pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
    @pytest.mark.parametrize("verb", ["masks", "gradients", "seen"])
    def test_when_a_pass_breaks_off(self, verb, stop):
        model = family("llama")
        before, found = logits(model), ablation(model, parts="heads+mlps+layers")
        state = state_of(model)

        def broken(*_):
            raise stop

        handle = model.model.layers[1].mlp.down_proj.register_forward_hook(broken)
        verbs = {"masks": lambda: found(np.zeros((1, 12), dtype=bool)), "gradients": found.gradients}
        verbs["seen"] = lambda: seen(found.lm, found.sites, [1, 2])
        with pytest.raises(stop):
            verbs[verb]()
        handle.remove()
        assert torch.equal(logits(model), before)
        assert state_of(model) == state


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("llama", {"parts": "head"}, "must be one of heads, .*did you mean 'heads'"),
            ("llama", {"parts": ""}, "must be one of heads"),
            ("mixtral", {"parts": "neurons"}, "has no neurons that can be told apart"),
            ("llama", {"sample": [{"text": "It."}]}, "a sample is what means are taken over"),
            ("llama", {"way": "resample"}, "query 0 has no 'counterfactual'"),
        ],
    )
    def test_options(self, name, options, message):
        with pytest.raises(LlmattrError, match=message):
            ablation(family(name), **options)

    @pytest.mark.parametrize("option", [{"way": "noise"}, {"measure": "loss"}])
    def test_words_that_are_none(self, option):
        with pytest.raises((LlmattrError, TypeError), match=next(iter(option))):  # a type checker's error is one, too
            ablation(family("llama"), **option)

    def test_another_length(self):
        with pytest.raises(LlmattrError, match="the counterfactual of query 0 has 1 tokens, and its prompt"):
            ablation(family("llama"), {**QUERY, "counterfactual": "The"}, way="resample")

    def test_a_model_that_reads_both_ways(self):
        with pytest.raises(LlmattrError, match="components are those of causal models, not of the masked model"):
            ablation(tiny_models.bert())

    def test_a_model_without_attention(self):
        sizes = {
            "hidden_size": 16,
            "state_size": 4,
            "num_hidden_layers": 1,
            "vocab_size": 400,
            "eos_token_id": 2,
            "pad_token_id": 0,
        }
        with pytest.raises(LlmattrError, match="the attention of MambaForCausalLM cannot be reached, so its components"):
            ablation(MambaForCausalLM(MambaConfig(**sizes)))

    def test_masks_of_another_shape(self):
        with pytest.raises(LlmattrError, match=r"masks must have the shape \[m, 8\]"):
            ablation(family("llama"))(np.ones((1, 3), dtype=bool))
