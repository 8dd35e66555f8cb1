"""Values by a regression and what it leaves: exact where a fit is, without bias elsewhere, no worse than what they replace."""

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import every_mask, from_function
from llmattr.errors import LlmattrNote
from llmattr.surrogate.lasso_fit import lasso_model
from llmattr.surrogate.ridge_fit import ridge_model
from llmattr.surrogate.sized import least_variance, sized_masks
from tests import worlds

EXACT = 1e-10  # least squares of at most 50 rows of numbers near 1
N = 8
ESTIMATES = [surrogate.shapley, surrogate.banzhaf]


class Noisy:
    """A game whose outputs have an error of this deviation, and which says so."""

    def __init__(self, game, sigma, seed=0):
        self.game, self.sigma, self.rng = game, sigma, np.random.default_rng(seed)
        self.sources, self.targets, self.record = game.sources, game.targets, game.record

    def __call__(self, masks):
        return self.game(masks) + self.sigma * self.rng.normal(size=(len(masks), 1))

    def noise(self):
        return np.array([self.sigma])


def polynomial(pairs):
    """Eight effects, and one of each pair."""
    rng = np.random.default_rng(0)
    effects, together = rng.normal(size=N), pairs * np.triu(rng.normal(size=(N, N)), 1)
    return from_function(lambda masks: (1 + masks @ effects + ((masks @ together) * masks).sum(axis=1))[:, None], N)


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("pairs", [0.0, 1.0])
def test_effects_and_pairs_are_exact_from_so_few_masks_that_a_fit_is(estimate, pairs):
    """Twenty pairs of masks fix eight effects even without a tenth of them; effects of two sources are in no difference."""
    game = polynomial(pairs)
    found, exact = estimate(game, 40, "regression"), estimate(game, method="exact")
    np.testing.assert_allclose(found.values, exact.values, atol=EXACT)
    np.testing.assert_allclose(found.stderr, 0, atol=1e-5)  # a share of 1e-6 of errors are as good as the best
    np.testing.assert_allclose(found.baseline, exact.baseline, atol=1.0 if pairs and estimate is surrogate.banzhaf else EXACT)


@pytest.mark.parametrize(("estimate", "m"), [(surrogate.shapley, 60), (surrogate.banzhaf, 24)])
def test_there_is_no_bias(estimate, m):
    """The mean over 60 seeds is off by less than 4 of its errors in each of 9 values: more by chance once in 400."""
    game = worlds.game(9)
    found = np.array([estimate(game, m, "regression", seed=seed).values[0] for seed in range(60)])
    off = (found.mean(axis=0) - estimate(game, method="exact").values[0]) / (found.std(axis=0, ddof=1) / 60**0.5)
    assert np.abs(off[: 8 if estimate is surrogate.shapley else 9]).max() < 4  # Shapley values add up: eight are free


@pytest.mark.parametrize(("estimate", "before"), [(surrogate.shapley, "kernel"), (surrogate.banzhaf, "sample")])
@pytest.mark.parametrize("m", [48, 96, 160])
def test_a_random_game_is_no_worse_than_before(estimate, before, m):
    """Mean squared errors over 10 games of 9 sources: in 200 of them by these estimators the ratio is .27 to .93."""
    errors = {"regression": 0.0, before: 0.0}
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        exact = estimate(game, method="exact").values
        for method in errors:
            errors[method] += ((estimate(game, m, method, seed=seed).values - exact) ** 2).mean()
    assert errors["regression"] < 1.1 * errors[before]


def test_more_sources_than_pairs_leave_the_fit_alone():
    """With 20 pairs for 40 sources what a fit leaves is chance: two large effects are found, and no error is stated."""
    weights = np.zeros(40)
    weights[[3, 20]] = 4.0, -3.0
    with pytest.warns(LlmattrNote, match="too few for errors of the Shapley values of 40 sources"):
        found = surrogate.shapley(worlds.noisy(weights, 0.3), 42)
    assert np.argsort(np.abs(found.values[0]))[-2:].tolist() == [20, 3]
    np.testing.assert_allclose(found.values[0, [3, 20]], [4, -3], atol=1.0)
    assert np.square(np.delete(found.values[0], [3, 20])).mean() < 0.01  # what the fit leaves would add .02
    assert np.isnan(found.stderr).all()


