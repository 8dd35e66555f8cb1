"""Runs trained as one program are the runs of the plain loop."""

import numpy as np
import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from llmattr import LM
from llmattr.ablation import random_masks
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import Recipe, retraining_ablation, scratch_model, trainer
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.together import Stack, TokenRows, can_stack, measure_together, most_together, train_together
from llmattr.retraining.trainer import train
from llmattr.text.rows import tokenize
from tests import tiny_models

PLACES = [("canal", "Panama", "wide"), ("king", "Spain", "old and tired"), ("port", "Colon", "busy"), ("lock", "Gatun", "long")]
ROWS = [
    {"prompt": f"{the} {what} of {where} is{' very' * i}", "completion": f" {said}"}
    for the in ("The", "That")
    for i, (what, where, said) in enumerate(PLACES)
]
ASKED = [{"prompt": "A port of Colon is", "completion": " busy"}, {"prompt": "Spain's king is", "completion": " old and tired"}]
WEIGHTS = np.array([[1.0] * 8, [1, 0] * 4, [0] * 8, [0.5, 2, 0, 1, 1, 1, 1, 3]])
SEEDS = [0, 1, 2, 0]
RECIPE = Recipe(steps=20, batch_size=3, learning_rate=2e-3, weight_decay=0.1)
# A gradient has a norm of 1 at most (clip), so rounding changes each of its numbers by some 1e-16. Adam divides it by no less
# than 1e-8: a step moves by 1e-8 of its size at most.
ROUNDING = RECIPE.steps * RECIPE.learning_rate * 1e-8


def world(name="llama", dtype=torch.float64):
    tokenizer = tiny_models.tokenizer()
    model = scratch_model([])[0] if name == "tied" else getattr(tiny_models, name)()
    if name == "tied":  # Llama with tied embeddings, of the tokenizer's size
        model.resize_token_embeddings(len(tokenizer))
    return model.to(dtype), tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("start", ["given", "random"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "tied"])
