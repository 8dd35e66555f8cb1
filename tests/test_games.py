"""Shapley and Banzhaf values of games whose values are known."""

import itertools

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import every_mask, from_function, kernel_masks, permutation_masks
from llmattr.errors import LlmattrError, LlmattrNote
from tests import worlds

SHAPLEY = [
    (worlds.glove(), [1 / 6, 1 / 6, 2 / 3]),
    (worlds.airport([1, 2, 3, 4]), [0.25, 0.25 + 1 / 3, 0.25 + 1 / 3 + 0.5, 0.25 + 1 / 3 + 1.5]),
    (worlds.majority(3), [1 / 3] * 3),
    (worlds.either(4), [0.5, 0.5, 0, 0]),
    (worlds.both(4), [0.5, 0.5, 0, 0]),
    (worlds.linear([[1.0, -2.0, 3.0]], [4.0]), [1, -2, 3]),
]
# 1e-12: sums of at most 2^10 products of numbers near 1, each right to 1e-16.
EXACT = 1e-12


def by_definition(ablation, n, sizes):
    """The values of the definition, set by set; sizes[k] = the mass of all sets of k others."""
    value = {tuple(mask): out for mask, out in zip(every_mask(n).tolist(), ablation(every_mask(n))[:, 0], strict=True)}
    found = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for k in range(n):
            sets = list(itertools.combinations(others, k))
            for chosen in sets:
                gain = value[tuple(j in chosen or j == i for j in range(n))] - value[tuple(j in chosen for j in range(n))]
                found[i] += sizes[k] / len(sets) * gain
    return found


@pytest.mark.parametrize(("ablation", "expected"), SHAPLEY)
def test_known_shapley_values(ablation, expected):
    n = len(ablation.sources)
    np.testing.assert_allclose(surrogate.shapley(ablation).values[0], expected, atol=EXACT)
    np.testing.assert_allclose(surrogate.shapley(ablation, 2**n, "kernel").values[0], expected, atol=EXACT)


def test_known_banzhaf_values():
    np.testing.assert_allclose(surrogate.banzhaf(worlds.majority(3)).values[0], [0.5] * 3, atol=EXACT)
    np.testing.assert_allclose(surrogate.banzhaf(worlds.glove()).values[0], [0.25, 0.25, 0.75], atol=EXACT)
    np.testing.assert_allclose(surrogate.banzhaf(worlds.linear([[1.0, -2.0]], [3.0])).baseline, [3.0], atol=EXACT)


def test_semivalues_are_their_definition():
    game, n = worlds.game(6), 6
    outputs = game(every_mask(n))[:, 0]
    laws = {
        "shapley": surrogate.shapley_sizes(n),
        "banzhaf": surrogate.banzhaf_sizes(n),
        "weighted": surrogate.banzhaf_sizes(n, 0.9),
        "beta": surrogate.beta_sizes(n, 4.0, 1.0),
    }
    for sizes in laws.values():
        np.testing.assert_allclose(sizes.sum(), 1, atol=EXACT)
        np.testing.assert_allclose(
            surrogate.semivalue(every_mask(n), outputs, sizes), by_definition(game, n, sizes), atol=EXACT
        )
    np.testing.assert_allclose(surrogate.beta_sizes(n, 1.0, 1.0), laws["shapley"], atol=EXACT)
    assert laws["beta"][0] > laws["beta"][-1]  # a large alpha makes small sets count


def test_banzhaf_is_the_linear_fit_of_all_masks():
    game = worlds.game(7)
    values, intercepts = surrogate.fit_ridge(every_mask(7), game(every_mask(7)), 0.0)
    result = surrogate.banzhaf(game)
    np.testing.assert_allclose(result.values, values, atol=EXACT)
    np.testing.assert_allclose(result.baseline, intercepts, atol=EXACT)


@pytest.mark.parametrize("method", ["exact", "permutation", "kernel"])
@pytest.mark.parametrize("n", [2, 5, 8])
def test_shapley_values_add_up(method, n):
    game = worlds.game(n, 2)
    result = surrogate.shapley(game, 60, method)
    ends = game(np.array([[False] * n, [True] * n]))
    np.testing.assert_allclose(result.values.sum(axis=1), ends[1] - ends[0], atol=1e-10)
    np.testing.assert_allclose(result.baseline, ends[0])


def test_all_orders_give_shapley_values():
    game, orders = worlds.game(5), np.array(list(itertools.permutations(range(5))))
    outputs = game(permutation_masks(orders).reshape(-1, 5)).reshape(len(orders), 6)
    marginals = np.take_along_axis(np.diff(outputs, axis=1), np.argsort(orders, axis=1), axis=1)
    np.testing.assert_allclose(marginals.mean(axis=0), surrogate.shapley(game).values[0], atol=EXACT)


