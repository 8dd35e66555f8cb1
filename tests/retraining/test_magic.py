"""MAGIC: the derivative through a whole run, against runs with slightly other weights and against closed forms."""

import dataclasses

import numpy as np
import pytest
import torch

from llmattr import retraining
from llmattr.errors import LlmattrError
from llmattr.retraining import Recipe, metagradient
from llmattr.retraining.metagradient import metagradient as magic
from llmattr.retraining.methods.magic import Magic
from tests import tiny_models
from tests.retraining.test_valuation import ASKED, ROWS, SHORT

ONES = np.ones(len(ROWS))


def llama():
    """In float64 throughout: transformers' norms round to float32, which a difference of 1e-7 does not see through."""
    model = tiny_models.llama()
    for layer in model.model.layers:
        layer.input_layernorm, layer.post_attention_layernorm = (torch.nn.RMSNorm(32, 1e-6) for _ in range(2))
    model.model.norm = torch.nn.RMSNorm(32, 1e-6)
    return model.double()


def gpt2():
    return tiny_models.gpt2().double()


def ablation(model=gpt2, **options):
    pair = model(), tiny_models.tokenizer()
    return retraining.retraining_ablation(pair, ROWS, ASKED, **{"recipe": SHORT, **options})


def differences(trainer, weights, seed, delta=1e-7):
    """`(f(w + delta) - f(w - delta)) / 2 delta` by the weight of each row, each from two runs: [t, rows]."""
    sides = [
        [trainer.measured(trainer.trained(weights + sign * delta * row, seed)) for row in np.eye(len(weights))]
        for sign in (1, -1)
    ]
    return (np.array(sides[0]) - np.array(sides[1])).T / (2 * delta)


class TestTheDerivative:
    @pytest.mark.slow
    @pytest.mark.parametrize("model", [gpt2, llama])
    @pytest.mark.parametrize(
        "recipe",
        [
            SHORT,  # its clipping is at work
            dataclasses.replace(SHORT, clip=0.0, schedule="cosine"),
            dataclasses.replace(SHORT, clip=1e3, weight_decay=20.0),
        ],
        ids=["clipped", "free", "decay"],
    )
    def test_it_is_that_of_runs_with_slightly_other_weights(self, model, recipe):
        """All rows, both queries, 12 steps, to 1 % of the largest.

        What AdamW does in its first step turns within 1e-5 of a weight, where it goes by the sign of the gradient, so that 1e-7
        leaves about (1e-2)^2; rounding leaves 1e-15 / 1e-7.
        """
        trainer = ablation(model, recipe=recipe).trainer
        weights = np.array([1.0, 0.5, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0])
        expected = differences(trainer, weights, 3)
        np.testing.assert_allclose(magic(trainer, weights, 3).values, expected, rtol=0, atol=0.01 * np.abs(expected).max())

    @pytest.mark.slow
    def test_the_clipping_is_at_work_and_is_not(self):
        ends = [
            magic(ablation(recipe=dataclasses.replace(SHORT, clip=clip)).trainer, ONES, 3).after for clip in (1.0, 0.0, 1e3)
        ]
        assert np.abs(ends[0] - ends[1]).max() > 1e-3
        np.testing.assert_array_equal(ends[1], ends[2])

    @pytest.mark.slow
    @pytest.mark.parametrize(("measure", "mean"), [("logit", False), ("logprob", True), ("logit", True)])
    def test_of_every_measure(self, measure, mean):
        trainer = ablation(measure=measure, mean=mean).trainer
        expected = differences(trainer, ONES, 0)
        np.testing.assert_allclose(magic(trainer, ONES, 0).values, expected, rtol=0, atol=0.01 * np.abs(expected).max())

    def test_of_one_step_on_one_row_in_closed_form(self):
        """From 0 AdamW moves by `rate w g / (|w g| + eps)`, which a weight changes by `rate g eps / (|g| + eps)^2` alone."""
        recipe = Recipe(steps=1, batch_size=1, learning_rate=1e-3, warmup=0.0, clip=0.0)
        asked = retraining.retraining_ablation((gpt2(), tiny_models.tokenizer()), ROWS[:1], ASKED[:1], recipe=recipe)
        model, trained = gpt2(), asked.trainer.trained(np.ones(1), 0).model

        def gradient(model, ids, counted):
            logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            said = logprobs[torch.arange(len(ids) - 1), ids[1:]][torch.tensor(counted[1:])]
            return torch.autograd.grad(said.sum(), list(model.parameters())), len(said)

        (row, n), (query, _) = (
            gradient(one, part.ids[0], part.counted[0])
            for one, part in ((model, asked.trainer.rows), (trained, asked.trainer.queries))
        )
        each = [(q * 1e-3 * (g / n) * 1e-8 / ((g / n).abs() + 1e-8) ** 2).sum() for q, g in zip(query, row, strict=True)]
        np.testing.assert_allclose(magic(asked.trainer, np.ones(1), 0).values, [[float(sum(each))]], rtol=1e-6)


