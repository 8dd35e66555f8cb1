"""Estimators over any ablation, on worlds where the right weights are known."""

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import from_function, random_masks
from llmattr.errors import LlmattrError
from llmattr.surrogate import linear, ridge_fit
from tests import worlds

WEIGHTS = [[3.0, -2.0, 0.0, 1.0, 0.5], [0.0, 0.0, 7.0, -0.25, 0.0]]
BIAS = [-4.0, 10.0]


def lasso_error(masks, outputs, alpha):
    """How far scikit-learn's lasso may end from the least-squares weights of noiseless outputs.

    It stops at a duality gap of tol |y|^2 / m = 1e-4 var(y), so |Z (w - w*)|^2 / 2m <= gap bounds the error by the smallest
    eigenvalue of the standardised design; the penalty itself moves the optimum by at most alpha sqrt(n) / eigenvalue.
    """
    design = (masks - masks.mean(axis=0)) / masks.std(axis=0)
    smallest = np.linalg.eigvalsh(design.T @ design / len(masks))[0]
    stop = np.sqrt(2 * 1e-4 * outputs.var(axis=0).max() / smallest)
    return (stop + alpha * np.sqrt(masks.shape[1]) / smallest) / masks.std(axis=0).min()


def test_a_linear_world_gives_its_weights():
    ablation = worlds.linear(WEIGHTS, BIAS)
    exact = surrogate.leave_one_out(ablation)
    np.testing.assert_allclose(exact.values, WEIGHTS, atol=1e-12)
    np.testing.assert_allclose(exact.baseline, BIAS, atol=1e-12)
    ridge = surrogate.ridge(ablation, alpha=1e-12)
    np.testing.assert_allclose(ridge.values, WEIGHTS, atol=1e-10)
    np.testing.assert_allclose(ridge.baseline, BIAS, atol=1e-10)
    lasso = surrogate.lasso(ablation, alpha=1e-9)
    masks = random_masks(64, 5)
    bound = lasso_error(masks, ablation(masks), 1e-9)
    np.testing.assert_allclose(lasso.values, WEIGHTS, atol=bound)
    np.testing.assert_allclose(lasso.predict(masks), ablation(masks), atol=6 * bound)
    assert lasso.values.shape == lasso.stderr.shape == (2, 5)


def test_lasso_on_an_orthogonal_design_is_soft_thresholding():
    masks = worlds.all_masks(5)
    outputs = masks @ np.array(WEIGHTS).T + BIAS
    alpha = 0.3
    values, _ = surrogate.fit_lasso(masks, outputs, alpha)
    standardised = np.array(WEIGHTS) * 0.5  # the standard deviation of a fair coin
    soft = np.sign(standardised) * np.maximum(np.abs(standardised) - alpha, 0) / 0.5
    # On an orthogonal design one sweep of coordinate descent is exact.
    np.testing.assert_allclose(values, soft, atol=1e-12)


def test_the_scale_is_a_penalty_per_unit():
    masks = random_masks(40, 5)
    outputs = worlds.linear(WEIGHTS, BIAS)(masks) + np.random.default_rng(0).normal(size=(40, 2))
    scale = np.array([4.0, 0.5])
    scaled, intercepts = surrogate.fit_lasso(masks, outputs, 0.1, scale)
    for t in range(2):
        alone, intercept = surrogate.fit_lasso(masks, outputs[:, t : t + 1], 0.1 * scale[t])
        np.testing.assert_allclose(scaled[t], alone[0], atol=1e-10)
        np.testing.assert_allclose(intercepts[t], intercept[0], atol=1e-10)


def test_a_source_that_is_never_removed_has_no_weight():
    masks = random_masks(20, 3)
    masks[:, 1] = True
    values, _ = surrogate.fit_ridge(masks, masks.sum(axis=1, keepdims=True).astype(float), 1e-9)
    np.testing.assert_allclose(values, [[1, 0, 1]], atol=1e-8)


