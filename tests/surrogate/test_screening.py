"""Masks by design and a fit by likelihood, against closed forms."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from llmattr import surrogate
from llmattr.ablation import designed_masks, from_function
from llmattr.errors import LlmattrError
from llmattr.surrogate.linear import Problem
from llmattr.surrogate.ridge_fit import squared_fit
from llmattr.surrogate.screening import best_fit, fit_at

WEIGHTS = np.array([3.0, -2.0, 0.5, 0.0, 1.0, 0.0])


def linear(weights, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return from_function(lambda masks: (masks @ weights + 1 + noise * rng.normal(size=len(masks)))[:, None], len(weights))


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    masks = designed_masks(20, 6).astype(float)
    return masks, masks @ WEIGHTS + 1 + rng.normal(size=len(masks)), np.maximum(WEIGHTS + rng.normal(size=6), 0)


def test_a_linear_world_is_found_exactly():
    found = surrogate.screening(linear(WEIGHTS), 16)
    np.testing.assert_allclose(found.values[0], WEIGHTS, atol=1e-6)
    assert found.baseline == pytest.approx([1.0], abs=1e-6)
    assert found.lds == pytest.approx([1.0])
    np.testing.assert_allclose(found.predict(np.eye(6, dtype=bool)).T, [WEIGHTS + 1], atol=1e-6)


def test_a_right_prior_is_kept_where_masks_are_few():
    weights = np.concatenate([WEIGHTS, np.zeros(14)])
    found = surrogate.screening(linear(np.maximum(weights, 0), noise=0.1), 8, prior=np.maximum(weights, 0)[None] / 2)
    np.testing.assert_allclose(found.values[0], np.maximum(weights, 0), atol=0.5)
    assert found.details["prior_scale"] == pytest.approx([2.0], abs=0.2)


def test_a_prior_that_says_the_reverse_is_none():
    assert best_fit(designed_masks(16, 6).astype(float), designed_masks(16, 6) @ WEIGHTS, -WEIGHTS).scale == 0


def test_the_fit_is_a_ridge_with_the_inverse_penalty(data):
    masks, outputs = data[0][:16], data[1][:16]  # two whole folds: every column has the deviation of one half
    problem = Problem.of(masks, outputs, None)
    for ratio in (0.1, 1.0, 10.0):
        expected, intercept = problem.solution(squared_fit(problem, 4 / ratio))  # of columns divided by one half
        found = fit_at(ratio, masks, outputs, None)
        np.testing.assert_allclose(found.deviations, expected, atol=1e-9)
        assert found.intercept == pytest.approx(float(intercept), abs=1e-9)


def test_the_likelihood_is_that_of_what_the_fixed_part_leaves(data):
    """Of contrasts A'y with A orthogonal to the fixed part: A'y ~ N(0, s^2 A'KA), s^2 at its best."""
    masks, outputs, prior = data
    fixed = np.stack([np.ones(len(masks)), masks @ prior], axis=1)
    contrasts = scipy.linalg.null_space(fixed.T)
    z, free = contrasts.T @ outputs, len(masks) - 2

    def expected(ratio):
        covariance = contrasts.T @ (np.eye(len(masks)) + ratio * masks @ masks.T) @ contrasts
        noise = z @ np.linalg.solve(covariance, z) / free
        return scipy.stats.multivariate_normal.logpdf(z, cov=noise * covariance)

    one, other = (fit_at(ratio, masks, outputs, prior).likelihood for ratio in (0.2, 5.0))
    assert one - other == pytest.approx(expected(0.2) - expected(5.0), abs=1e-8)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 30.0])
def test_errors_are_those_of_fits_that_did_not_see_an_ablation(data, ratio):
    masks, outputs, prior = data
    found = fit_at(ratio, masks, outputs, prior)
    for i in (0, 7, 19):
        rest = np.arange(len(masks)) != i
        left = fit_at(ratio, masks[rest], outputs[rest], prior)
        predicted = left.intercept + masks[i] @ (left.scale * prior + left.deviations)
        assert found.errors[i] == pytest.approx(outputs[i] - predicted, abs=1e-8)


def test_masks_by_design_foretell_more_than_as_many_random_ones():
    """In twenty worlds of 20 sources with pairs; the mean gain is above two of its standard errors."""

    def foretold(values, function, seed):
        masks = np.random.default_rng(seed).random((400, 20)) < 0.5
        return scipy.stats.spearmanr(masks @ values[0], function(masks)[:, 0]).statistic

    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=20) * (rng.random(20) < 0.3) * 2 + 5 * (np.arange(20) == 0)
        pairs = rng.normal(size=(20, 20)) / 4

        def function(masks, weights=weights, pairs=pairs):
            return (masks @ weights + np.einsum("mi,ij,mj->m", masks * 1.0, pairs, masks * 1.0))[:, None]

        world = from_function(function, 20)
        designed, random = surrogate.screening(world, 32), surrogate.ridge(world, 32, bootstraps=0)
        gains.append(foretold(designed.values, function, seed + 100) - foretold(random.values, function, seed + 100))
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


def test_bad_input():
    with pytest.raises(LlmattrError, match=r"the prior must be finite numbers for targets and sources \(1, 6\)"):
        surrogate.screening(linear(WEIGHTS), 16, prior=np.ones((2, 6)))
    with pytest.raises(LlmattrError, match="n_ablations"):
        surrogate.screening(linear(WEIGHTS), 1)


def test_one_source_and_equal_outputs():
    assert surrogate.screening(linear(np.array([2.0])), 8).values == pytest.approx(np.array([[2.0]]), abs=1e-6)
    flat = surrogate.screening(from_function(lambda masks: np.ones((len(masks), 1)), 5), 8)
    np.testing.assert_allclose(flat.values, np.zeros((1, 5)), atol=1e-9)
    assert not flat.cited.any()
