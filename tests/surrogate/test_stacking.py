"""Known scores weighed by a few ablations: worlds whose right weights are known."""

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import from_function, random_masks
from llmattr.errors import LlmattrError
from llmattr.surrogate import stacking
from llmattr.surrogate.stacking import weights_of
from tests import worlds

N, T = 40, 3
SIZES = np.array([[0.1], [1.0], [30.0]])
EFFECTS = np.random.default_rng(0).normal(size=(T, N)) * SIZES
WORLD = worlds.linear(EFFECTS, [1.0, -2.0, 3.0])
NEAR = 1e-5  # squared errors of 1e-12 of the outputs' variance are as good as none: 1e-6 of a weight, and ten of them


def noise(seed, sources=N):
    return np.random.default_rng(seed).normal(size=(T, sources))


def noisy(sigma, seed=0):
    """The world with an error of sigma times each target's size, drawn for every mask."""
    rng = np.random.default_rng(seed)
    return from_function(lambda masks: WORLD(masks) + sigma * SIZES[:, 0] * rng.normal(size=(len(masks), T)), N, T)


@pytest.mark.parametrize("factors", [[1.0, 1.0, 1.0], [0.01, 7.0, 300.0]])
def test_a_prior_that_is_right_up_to_its_scale_needs_ten_ablations(factors):
    found = surrogate.stacked(WORLD, (EFFECTS * np.array(factors)[:, None])[None], 10)
    np.testing.assert_allclose(found.values / SIZES, EFFECTS / SIZES, atol=NEAR)
    np.testing.assert_allclose(found.baseline, [1, -2, 3], atol=30 * N * NEAR)
    np.testing.assert_allclose(found.lds, 1)
    np.testing.assert_allclose(found.details["beta"], 1, atol=NEAR)
    assert found.details["alpha"] == [None] * T


def test_one_weight_for_all_targets_stands_against_noise():
    """Ten ablations with noise as large as a tenth of the effects' deviation: nothing is fitted target by target."""
    found = surrogate.stacked(noisy(0.3), EFFECTS[None], 10)
    assert found.details["alpha"] == [None] * T
    np.testing.assert_allclose(found.values / SIZES, EFFECTS / SIZES, atol=0.3 * np.abs(EFFECTS / SIZES).max())
    for t in range(T):
        assert np.corrcoef(found.values[t], EFFECTS[t])[0, 1] == pytest.approx(1)


def test_a_useless_prior_has_no_weight():
    """Of what predicts the reverse exactly none; of what has nothing to do with the effects none, too, or next to none."""
    for prior in (-EFFECTS, np.zeros((T, N))):
        found = surrogate.stacked(WORLD, prior[None], 10)
        assert found.details["beta"] == [[0.0]] * T
    for seed in range(5):
        found = surrogate.stacked(worlds.linear(EFFECTS, np.zeros(T)), noise(seed + 1)[None], 25, seed=seed)
        assert found.details["beta"][0][0] < 0.35  # three deviations of the correlation of 75 numbers


def test_of_two_priors_the_noise_has_next_to_no_weight():
    for seed in range(5):
        found = surrogate.stacked(noisy(0.3), np.array([noise(seed + 1), EFFECTS]), 15, seed=seed)
        useless, right = found.details["beta"][0]
        assert useless < 0.05  # the noise is .003 of the variance: three deviations of a weight from 45 numbers are .03
        assert right > 0.95
    alone = surrogate.stacked(WORLD, np.array([noise(1), EFFECTS]), 15)
    np.testing.assert_allclose(alone.values / SIZES, EFFECTS / SIZES, atol=10 * NEAR)


def test_the_order_and_the_sizes_of_priors_do_not_matter():
    one, other = EFFECTS + 0.5 * SIZES * noise(1), EFFECTS + 0.5 * SIZES * noise(2)
    first = surrogate.stacked(noisy(1.0), np.array([one, other]), 20)
    second = surrogate.stacked(noisy(1.0), np.array([5 * other, 0.1 * one]), 20)
    np.testing.assert_allclose(first.values / SIZES, second.values / SIZES, atol=1e-8)
    np.testing.assert_allclose(first.details["beta"][0], second.details["beta"][0][::-1], atol=1e-8)


def test_what_priors_miss_is_corrected_where_there_are_ablations_enough():
    half = EFFECTS * (np.arange(N) < N // 2)
    found = surrogate.stacked(WORLD, half[None], 80)
    np.testing.assert_allclose(found.values / SIZES, EFFECTS / SIZES, atol=1e-3)  # ridge with a penalty of 1e-6
    assert None not in found.details["alpha"]


def test_without_priors_it_is_ridge():
    found = surrogate.stacked(WORLD, np.zeros((0, T, N)), 80)
    np.testing.assert_allclose(found.values / SIZES, EFFECTS / SIZES, atol=1e-3)
    assert found.details["beta"] == [[]] * T


def test_weights_that_did_not_see_an_ablation_are_those_of_the_others(monkeypatch):
    """Every ablation left out by hand: centred again, and fitted without a penalty that counts."""
    monkeypatch.setattr(stacking, "PENALTIES", np.array([1e-9]))
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(12, T, 2))
    y = columns @ [0.7, 0.4] + 0.01 * rng.normal(size=(12, T))
    columns, y = columns - columns.mean(axis=0), y - y.mean(axis=0)
    found = weights_of(columns, y)
    for j in range(12):
        rest = np.delete(columns, j, axis=0), np.delete(y, j, axis=0)
        x, z = (part - part.mean(axis=0) for part in rest)
        expected = np.linalg.lstsq(x.reshape(-1, 2), z.reshape(-1), rcond=None)[0]
        np.testing.assert_allclose(found.left_out[j], expected, atol=1e-8)  # ten times the penalty


def test_its_error_and_lds_are_of_fits_that_did_not_see_an_ablation():
    found = surrogate.stacked(noisy(1.0), (EFFECTS + SIZES * noise(1))[None], 30)
    assert (found.lds < 1).all()
    assert (found.stderr > 0).all()
    masks = random_masks(2000, N, seed=5)
    honest = surrogate.stacked(noisy(0.0), noise(3)[None], 30)
    seen = np.corrcoef((masks @ honest.values.T).T, (masks @ EFFECTS.T).T)[:T, T:].diagonal()
    assert np.abs(np.nan_to_num(seen) - np.nan_to_num(honest.lds)).max() < 0.6  # of 30 ablations: three deviations


def test_priors_of_another_shape_are_refused():
    with pytest.raises(LlmattrError, match=r"finite numbers \[priors, 3 targets, 40 sources\], not \(1, 40, 3\)"):
        surrogate.stacked(WORLD, EFFECTS.T[None])
    with pytest.raises(LlmattrError, match="finite"):
        surrogate.stacked(WORLD, np.full((1, T, N), np.nan))