class TestTheRun:
    @pytest.mark.slow
    def test_how_many_states_are_kept_changes_no_bit(self):
        trainer = ablation(llama).trainer
        found = magic(trainer, ONES, 0)
        for kept in (1, 2, 5, 12, 100):
            for one, other in zip(magic(trainer, ONES, 0, kept=kept), found, strict=True):
                np.testing.assert_array_equal(one, other)

    @pytest.mark.slow
    def test_fewest_states_are_held_at_the_square_root(self, monkeypatch):
        """36 steps: 6 marks and at most 5 more between two of them, in place of 36."""
        held, taken = [], metagradient.state_of
        monkeypatch.setattr(metagradient, "state_of", lambda run: held.append(None) or taken(run))
        passed = metagradient.before
        most = []

        def passing(run, step, state, adjoints):
            most.append(len(held))
            held.pop()
            return passed(run, step, state, adjoints)

        monkeypatch.setattr(metagradient, "before", passing)
        magic(ablation(recipe=dataclasses.replace(SHORT, steps=36)).trainer, ONES, 0)
        assert max(most) == 11
        assert held == []

    def test_it_is_the_trainers_own(self):
        trainer, weights = ablation().trainer, np.array([1.0, 0.5, 1.0, 0.0, 1.0, 2.0, 1.0, 1.0])
        found = magic(trainer, weights, 7)
        np.testing.assert_array_equal(found.after, trainer.outputs(weights[None], [7])[0])
        np.testing.assert_allclose(found.baseline + found.values @ weights, found.after, rtol=1e-12)
        assert (found.values[:, 3] == 0).all()  # it was not trained on

    @pytest.mark.slow
    def test_how_many_queries_go_together_changes_nothing(self, monkeypatch):
        """One by one no query needs `torch.vmap`. 1e-9: rounding in float64, over 12 steps."""
        trainer = ablation().trainer
        together = magic(trainer, ONES, 0).values
        monkeypatch.setattr("llmattr.retraining.row_gradients.TOGETHER", 1)
        np.testing.assert_allclose(magic(trainer, ONES, 0).values, together, rtol=1e-9)
        monkeypatch.setattr("llmattr.retraining.metagradient.can_stack", lambda *_: False)
        np.testing.assert_allclose(magic(trainer, ONES, 0).values, together, rtol=1e-9)

    def test_the_model_is_left_as_it_was(self):
        model = gpt2()
        before = [p.clone() for p in model.parameters()]
        magic(retraining.retraining_ablation((model, tiny_models.tokenizer()), ROWS, ASKED, recipe=SHORT).trainer, ONES, 0)
        assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
        assert all(p.grad is None for p in model.parameters())


class TestTheMethod:
    def test_groups_are_sums_and_replicates_give_errors(self):
        asked = ablation(group_by="place", replicates=2, recipe=dataclasses.replace(SHORT, steps=3))
        found = Magic().attribute(asked)
        seeds = [asked.seed_of(np.ones(4, dtype=bool), k) for k in range(2)]
        each = [magic(asked.trainer, ONES, seed).values for seed in seeds]
        each = [values[:, :4] + values[:, 4:] for values in each]
        np.testing.assert_allclose(found.values, np.mean(each, axis=0), atol=1e-12)
        np.testing.assert_allclose(found.stderr, np.abs(each[0] - each[1]) / 2, atol=1e-12)
        np.testing.assert_allclose(found.details["after"], asked(np.ones((1, 4), dtype=bool))[0], atol=1e-12)

    def test_a_second_derivative_that_is_not_known_is_said(self):
        model = gpt2()
        model.transformer.ln_f = torch.nn.Sequential(model.transformer.ln_f, Once())
        with pytest.raises(LlmattrError, match="an operation that knows no second derivative: take in-run-shapley"):
            Magic().attribute(ablation(lambda: model))

    def test_a_derivative_that_is_not_finite_is_named(self, monkeypatch):
        pulled = metagradient._pulled
        monkeypatch.setattr(metagradient, "_pulled", lambda *given: tuple(one / 0 for one in pulled(*given)))
        with pytest.raises(
            LlmattrError, match=r"by the weight of row \d is not finite at step 12: take a smaller --learning-rate"
        ):
            Magic().attribute(ablation())


class Once(torch.nn.Module):
    """Changes nothing, by an operation that PyTorch can differentiate once."""

    def forward(self, x):
        return x + 0 * torch.cdist(x, x, p=3.0).sum()