def test_bootstrap_error_of_a_mean():
    sample = np.random.default_rng(1).normal(size=(400, 1, 1))
    stderr = surrogate.bootstrap_stderr(lambda rows: sample[rows].mean(axis=0), 400, bootstraps=2000)
    # The bootstrap error of a mean is the plug-in error up to 1 / sqrt(2 * draws) = 1.6 %; five of these.
    assert abs(stderr[0, 0] / (sample.std() / 20) - 1) < 5 / np.sqrt(2 * 2000)


def clear_for(result):
    """Which sources stand clear of their errors, for the target; of these the best are cited."""
    return result.clear & (result.values > 0)


def test_noise_is_not_cited_and_signal_is():
    rng = np.random.default_rng(0)
    ablation = from_function(lambda masks: masks[:, :1] * 3.0 + rng.normal(size=(len(masks), 1)), 8)
    result = surrogate.ridge(ablation, n_ablations=200, alpha=1.0)
    assert clear_for(result)[0, 0]
    assert clear_for(result)[0, 1:].sum() <= 1  # each of the seven is cited by chance once in 40


def test_leave_one_out_is_blind_to_redundant_sources_and_the_surrogate_is_not():
    ablation = worlds.either(4)
    assert not surrogate.leave_one_out(ablation).values.any()
    # Over fair coins the best linear fit of (a or b) gives both 1/4: E[f | a] - E[f | not a] = 1 - 1/2 = 1/2 of the swing.
    values, _ = surrogate.fit_ridge(worlds.all_masks(4), ablation(worlds.all_masks(4)), 1e-12)
    np.testing.assert_allclose(values, [[0.5, 0.5, 0, 0]], atol=1e-10)


def test_the_same_seed_gives_the_same_numbers():
    ablation = worlds.linear(WEIGHTS, BIAS)
    one, two = (surrogate.lasso(ablation, seed=3) for _ in range(2))
    assert (one.values == two.values).all()
    assert (one.stderr == two.stderr).all()
    without = surrogate.lasso(ablation, bootstraps=0)
    assert np.isnan(without.stderr).all()
    assert not without.cited.any()  # of scores whose error nobody asked for none stands clear of it


@pytest.mark.parametrize("fit", [surrogate.lasso, surrogate.ridge])
def test_bad_input(fit):
    with pytest.raises(LlmattrError, match="n_ablations must be 2 or more"):
        fit(worlds.linear(WEIGHTS, BIAS), n_ablations=1)
    with pytest.raises(LlmattrError, match="ablation 0 gave nan for target 0"):
        fit(from_function(lambda masks: np.full((len(masks), 1), np.nan), 3))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"alpha": 0.01}, {"alpha": "auto"}])
@pytest.mark.parametrize(("n", "tokens"), [(20, 1), (60, 1), (100, 3)])
def test_sources_without_effect_are_cited_once_in_40_even_with_few_ablations(n, tokens, options):
    rng = np.random.default_rng(n)
    cited = 0
    for seed in range(10):
        noise = from_function(lambda masks: rng.normal(size=(len(masks), 1)), n)
        cited += clear_for(surrogate.lasso(noise, scale=np.array([float(tokens)]), seed=seed, **options)).sum()
    # 10 n sources, each cited with a chance of 1/40 at the most: five deviations of that count above its mean.
    expected = 10 * n / 40
    assert cited < expected + 5 * expected**0.5


def test_the_error_of_a_weight_is_that_of_least_squares():
    """On an orthogonal design with noise the error of each weight is `sigma / (std sqrt(m))` up to the degrees of freedom."""
    masks = worlds.all_masks(8)
    outputs = masks @ np.ones((8, 1)) + np.random.default_rng(0).normal(size=(256, 1))
    values, intercepts = surrogate.fit_ridge(masks, outputs, 1e-12)
    residual = outputs[:, 0] - intercepts - masks @ values[0]
    exact = np.sqrt(residual @ residual / 247 / (256 * 0.25))
    # Held-out errors are residual / (1 - 9/256), every leverage being 9/256: the error's square is 256/247 of the exact one.
    found = surrogate.heldout_stderr(masks, residual / (1 - 9 / 256))
    np.testing.assert_allclose(found, exact * np.sqrt(256 / 247), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must be 0 or more"),
        ({"alpha": float("nan")}, "alpha must be 0 or more"),
        ({"seed": -1}, "seed must lie between 0 and 4294967296"),
        ({"bootstraps": -5}, "bootstraps must be 0 or more"),
        ({"keep": 1.0}, "keep must lie between 0 and 1"),
    ],
)
def test_numbers_out_of_bounds(options, message):
    with pytest.raises(LlmattrError, match=message):
        surrogate.lasso(worlds.linear(WEIGHTS, BIAS), **options)