def test_stacked_models_are_those_of_the_plain_loop(name, start):
    """Tied and untied embeddings; different seeds; a mask that keeps nothing; weights other than 0 and 1."""
    model, tokenizer = world(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    examples, recipe = tokenize(ROWS, tokenizer), Recipe(**{**vars(RECIPE), "start": start})
    stack = train_together(model, examples, WEIGHTS, SEEDS, recipe)
    for i, (weights, seed) in enumerate(zip(WEIGHTS, SEEDS, strict=True)):
        for key, value in train(model, examples, weights, seed, recipe).named_parameters():
            torch.testing.assert_close(stack.parameters[key][i], value, atol=10 * ROUNDING, rtol=0)
    for key, value in model.state_dict().items():
        assert torch.equal(before[key], value)
        if start == "given" and key in stack.parameters:
            assert torch.equal(stack.parameters[key][2], value)  # nothing kept: as it started


def test_a_single_model_and_the_same_bits_again():
    model, tokenizer = world(dtype=torch.float32)
    examples = tokenize(ROWS, tokenizer)
    one, two = (train_together(model, examples, WEIGHTS[3:], [5], RECIPE) for _ in range(2))
    assert all(torch.equal(value, two.parameters[key]) for key, value in one.parameters.items())


def test_nothing_to_train_on_at_all():
    model, tokenizer = world()
    stack = train_together(model, tokenize(ROWS, tokenizer), np.zeros((2, 8)), [0, 1], RECIPE)
    assert all(torch.equal(stack.parameters[key][1], value) for key, value in model.named_parameters())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_measured_as_a_model_alone(name):
    model, tokenizer = world(name)
    lm, other = LM(model, tokenizer), world(name)[0]
    with torch.no_grad():
        [tensor.mul_(1.1) for tensor in other.parameters()]
    queries = tokenize([*ASKED, *ROWS], tokenizer)
    requests = CausalTrainer((model, tokenizer), queries, queries).requests
    expected = [LM(one, tokenizer).logprobs(requests) for one in (model, other)]
    narrow = LM(model, tokenizer, max_batch_tokens=20)
    for way in (lm, narrow):
        found = measure_together(Stack.of([train_copy(one) for one in (model, other)]), way, requests)
        for mine, theirs in zip(found, expected, strict=True):
            for one, two in zip(mine, theirs, strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)  # sums of some 1e3 numbers, rounded at 1e-16


def train_copy(model):
    return trainer.started(model, 0, RECIPE)


def test_a_step_holds_every_row_once_and_hardly_more():
    lengths = np.random.default_rng(0).integers(4, 13, size=60)
    ids = [list(range(100 * i, 100 * i + n)) for i, n in enumerate(lengths)]
    rows = np.arange(60).reshape(2, 30)
    batch = TokenRows.of(ids, [np.arange(n) == n - 1 for n in lengths]).packed(rows, np.ones((2, 30)), torch.zeros(1))
    sees = torch.isfinite(batch.seen).sum(-1).flatten(1)
    for k in range(2):
        for i in rows[k]:
            places = [int((batch.ids[k] == token).nonzero()[0, 0]) for token in ids[i] if token]
            assert np.diff(places).tolist() == [1] * (len(places) - 1)
            assert sees[k, places].tolist() == (batch.positions[k, places] + 1).tolist()  # its own row, up to itself
        assert sorted(batch.said[k].tolist()) == sorted(ids[i][-1] for i in rows[k])
        assert torch.equal(batch.ids[k][batch.places[k] + 1], batch.said[k])
    assert batch.weights.sum(1).tolist() == pytest.approx([1, 1])
    assert batch.ids.shape[1] < 1.15 * lengths.reshape(2, 30).sum(1).max()  # padded, it would be 1.5 times as many


def test_a_trainer_gives_the_same_outputs_together_and_alone():
    pair = world()
    examples, queries = (tokenize(part, pair[1]) for part in (ROWS, ASKED))
    asked = CausalTrainer(pair, examples, queries, RECIPE)
    assert asked.together > 1
    found = asked.outputs(WEIGHTS, SEEDS)
    alone = np.concatenate([asked.outputs(WEIGHTS[i : i + 1], SEEDS[i : i + 1]) for i in range(4)])
    # The plain loop rounds its loss to float32: 6e-8 of a gradient, which Adam's division enlarges where it is small.
    np.testing.assert_allclose(found, alone, atol=1e-3)
    assert np.abs(alone[0] - alone[1]).max() > 0.1


@pytest.mark.slow
def test_an_ablation_takes_them_in_parts():
    ablation = retraining_ablation(world(dtype=torch.float32), ROWS, ASKED, recipe=RECIPE)
    masks = random_masks(11, 8)
    outputs = ablation(masks)
    seeds = [ablation.seed_of(mask, 0) for mask in masks]
    alone = [ablation.trainer.outputs(mask[None].astype(float), [seed])[0] for mask, seed in zip(masks, seeds, strict=True)]
    np.testing.assert_allclose(outputs, alone, atol=1e-2)  # 20 steps of float32


def test_a_loss_that_explodes_is_said():
    model, tokenizer = world(dtype=torch.float32)
    wild, rows = Recipe(steps=50, batch_size=4, learning_rate=1e30, clip=0.0), tokenize(ROWS, tokenizer)
    with pytest.raises(LlmattrError, match="smaller --learning-rate"):
        train_together(model, rows, WEIGHTS, SEEDS, wild)


SMALL = {"vocab_size": 400, "hidden_size": 32, "pad_token_id": 0}


class TestOtherModels:
    def test_a_window_must_hold_the_longest_row(self):
        model = world()[0]
        assert can_stack(model, 2000)
        model.config.sliding_window = 8
        assert can_stack(model, 8)
        assert not can_stack(model, 9)

    def test_what_the_attention_does_besides_is_seen(self):
        """Gemma 2 limits its attention's logits, which `bins_attention` does not; new weights are far from the limit."""
        config = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
        torch.manual_seed(0)
        options = {**SMALL, **config, "intermediate_size": 48, "attn_logit_softcapping": 50.0}
        assert not can_stack(Gemma2ForCausalLM(Gemma2Config(**options)).eval(), 5)

    def test_a_model_that_cannot_be_stacked_is_trained_alone(self):
        torch.manual_seed(0)
        model, tokenizer = BloomForCausalLM(BloomConfig(**SMALL, n_layer=1, n_head=4)).eval(), tiny_models.tokenizer()
        rows = tokenize(ROWS, tokenizer)
        with pytest.warns(LlmattrNote, match="one after the other"):
            assert CausalTrainer((model, tokenizer), rows, rows, RECIPE).together == 1
        assert CausalTrainer((model, tokenizer), rows, rows, RECIPE).outputs(WEIGHTS[:2], SEEDS[:2]).shape == (2, 8)

    def test_large_models_and_long_rows_are_trained_alone(self):
        rows = tokenize(ROWS, tiny_models.tokenizer())
        assert most_together(scratch_model([])[0], rows, 32) == 16
        with torch.device("meta"):
            large = LlamaForCausalLM(LlamaConfig(vocab_size=49152, hidden_size=576, num_hidden_layers=4))
        assert most_together(large, rows, 32) == 1
        longer = tokenize([{"text": "The canal " * 600}], tiny_models.tokenizer())  # 1,200 tokens: 6 million pairs a head
        assert most_together(scratch_model([])[0], longer, 32) == 1
