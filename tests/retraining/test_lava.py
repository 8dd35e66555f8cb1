"""LAVA: the potentials of optimal transport, and what they say of rows."""

import dataclasses

import numpy as np
import pytest
import torch

from llmattr import retraining
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import transport
from llmattr.retraining.methods.lava import Lava, label_distances, lava
from llmattr.retraining.transport import least_cost, potentials
from tests.retraining.test_valuation import ASKED, ROWS, SHORT, ablation

COST = np.random.default_rng(0).random((7, 4)) + 0.5
EVEN = np.full(7, 1 / 7)


class TestTransport:
    def test_the_plan_has_the_masses(self):
        """1e-9: potentials settle to 1e-10 of the entropy's weight."""
        masses = EVEN * np.linspace(0.4, 1.6, 7)
        f, g = potentials(COST, masses, 0.05)
        plan = masses[:, None] / 4 * np.exp((f[:, None] + g - COST) / 0.05)
        np.testing.assert_allclose(plan.sum(axis=1), masses, rtol=1e-9)
        np.testing.assert_allclose(plan.sum(axis=0), 1 / 4, rtol=1e-9)
        value = (plan * COST).sum() + 0.05 * (plan * np.log(plan / (masses[:, None] / 4))).sum()
        np.testing.assert_allclose(masses @ f + g.mean(), value, rtol=1e-9)

    @pytest.mark.parametrize("entropy", [0.02, 0.5, 10.0])
    def test_of_points_that_are_all_as_far_apart_in_closed_form(self, entropy):
        """Potentials are alike: `-entropy log((1 + 5 exp(-1 / entropy)) / 6)`."""
        found = least_cost(np.ones((6, 6)) - np.eye(6), entropy)
        np.testing.assert_allclose(found, -entropy * np.log((1 + 5 * np.exp(-1 / entropy)) / 6), rtol=1e-9)

    def test_to_one_point_there_is_one_plan(self):
        assert least_cost(COST[:, :1], 0.3) == pytest.approx(COST[:, 0].mean(), rel=1e-12)

    def test_what_does_not_settle_is_said(self, monkeypatch):
        monkeypatch.setattr(transport, "STEPS", 3)
        with pytest.raises(LlmattrError, match="not settled after 3 steps: take a larger --regularization"):
            potentials(COST, EVEN, 0.01)


class TestValues:
    def test_they_are_the_potential_less_the_others_mean_and_add_up_to_nothing(self):
        """T18, in both its forms. 1e-12: sums of 7 numbers near 1."""
        f, _ = potentials(COST, EVEN, 0.1 * COST.mean())
        found = lava(COST, 0.1)
        assert abs(found.sum()) < 1e-12
        np.testing.assert_allclose(found, [np.delete(f, i).mean() - f[i] for i in range(7)], atol=1e-12)
        np.testing.assert_allclose(found, -((1 + 1 / 6) * f - f.sum() / 6), atol=1e-12)

    def test_they_are_the_derivative_of_the_distance_by_a_rows_mass(self):
        """Mass that a row gets from all others alike, with its sign turned. 1e-6: (1e-4)^2 over the entropy, 1e-11 / 1e-4."""
        entropy, delta = 0.1 * COST.mean(), 1e-4

        def distance(masses):
            f, g = potentials(COST, masses, entropy)
            return masses @ f + g.mean()

        ways = [(7 * row - 1) / 6 for row in np.eye(7)]
        expected = [(distance(EVEN - delta * way) - distance(EVEN + delta * way)) / (2 * delta) for way in ways]
        np.testing.assert_allclose(lava(COST, 0.1), expected, atol=1e-6)

    def test_of_one_query_in_closed_form(self):
        """There is one plan, so a potential is the row's cost: `mean of the others' costs less its own`."""
        costs = np.array([[0.5], [1.5], [1.0], [3.0]])
        expected = [np.delete(costs, i).mean() - costs[i, 0] for i in range(4)]
        np.testing.assert_allclose(lava(costs, 0.1), expected, atol=1e-9)
        assert lava(costs[:1], 0.1).tolist() == [0.0]
        assert np.abs(lava(np.zeros((3, 2)), 0.1)).max() < 1e-12  # all alike

    def test_completions_are_as_far_as_their_rows_from_their_queries(self):
        said, asked = np.array([0, 1, 0, 1, 2, 2, 2]), np.array([0, 0, 1, 2])
        found = label_distances(COST, said, asked, 0.1)
        for i, j in np.ndindex(found.shape):
            cloud = COST[np.ix_(said == said[i], asked == asked[j])]
            assert found[i, j] == least_cost(cloud, 0.1 * COST.mean())
        np.testing.assert_allclose(found[4, 2], COST[4:, 2].mean(), rtol=1e-12)  # one query with this completion


class TestTheMethod:
    def test_a_row_that_says_something_else_is_below_the_same_one_that_does_not(self):
        """Two rows ask the same, one of them as the query's completion has it."""
        rows = [*ROWS, {**ROWS[2], "completion": " wide"}]
        found = Lava().attribute(ablation(rows=rows, asked=[*ASKED, *ROWS[:4]]))
        assert found.values.shape == (1, 9)
        assert found.values[0, 2] > found.values[0, 8]
        assert not found.cited.any()
        np.testing.assert_allclose(found.values.sum(), 0, atol=1e-12)
        alike = Lava(label_weight=0.0).attribute(ablation(rows=rows, asked=[*ASKED, *ROWS[:4]])).values[0]
        np.testing.assert_allclose(alike[2], alike[8], atol=1e-9)

    def test_groups_have_the_mean_of_their_rows(self):
        whole = Lava().attribute(ablation()).values
        groups = Lava().attribute(ablation(group_by="place"))
        np.testing.assert_allclose(groups.values, (whole[:, :4] + whole[:, 4:]) / 2, atol=1e-12)

    def test_the_order_of_rows_and_queries_changes_nothing(self):
        found = Lava().attribute(ablation()).values
        other = Lava().attribute(ablation(rows=ROWS[::-1], asked=ASKED[::-1])).values
        np.testing.assert_allclose(found, other[:, ::-1], atol=1e-9)

    def test_random_weights_are_noted(self):
        with pytest.warns(LlmattrNote, match="random weights"):
            Lava().attribute(ablation(recipe=dataclasses.replace(SHORT, start="random"), dtype=torch.float32))

    def test_no_model_is_trained(self):
        asked = ablation()
        assert Lava().attribute(asked).run["runs"] == 0
        assert retraining.METHODS["lava"] is Lava