EVERY_FIT = [surrogate.lasso, surrogate.ridge, surrogate.blend, surrogate.pairs]
N = 20
TRUE = np.zeros(N)
TRUE[:6] = [4.0, -3.0, 2.0, 1.5, 1.0, -1.0]


def spearman(values, ablation, n=N):
    """The LDS on fresh masks."""
    masks = np.random.default_rng(99).random((300, n)) < 0.5
    return surrogate.rank_correlation(masks @ values[0], ablation(masks)[:, 0])


@pytest.mark.parametrize("fit", EVERY_FIT)
class TestChosenPenalty:
    def test_noiseless_outputs_choose_no_penalty(self, fit):
        result = fit(worlds.linear(WEIGHTS, BIAS))
        np.testing.assert_allclose(result.values, WEIGHTS, atol=1e-10)
        np.testing.assert_allclose(result.baseline, BIAS, atol=1e-10)
        np.testing.assert_allclose(result.lds, 1.0, atol=1e-12)
        assert clear_for(result).tolist() == (np.array(WEIGHTS) > 0.1).tolist()

    def test_lds_of_noise_is_zero_on_average(self, fit):
        """Spearman of m = 48 pairs without relation deviates by 1 / sqrt(47), the mean of 12 by that over sqrt(12).

        Four of these below 0; above it eight: a penalty is chosen where noise seems to help.
        """
        found = [fit(worlds.noisy(np.zeros(N), 1.0, seed), 48, bootstraps=0, seed=seed).lds[0] for seed in range(12)]
        assert -4 < np.mean(found) * np.sqrt(47 * 12) < 8

    def test_lds_is_that_of_fresh_masks(self, fit):
        """Both are Spearman's of about the same fit, on 64 and on 300 masks: a deviation is (1 - rho^2) / sqrt(63) at most."""
        ablation = worlds.noisy(TRUE, 1.5)
        result = fit(ablation, bootstraps=0)
        fresh = spearman(result.values, ablation)
        assert abs(result.lds[0] - fresh) < 4 * (1 - fresh**2) / np.sqrt(63)

    def test_outputs_that_never_change(self, fit):
        result = fit(worlds.linear(np.zeros((1, 4)), [2.0]), 16)
        assert np.isnan(result.lds).all()
        assert not result.values.any()
        np.testing.assert_allclose(result.stderr, 0, atol=1e-14)  # 2.0 less the mean of 2.0s
        np.testing.assert_allclose(result.baseline, 2.0)

    def test_targets_do_not_depend_on_one_another(self, fit):
        ablation = worlds.game(5, 3)
        together = fit(ablation, 24)
        for t in range(3):
            alone = fit(from_function(lambda masks, t=t: ablation(masks)[:, t : t + 1], 5), 24)
            np.testing.assert_array_equal(together.values[t], alone.values[0])
            np.testing.assert_array_equal(together.stderr[t], alone.stderr[0])
            np.testing.assert_array_equal(together.lds[t], alone.lds[0])

    @pytest.mark.parametrize("m", [2, 3, 4, 8])
    def test_few_ablations(self, fit, m):
        result = fit(worlds.noisy(TRUE, 0.5), m)
        assert np.isfinite(result.values).all()
        masks = random_masks(m, N)
        varied = masks.any(axis=0) & ~masks.all(axis=0)
        np.testing.assert_array_equal(np.isfinite(result.stderr[0]), varied)  # of the others nothing is known
        assert not result.cited[0, ~varied].any()

    def test_rounding_chooses_nothing(self, fit):
        """Outputs that differ by the rounding of another batch size give scores that differ by as little."""
        ablation = worlds.noisy(TRUE, 1.0)
        shaken = from_function(lambda masks: ablation(masks) * (1 + 1e-13 * np.sin(np.arange(len(masks))))[:, None], N)
        np.testing.assert_allclose(fit(ablation, bootstraps=0).values, fit(shaken, bootstraps=0).values, atol=1e-10)