def test_errors_are_of_fits_that_did_not_see_a_row():
    """Thirty pairs for twenty sources: a fit leaves next to nothing of what it saw, and its errors would be far too small."""
    squares = []
    for seed in range(10):
        weights = np.random.default_rng(seed).normal(size=20)
        found = surrogate.banzhaf(worlds.noisy(weights, 1.0, seed), 60, "regression", seed=seed)
        squares.append(((found.values[0] - weights) / found.stderr[0]) ** 2)
    assert 0.5 < np.mean(squares) < 2  # as the errors of other estimators


def test_the_error_of_two_sources_is_that_of_four_noisy_outputs():
    """`(f(1) - f(0) + f(12) - f(2)) / 2`: all four are asked, and the deviation is that of one output."""
    ablation = Noisy(worlds.linear([[1.0, 2.0]], [0.0]), 0.3)
    np.testing.assert_allclose(surrogate.shapley(ablation, 4, "regression").stderr, 0.3)


def test_noise_of_what_is_not_drawn_is_in_the_error():
    """Of six sources every pair but some of the middle is taken; the stated error has the outputs' noise all the same."""
    squares = []
    exact = surrogate.shapley(worlds.game(6)).values
    for seed in range(40):
        found = surrogate.shapley(Noisy(worlds.game(6), 0.5, seed), 60, "regression", seed=seed)
        squares.append(((found.values - exact) / found.stderr)[0] ** 2)
    assert 0.5 < np.mean(squares) < 2  # as the errors of other estimators


@pytest.mark.parametrize("m", [10, 30, 64])
def test_pairs_of_masks_stand_for_all_of_their_sizes(m):
    """What masks and opposites stand for is each size once, on average; none comes twice while its size has others."""
    n, shares = 7, least_variance(surrogate.shapley_sizes(7))
    sums = np.zeros(n + 1)
    for seed in range(200):
        masks, stands, drawn, unseen = sized_masks(m, n, shares, seed, pairs=True)
        assert len(masks) == m
        assert (unseen[~drawn] == 0).all()
        both = np.concatenate([masks, ~masks])
        assert len(np.unique(both, axis=0)) == 2 * m
        sums += np.bincount(both.sum(axis=1), np.tile(stands, 2), minlength=n + 1) / 200
    np.testing.assert_allclose(sums, 1, atol=0.15)  # a size of one mask or none has a deviation of at most 2, over 200 seeds


def test_pairs_of_an_even_number_of_sources_meet_in_the_middle():
    masks, stands, drawn, _ = sized_masks(6, 4, least_variance(surrogate.banzhaf_sizes(4)), 0, pairs=True)
    assert len(np.unique(np.concatenate([masks, ~masks]), axis=0)) == 12
    assert drawn.all()
    share = np.array([1, 4, 3]) / 8  # of all pairs
    np.testing.assert_allclose(stands, (np.array([1, 1, 0.5]) / (6 * share))[masks.sum(axis=1)])


@pytest.mark.parametrize("model", [ridge_model, lasso_model])
def test_a_fit_without_a_level_goes_through_the_origin(model):
    masks = every_mask(5)
    y = masks @ np.arange(5.0) + 3
    plain = np.linalg.lstsq(masks.astype(float), y, rcond=None)[0]
    found = model(masks, y, 0.0, level=False)
    np.testing.assert_allclose(found.weights, plain, atol=EXACT)
    assert found.intercept == 0
    assert np.abs(model(masks, y, 0.0).weights - plain).max() > 0.1