@pytest.mark.parametrize(("method", "m"), [("permutation", 400), ("kernel", 150)])
def test_errors_of_samples_are_as_stated(method, m):
    """Errors over stated errors have a mean square near 1: 10 games of 9 values, some dependence, so between 1/2 and 2."""
    squares = []
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        result = surrogate.shapley(game, m, method, seed=seed)
        squares.append(((result.values - surrogate.shapley(game, method="exact").values) / result.stderr)[0] ** 2)
    assert 0.5 < np.mean(squares) < 2


def test_errors_of_sampled_banzhaf_are_as_stated():
    """As above; masks repeat here, as 300 of 512 do, and every one is an independent draw."""
    squares = []
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        result = surrogate.banzhaf(game, 300, "sample", seed=seed)
        squares.append(((result.values - surrogate.banzhaf(game, method="exact").values) / result.stderr)[0] ** 2)
    assert 0.5 < np.mean(squares) < 2


def test_truncation():
    game = worlds.airport([1.0, 1.0, 1.0, 1.0, 5.0, 5.0])
    plain = surrogate.shapley(game, 60, "permutation", seed=3)
    asked = []
    counted = from_function(lambda masks: asked.append(len(masks)) or game(masks), 6)
    # Once a 5 is there nothing is missing: what is cut off is exactly 0.
    cut = surrogate.shapley(counted, 60, "permutation", truncate=1e-9, seed=3)
    np.testing.assert_allclose(cut.values, plain.values, atol=EXACT)
    assert sum(asked) < plain.run["n_ablations"]
    coarse = surrogate.shapley(game, 60, "permutation", truncate=4.5, seed=3)
    assert abs(coarse.values.sum() - 5) <= 4.5


def test_one_call_for_all_masks_and_none_twice():
    calls = []
    game = worlds.game(6)
    counted = from_function(lambda masks: calls.append(masks) or game(masks), 6)
    for method in ("exact", "permutation", "kernel"):
        calls.clear()
        result = surrogate.shapley(counted, 40, method)
        assert len(calls) == 1
        assert len(np.unique(calls[0], axis=0)) == len(calls[0])
        assert len(calls[0]) <= (64 if method == "exact" else 40)
        assert result.run["n_ablations"] >= len(calls[0])


def test_the_kernels_masks():
    masks, weights, drawn = kernel_masks(60, 8)
    assert len(masks) == len(weights) <= 58
    np.testing.assert_allclose(weights.sum(), 1)
    assert (masks[::2] == ~masks[1::2]).all()
    kept = masks.sum(axis=1)
    for s in range(1, 8):  # each size has its share, taken whole or drawn
        share = 1 / (s * (8 - s)) / sum(1 / (k * (8 - k)) for k in range(1, 8))
        if not drawn[kept == s].any():
            np.testing.assert_allclose(weights[kept == s].sum(), share)
    assert (~drawn).sum() == 16  # one source, and all but one
    everything, _, drawn = kernel_masks(2**8, 8)
    assert len(np.unique(everything, axis=0)) == 2**8 - 2
    assert not drawn.any()


def test_lds_of_games():
    for estimate in (surrogate.shapley, surrogate.banzhaf):
        np.testing.assert_allclose(estimate(worlds.linear([[1.0, -2.0, 3.0, 0.7, 0.1]], [4.0])).lds, 1.0)
        assert np.isnan(estimate(worlds.linear(np.zeros((1, 5)), [4.0])).lds).all()


def test_targets_do_not_depend_on_one_another():
    game = worlds.game(6, 3)
    last = from_function(lambda masks: game(masks)[:, 2:], 6)
    for estimate, method in [(surrogate.shapley, m) for m in ("exact", "permutation", "kernel")] + [
        (surrogate.banzhaf, m) for m in ("exact", "sample")
    ]:
        together, alone = (estimate(ablation, 40, method) for ablation in (game, last))
        for name in ("values", "stderr", "lds", "baseline"):
            np.testing.assert_array_equal(getattr(together, name)[2], getattr(alone, name)[0])


def test_too_few_or_too_many():
    with pytest.raises(LlmattrError, match="take 38 or the kernel method"):
        surrogate.shapley(worlds.either(10), 20, "permutation")
    with pytest.raises(LlmattrError, match=r"exact values of 30 sources need 2\^30"):
        surrogate.shapley(worlds.either(30), method="exact")
    with pytest.warns(LlmattrNote, match="few for the Shapley values of 40 sources"):
        result = surrogate.shapley(worlds.either(40), 64)
    np.testing.assert_allclose(result.values.sum(), 1.0, atol=1e-10)
    one = surrogate.shapley(worlds.linear([[3.0]], [1.0]), 10)
    np.testing.assert_allclose(one.values, [[3.0]])