def test_leave_one_out_in_closed_form_is_leaving_one_out():
    """Allen's formula against fits without each mask, repeated masks together, on the same standardised columns."""
    masks, y = random_masks(14, 3), np.random.default_rng(0).normal(size=14)  # 8 masks at the most: some repeat
    inverse = np.unique(masks, axis=0, return_inverse=True)[1].reshape(-1)
    model = ridge_fit.ridge_model(masks, y, 3.0)
    x = (masks - masks.mean(axis=0)) / masks.std(axis=0)
    means = np.array([y[inverse == g].mean() for g in inverse])
    for g in range(inverse.max() + 1):
        seen = inverse != g
        design = np.concatenate([np.ones((seen.sum(), 1)), x[seen]], axis=1)
        fitted = np.linalg.solve(design.T @ design + np.diag([0.0, 3, 3, 3]), design.T @ means[seen])
        np.testing.assert_allclose(y[~seen] - model.errors[~seen], fitted[0] + x[~seen] @ fitted[1:], atol=1e-12)


def test_equal_masks_share_a_fold():
    masks = random_masks(64, 4)
    folds = linear.mask_folds(masks)
    for mask in worlds.all_masks(4):
        assert len(set(folds[(masks == mask).all(axis=1)])) <= 1
    assert set(folds) == set(range(5))


@pytest.mark.parametrize("fit", [surrogate.lasso, surrogate.ridge, surrogate.blend])
class TestPrior:
    def test_an_exact_prior_needs_four_masks(self, fit):
        ablation = worlds.linear([TRUE], [1.0])
        result = fit(ablation, 4, prior=0.3 * TRUE[None])
        np.testing.assert_allclose(result.values[0], TRUE, atol=1e-9)
        np.testing.assert_allclose(result.lds, 1.0)
        assert spearman(result.values, ablation) > 1 - 1e-9
        assert result.details["around_prior"] == [True]

    def test_a_prior_of_noise_does_no_harm(self, fit):
        without, with_ = [], []
        for seed in range(12):
            ablation = worlds.noisy(TRUE, 1.0, seed)
            prior = np.random.default_rng(seed).normal(size=(1, N))
            without.append(spearman(fit(ablation, 32, bootstraps=0, seed=seed).values, ablation))
            with_.append(spearman(fit(ablation, 32, bootstraps=0, seed=seed, prior=prior).values, ablation))
        loss = np.array(without) - with_
        assert loss.mean() < 3 * loss.std(ddof=1) / np.sqrt(12) + 1e-12

    def test_half_a_prior_is_better_than_either(self, fit):
        """The prior knows every other source: 16 ablations of 20 sources suffice for the rest, not for all."""
        half = np.where(np.arange(N) % 2, TRUE, 0.0)[None]
        found = []
        for seed in range(12):
            ablation = worlds.noisy(TRUE, 0.5, seed)
            fits = [fit(ablation, 16, bootstraps=0, seed=seed, prior=prior).values for prior in (half, None)]
            found.append([spearman(values, ablation) for values in (*fits, half)])
        both, without, alone = np.array(found).T
        for other in (without, alone):
            gain = both - other
            assert gain.mean() > gain.std(ddof=1) / np.sqrt(12)

    def test_scaling_the_prior_changes_nothing(self, fit):
        ablation, prior = worlds.noisy(TRUE, 1.0), TRUE[None] + np.random.default_rng(0).normal(size=(1, N))
        one, two = (fit(ablation, 16, bootstraps=0, prior=k * prior).values for k in (1.0, 64.0))
        np.testing.assert_allclose(one, two, atol=1e-10)

    def test_priors_that_say_nothing(self, fit):
        ablation = worlds.noisy(TRUE, 1.0)
        plain = fit(ablation, 16).values
        for prior in (np.zeros((1, N)), -TRUE[None]):
            np.testing.assert_array_equal(fit(ablation, 16, prior=prior).values, plain)
        with pytest.raises(LlmattrError, match=r"finite numbers for targets and sources \(1, 20\)"):
            fit(ablation, prior=np.ones((1, 3)))


