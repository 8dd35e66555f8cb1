"""Estimators over any ablation, on worlds where the right weights are known."""

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import from_function, random_masks
from llmattr.errors import LlmattrError
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


def test_noise_is_not_cited_and_signal_is():
    rng = np.random.default_rng(0)
    ablation = from_function(lambda masks: masks[:, :1] * 3.0 + rng.normal(size=(len(masks), 1)), 8)
    result = surrogate.ridge(ablation, n_ablations=200)
    assert result.cited[0, 0]
    assert result.cited[0, 1:].sum() <= 1  # each of the seven is cited by chance once in 40


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
    assert surrogate.lasso(ablation, bootstraps=0).stderr is None


@pytest.mark.parametrize("fit", [surrogate.lasso, surrogate.ridge])
def test_bad_input(fit):
    with pytest.raises(LlmattrError, match="n_ablations must be 2 or more"):
        fit(worlds.linear(WEIGHTS, BIAS), n_ablations=1)
    with pytest.raises(LlmattrError, match="ablation 0 gave nan for target 0"):
        fit(from_function(lambda masks: np.full((len(masks), 1), np.nan), 3))


@pytest.mark.parametrize(("n", "tokens"), [(20, 1), (60, 1), (100, 3)])
def test_sources_without_effect_are_cited_once_in_40_even_with_few_ablations(n, tokens):
    rng = np.random.default_rng(n)
    cited = 0
    for seed in range(10):
        noise = from_function(lambda masks: rng.normal(size=(len(masks), 1)), n)
        cited += surrogate.lasso(noise, scale=np.array([float(tokens)]), seed=seed).cited.sum()
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
    np.testing.assert_allclose(surrogate.residual_stderr(masks, outputs, values, intercepts), exact, rtol=0.02)  # 247 for 256


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
