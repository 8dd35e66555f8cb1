"""Steps on one row at a time: ATS and G-Shapley."""

import dataclasses

import numpy as np
import pytest
import torch

from llmattr import retraining
from llmattr.core.seeded import generator
from llmattr.retraining import one_row
from llmattr.retraining.methods.ats import Ats
from llmattr.retraining.methods.g_shapley import GShapley
from llmattr.retraining.one_row import RATES, added, one_pass
from tests import tiny_models
from tests.retraining.test_valuation import ASKED, ROWS, SHORT

ONES, BRIEF = np.ones(len(ROWS)), dataclasses.replace(SHORT, steps=3)


def ablation(**options):
    pair = tiny_models.gpt2().double(), tiny_models.tokenizer()
    return retraining.retraining_ablation(pair, ROWS, ASKED, **{"recipe": BRIEF, **options})


def gradients(model, examples, mean=False):
    """Of each example's log-probability (`mean`: by its counted tokens), all parameters one behind the other: [n, p]."""
    found = []
    for ids, counted in zip(examples.ids, examples.counted, strict=True):
        said = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
        said = said[torch.tensor(counted[1:])]
        parts = torch.autograd.grad(said.mean() if mean else said.sum(), list(model.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found)


class TestAts:
    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_of_small_steps_it_is_a_product_of_gradients(self, optimizer):
        """T7: of SGD grad-dot, of Adam with `g / (|g| + eps)` for the row's, to 1e-3: the next order is some 1e-4 of it."""
        trainer, rate = ablation().trainer, {"sgd": 1e-4, "adam": 1e-8}[optimizer]
        model = trainer.trained(ONES, 5).model
        rows, queries = gradients(model, trainer.rows, mean=True), gradients(model, trainer.queries)
        moved = rows if optimizer == "sgd" else rows / (rows.abs() + 1e-8)
        expected = (queries @ moved.T).numpy()
        found = added(trainer, ONES, 5, optimizer=optimizer, rate=rate).values / rate
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

    def test_each_row_starts_from_the_trained_model(self):
        trainer = ablation().trainer
        found = added(trainer, ONES, 5, optimizer="adam", rate=1e-2)
        np.testing.assert_array_equal(found.after, trainer.outputs(ONES[None], [5])[0])
        lm = trainer.trained(ONES, 5)
        one_row.step_on(lm.model, trainer.rows, 6, torch.optim.Adam(lm.model.parameters(), lr=1e-2))
        np.testing.assert_allclose(found.values[:, 6], trainer.measured(lm) - found.after, atol=1e-12)

    def test_the_row_that_says_it_adds_most_and_the_rate_is_the_trainings(self):
        asked = ablation(group_by="place", replicates=2)
        found = Ats().attribute(asked)
        assert [found[t].top(1)[0].id for t in range(2)] == ["Colon", "Spain"]
        assert (found.stderr > 0).all()
        np.testing.assert_array_equal(found.values, Ats(step_size=BRIEF.learning_rate).attribute(asked).values)
        assert (found.values != Ats(optimizer="adam").attribute(asked).values).all()


class TestGShapley:
    def test_marginals_add_up_to_what_the_pass_changed(self):
        """T19, here of a language model: the sum telescopes. 1e-10: sums of numbers near 10 in float64."""
        found = one_pass(ablation().trainer, ONES, 3, rate=0.05)
        np.testing.assert_allclose(found.values.sum(axis=1), found.after - found.baseline, atol=1e-10)
        assert np.abs(found.after - found.baseline).min() > 0.01

    def test_it_is_gradient_descent_in_the_order_of_the_seed(self):
        trainer, rate = ablation().trainer, 0.05
        model = tiny_models.gpt2().double()
        lm = dataclasses.replace(trainer.lm, model=model)
        expected, before = np.zeros((2, 8)), trainer.measured(lm)
        weights = np.where(np.arange(8) == 4, 0.0, 1.0)  # without row 4
        for row in generator(3, "order").permutation(np.flatnonzero(weights)).tolist():
            (gradient,) = gradients(model, trainer.rows.subset([row]), mean=True)
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(model.parameters()).detach() + rate * gradient, model.parameters()
            )
            after = trainer.measured(lm)
            expected[:, row], before = after - before, after
        np.testing.assert_allclose(one_pass(trainer, weights, 3, rate=rate).values, expected, atol=1e-10)

    @pytest.mark.slow
    def test_the_rate_is_the_one_that_helps_most(self):
        trainer = ablation(mean=True).trainer
        ends = [one_pass(trainer, ONES, 3, rate=rate).after for rate in RATES]
        np.testing.assert_array_equal(one_pass(trainer, ONES, 3).after, max(ends))
        assert len(np.unique(ends)) == len(RATES)

    def test_a_rate_that_leads_to_no_numbers_is_not_taken(self, monkeypatch):
        trainer = ablation().trainer
        monkeypatch.setattr(one_row, "RATES", (1e300, 0.05))
        np.testing.assert_array_equal(one_pass(trainer, ONES, 3).values, one_pass(trainer, ONES, 3, rate=0.05).values)

    def test_replicates_are_orders(self):
        asked = ablation(replicates=2)
        seeds = [asked.seed_of(np.ones(8, dtype=bool), k) for k in range(2)]
        each = [one_pass(asked.trainer, ONES, seed, rate=0.05).values for seed in seeds]
        found = GShapley(step_size=0.05).attribute(asked)
        np.testing.assert_allclose(found.values, np.mean(each, axis=0), atol=1e-12)
        np.testing.assert_allclose(found.stderr, np.abs(each[0] - each[1]) / 2, atol=1e-12)
        assert (each[0] != each[1]).all()