class TestAuto:
    def test_settled_scores_end_it_and_the_masks_are_those_of_a_fixed_run(self):
        ablation, asked = worlds.noisy(TRUE, 0.2), []
        counted = from_function(lambda masks: asked.append(len(masks)) or ablation(masks), N)
        result = surrogate.lasso(counted, "auto")
        assert result.run["stopped"] == "settled"
        m = result.run["n_ablations"]
        assert asked == [16, 16, 32, 64, 128][: len(asked)]  # only the new ones
        assert m == sum(asked) < 256
        np.testing.assert_array_equal(result.values, surrogate.lasso(ablation, m).values)
        top = max(0.1 * result.values.max(), 0.05)
        assert (result.stderr[result.cited] <= top).all()

    def test_noise_goes_to_the_limit(self):
        result = surrogate.ridge(worlds.noisy(np.zeros(30), 3.0), "auto", limit=48)
        assert (result.run["stopped"], result.run["n_ablations"]) == ("limit", 48)

    def test_every_mask_once_where_they_are_few(self):
        asked = []
        world = worlds.game(5)
        counted = from_function(lambda masks: asked.extend(masks.tolist()) or world(masks), 5)
        result = surrogate.ridge(counted, "auto")
        assert result.run["stopped"] in ("every mask was drawn", "settled")
        assert len({tuple(mask) for mask in asked}) == result.run["n_ablations"] == 32

    def test_a_settled_target_keeps_its_masks(self):
        """One easy and one hard target: the easy one's scores are those that it has alone."""
        easy, hard = worlds.linear([TRUE], [0.0]), worlds.noisy(np.zeros(N), 3.0)
        both = from_function(lambda masks: np.concatenate([easy(masks), hard(masks)], axis=1), N, 2)
        result = surrogate.ridge(both, "auto", limit=64)
        np.testing.assert_array_equal(result.values[0], surrogate.ridge(easy, "auto", limit=64).values[0])

    def test_it_needs_errors(self):
        with pytest.raises(LlmattrError, match="needs bootstraps"):
            surrogate.lasso(worlds.either(4), "auto", bootstraps=0)


@pytest.mark.parametrize(("world", "effect"), [(worlds.either, -1.0), (worlds.both, 1.0)])
class TestPairs:
    def test_every_mask_gives_the_polynomial(self, world, effect):
        result = surrogate.pairs(world(5), "auto")
        np.testing.assert_allclose(result.values, [[0.5, 0.5, 0, 0, 0]], atol=1e-10)
        (((i, j, found),),) = result.details["pairs"]
        assert (i, j) == (0, 1)
        np.testing.assert_allclose(found, effect, atol=1e-10)
        np.testing.assert_allclose(result.baseline, 0.0, atol=1e-10)

    def test_scores_are_shapley_values_at_any_keep(self, world, effect):
        result = surrogate.pairs(world(6), 64, keep=0.7)
        np.testing.assert_allclose(result.values, surrogate.shapley(world(6)).values, atol=1e-9)

    def test_the_pair_is_found_among_many_sources(self, world, effect):
        """Of 20 sources, 190 pairs: 64 masks find the one."""
        plain = world(20)
        ablation = from_function(lambda masks: 4 * plain(masks) + masks[:, 2:3], 20)
        found = {(i, j): value for i, j, value in surrogate.pairs(ablation, 96).details["pairs"][0]}
        assert max(found, key=lambda pair: abs(found[pair])) == (0, 1)
        assert np.sign(found[0, 1]) == effect
