"""Shapley and Banzhaf values of games whose values are known."""

import itertools

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import every_mask, from_function, kernel_masks, permutation_masks, random_masks
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.surrogate.sized import least_variance, sized_masks
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


@pytest.mark.parametrize("method", ["exact", "regression", "permutation", "kernel"])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
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


@pytest.mark.parametrize(("method", "m"), [("permutation", 400), ("kernel", 150), ("regression", 150)])
def test_errors_of_samples_are_as_stated(method, m):
    """Errors over stated errors have a mean square near 1: 10 games of 9 values, some dependence, so between 1/2 and 2."""
    squares = []
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        result = surrogate.shapley(game, m, method, seed=seed)
        squares.append(((result.values - surrogate.shapley(game, method="exact").values) / result.stderr)[0] ** 2)
    assert 0.5 < np.mean(squares) < 2


@pytest.mark.parametrize("method", ["sample", "regression"])
def test_errors_of_sampled_banzhaf_are_as_stated(method):
    """As above; samples repeat here, as 300 of 512 do, and each is an independent draw; the regression takes no mask twice."""
    squares = []
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        result = surrogate.banzhaf(game, 300, method, seed=seed)
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
    for method in ("exact", "regression", "permutation", "kernel"):
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
    for estimate, method in [(surrogate.shapley, m) for m in ("exact", "regression", "permutation", "kernel")] + [
        (surrogate.banzhaf, m) for m in ("exact", "regression", "sample")
    ]:
        together, alone = (estimate(ablation, 40, method) for ablation in (game, last))
        for name in ("values", "stderr", "lds", "baseline"):
            np.testing.assert_array_equal(getattr(together, name)[2], getattr(alone, name)[0])


def test_too_few_or_too_many():
    with pytest.raises(LlmattrError, match="take 38 or the kernel method"):
        surrogate.shapley(worlds.either(10), 20, "permutation")
    with pytest.raises(LlmattrError, match=r"exact values of 30 sources need 2\^30"):
        surrogate.shapley(worlds.either(30), method="exact")
    with pytest.warns(LlmattrNote, match="too few for errors of the Shapley values of 40 sources"):
        result = surrogate.shapley(worlds.either(40), 64)
    np.testing.assert_allclose(result.values.sum(), 1.0, atol=1e-10)
    one = surrogate.shapley(worlds.linear([[3.0]], [1.0]), 10)
    np.testing.assert_allclose(one.values, [[3.0]])


def values_of_all(ablation):
    """Shapley, Banzhaf, Beta Shapley and AME values, exact, by their names."""
    return {
        "shapley": surrogate.shapley(ablation, method="exact").values[0],
        "banzhaf": surrogate.banzhaf(ablation, method="exact").values[0],
        "beta": surrogate.beta_shapley(ablation, 2 ** len(ablation.sources)).values[0],
        "ame": surrogate.ame(ablation, 2 ** len(ablation.sources)).values[0],
    }


class TestAxioms:
    """T11, T12 on random games of 7."""

    def test_efficiency_is_shapleys_alone(self):
        game = worlds.game(7)
        none, everything = game(np.array([[False] * 7, [True] * 7]))[:, 0]
        found = values_of_all(game)
        np.testing.assert_allclose(found.pop("shapley").sum(), everything - none, atol=EXACT)
        for name, values in found.items():
            assert abs(values.sum() - (everything - none)) > 1e-6, name

    def test_null_symmetry_and_linearity_do_not_single_out_shapley(self):
        """All semivalues pass all three, Banzhaf's too, and they differ: it takes efficiency to single out Shapley's."""
        one, other = worlds.game(7, seed=1), worlds.game(7, seed=2)
        without = from_function(lambda masks: one(masks & (np.arange(7) != 3)), 7)
        alike = from_function(lambda masks: one(masks) + one(masks[:, [1, 0, *range(2, 7)]]), 7)
        mixed = from_function(lambda masks: 2 * one(masks) - 3 * other(masks), 7)
        null, symmetric, whole = (values_of_all(game) for game in (without, alike, mixed))
        parts = values_of_all(one), values_of_all(other)
        for name in whole:
            assert abs(null[name][3]) < EXACT
            np.testing.assert_allclose(symmetric[name][0], symmetric[name][1], atol=EXACT)
            np.testing.assert_allclose(whole[name], 2 * parts[0][name] - 3 * parts[1][name], atol=EXACT)
        for name in ("banzhaf", "beta", "ame"):
            assert np.abs(parts[0][name] - parts[0]["shapley"]).max() > 0.01

    def test_beta_1_1_is_shapley_and_small_sets_count_for_a_large_alpha(self):
        game = worlds.game(7)
        np.testing.assert_allclose(
            surrogate.beta_shapley(game, 128, 1.0, 1.0).values, surrogate.shapley(game, 128).values, atol=EXACT
        )
        outputs = game(every_mask(7))[:, 0]
        first = outputs[[(mask.sum() == 1) and mask[2] for mask in every_mask(7)]] - outputs[0]
        np.testing.assert_allclose(surrogate.beta_shapley(game, 128, 1e9, 1.0).values[0, 2], first[0], atol=1e-6)  # 7 / 1e9
        last = surrogate.leave_one_out(game).values
        np.testing.assert_allclose(surrogate.beta_shapley(game, 128, 1.0, 1e9).values, last, atol=1e-6)


class TestLaws:
    """The mask law decides which value a fit estimates."""

    @pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
    def test_the_linear_fit_under_a_keep_rate_is_its_banzhaf_value(self, keep):
        """T13."""
        game, masks = worlds.game(7), every_mask(7)
        values = surrogate.semivalue(masks, game(masks)[:, 0], surrogate.banzhaf_sizes(7, keep))
        np.testing.assert_allclose(linear_fit(masks, game(masks)[:, 0], keep), values, atol=1e-10)

    def test_the_kernel_fit_of_all_masks_is_shapley(self):
        """T14, with the sum held exactly."""
        game = worlds.game(7)
        np.testing.assert_allclose(
            surrogate.shapley(game, 128, "kernel").values, surrogate.shapley(game, 128).values, atol=1e-10
        )

    def test_ame_is_the_mean_of_the_fits_at_its_rates(self):
        """By brute force: E[f | i kept] - E[f | i removed] with the others kept at each rate."""
        game, masks, keeps = worlds.game(7), every_mask(7), (0.2, 0.4, 0.6, 0.8)
        outputs, effects = game(masks)[:, 0], []
        for keep in keeps:
            chances = np.where(masks, keep, 1 - keep).prod(axis=1)
            effects.append(
                [
                    np.average(outputs[masks[:, i]], weights=chances[masks[:, i]])
                    - np.average(outputs[~masks[:, i]], weights=chances[~masks[:, i]])
                    for i in range(7)
                ]
            )
        found = surrogate.ame(game, 128)
        np.testing.assert_allclose(found.values[0], np.mean(effects, axis=0), atol=EXACT)
        assert found.run["estimator"] == "exact"

    def test_the_papers_features_and_ours_estimate_the_same(self):
        """Least squares over all masks and rates, with 1/p and -1/(1-p) as Lin et al., and with `(mask - p)` weighed."""
        game, masks, keeps = worlds.game(6), every_mask(6), np.array([0.2, 0.4, 0.6, 0.8])
        outputs = np.tile(game(masks)[:, 0], 4)
        rates, every = np.repeat(keeps, len(masks)), np.tile(masks, (4, 1))
        chances = np.where(every, rates[:, None], 1 - rates[:, None]).prod(axis=1)
        features = np.where(every, 1 / rates[:, None], -1 / (1 - rates[:, None]))
        v = np.mean(1 / (keeps * (1 - keeps)))
        theirs = weighted(features / v, outputs, chances)
        ours = weighted(every - rates[:, None], outputs, chances / (rates * (1 - rates)))
        expected = surrogate.ame(game, 64).values[0]
        np.testing.assert_allclose(theirs, expected, atol=1e-10)
        np.testing.assert_allclose(ours, expected, atol=1e-10)


def weighted(columns, outputs, weights):
    """Slopes of weighted least squares with an intercept."""
    root = np.sqrt(weights)[:, None]
    x = np.concatenate([columns, np.ones((len(columns), 1))], axis=1)
    return np.linalg.lstsq(x * root, outputs * root[:, 0], rcond=None)[0][:-1]


def linear_fit(masks, outputs, keep):
    return weighted(masks.astype(float), outputs, np.where(masks, keep, 1 - keep).prod(axis=1))


@pytest.mark.parametrize(
    "estimate",
    [
        surrogate.shapley,
        lambda ablation: surrogate.shapley(ablation, method="exact"),
        lambda ablation: surrogate.shapley(ablation, 100, "permutation"),
        lambda ablation: surrogate.shapley(ablation, "auto", "permutation"),
        lambda ablation: surrogate.shapley(ablation, 60, "kernel"),
        lambda ablation: surrogate.banzhaf(ablation, method="exact"),
        lambda ablation: surrogate.beta_shapley(ablation, 2**10),
        lambda ablation: surrogate.beta_shapley(ablation, 60),
        lambda ablation: surrogate.beta_shapley(ablation, 60, 1.0, 16.0),
        lambda ablation: surrogate.ame(ablation, 2**10),
        lambda ablation: surrogate.ame(ablation, 60),
        lambda ablation: surrogate.lasso(ablation, 60),
        lambda ablation: surrogate.ridge(ablation, 60),
        surrogate.leave_one_out,
    ],
)
def test_every_estimator_finds_the_weights_of_a_sum(estimate):
    """T15. 1e-5: ridge's least penalty is a millionth of the masks, and the sampled Beta values stand on such a fit."""
    weights = np.linspace(-2, 3, 10)
    result = estimate(worlds.linear(weights[None], [4.0]))
    np.testing.assert_allclose(result.values[0], weights, atol=1e-5)
    np.testing.assert_allclose(result.baseline, [4.0], atol=1e-5)


def test_known_values_of_the_other_estimators():
    """Majority of three: with one other there, chance 2 p (1 - p), a source decides."""
    game = worlds.majority(3)
    pairs = np.mean([2 * p * (1 - p) for p in (0.2, 0.4, 0.6, 0.8)])
    np.testing.assert_allclose(surrogate.ame(game).values[0], [pairs] * 3, atol=EXACT)
    half = 2 * 16 / (17 * 18)  # E[2 p (1 - p)] for p ~ Beta(1, 16)
    np.testing.assert_allclose(surrogate.beta_shapley(game).values[0], [half] * 3, atol=EXACT)
    assert (surrogate.beta_shapley(game).stderr == 0).all()


@pytest.mark.parametrize("law", [(1.0, 1.0), (16.0, 1.0), (1.0, 16.0), (2.0, 3.0)])
def test_errors_of_sampled_beta_values_are_as_stated(law):
    """As above."""
    squares = []
    for seed in range(10):
        game = worlds.game(9, seed=seed)
        result = surrogate.beta_shapley(game, 200, *law, seed=seed)
        assert result.run["n_ablations"] <= 200
        squares.append(((result.values - surrogate.beta_shapley(game, 512, *law).values) / result.stderr)[0] ** 2)
    assert 0.5 < np.mean(squares) < 2


def test_sampled_beta_values_have_no_bias():
    """The mean over 40 seeds is off by less than 4 of its errors in each of 9 values: more by chance once in 400."""
    game = worlds.game(9)
    found = np.array([surrogate.beta_shapley(game, 60, 4.0, 1.0, seed=seed).values[0] for seed in range(40)])
    off = (found.mean(axis=0) - surrogate.beta_shapley(game, 512, 4.0, 1.0).values[0]) / (found.std(axis=0, ddof=1) / 40**0.5)
    assert np.abs(off).max() < 4


def test_errors_of_sampled_ame_are_not_understated():
    """They are held-out errors where those are larger, so a random game's z-scores may be less than 1, not more than 2."""
    squares = []
    for seed in range(5):
        game = worlds.game(8, seed=seed)
        result = surrogate.ame(game, 200, alpha=0.0, seed=seed)
        squares.append(((result.values - surrogate.ame(game, 256).values) / result.stderr)[0] ** 2)
    assert 0.2 < np.mean(squares) < 2


class TestStopping:
    def test_it_stops_where_the_errors_are_small(self):
        game = worlds.noisy(np.linspace(1, 3, 8), 0.5)
        result = surrogate.shapley(game, "auto", "permutation")
        assert result.run["stopped"] == "settled"
        assert result.stderr.max() <= 0.1 * np.abs(result.values).max()
        assert result.run["n_ablations"] < 4096
        finer = surrogate.shapley(game, "auto", "permutation", tolerance=0.02)
        assert finer.run["n_ablations"] > result.run["n_ablations"]

    def test_it_stops_at_the_limit_and_says_so(self):
        result = surrogate.shapley(worlds.game(9), "auto", "permutation", limit=120, tolerance=1e-6)
        assert result.run["stopped"] == "limit"
        assert result.run["n_ablations"] <= 120
        same = surrogate.shapley(worlds.game(9), 120, "permutation")
        np.testing.assert_array_equal(result.values, same.values)
        assert "stopped" not in same.run

    def test_nothing_is_asked_twice_and_truncation_stops_too(self):
        game, asked = worlds.airport([1.0, 1.0, 1.0, 1.0, 5.0, 5.0]), []
        counted = from_function(lambda masks: asked.extend(mask.tobytes() for mask in masks) or game(masks), 6)
        result = surrogate.shapley(counted, "auto", "permutation", truncate=1e-9, tolerance=0.05)
        assert result.run["stopped"] == "settled"
        assert len(set(asked)) == len(asked) == result.run["n_ablations"]
        np.testing.assert_allclose(result.values.sum(), 5)

    def test_the_truncated_orders_without_tolerance_are_the_orders(self):
        """T16: where no output is as near as 1e-300 to f(all), nothing is cut off."""
        game = worlds.game(6)
        cut, plain = (surrogate.shapley(game, 60, "permutation", truncate=truncate, seed=3) for truncate in (1e-300, 0.0))
        np.testing.assert_array_equal(cut.values, plain.values)

    def test_a_game_without_effects_ends_at_once(self):
        result = surrogate.shapley(worlds.linear(np.zeros((1, 9)), [1.0]), "auto", "permutation")
        assert result.run["stopped"] == "settled"
        assert (result.values == 0).all()

    def test_auto_takes_what_suits(self):
        assert surrogate.shapley(worlds.game(5), "auto").run["estimator"] == "exact"
        assert surrogate.shapley(worlds.game(9), "auto", limit=200).run["estimator"] == "permutation"
        for method in ("kernel", "regression"):
            with pytest.raises(LlmattrError, match=f"{method} method needs a number"):
                surrogate.shapley(worlds.game(9), "auto", method)
        for estimate in (surrogate.shapley, surrogate.banzhaf):
            assert estimate(worlds.game(9), 60).run["estimator"] == "regression"


@pytest.mark.parametrize(
    "estimate",
    [
        lambda ablation: surrogate.beta_shapley(ablation, 40),
        lambda ablation: surrogate.beta_shapley(ablation, 64),
        lambda ablation: surrogate.ame(ablation, 40),
        lambda ablation: surrogate.ame(ablation, 64),
        lambda ablation: surrogate.shapley(ablation, "auto", "permutation", limit=200, tolerance=0.3),
    ],
)
def test_targets_of_the_other_estimators_do_not_depend_on_one_another(estimate):
    game = worlds.game(6, 3)
    last = from_function(lambda masks: game(masks)[:, 2:], 6)
    together, alone = (estimate(ablation) for ablation in (game, last))
    for name in ("values", "stderr", "baseline"):
        np.testing.assert_array_equal(getattr(together, name)[2], getattr(alone, name)[0])


def test_options_out_of_bounds():
    game = worlds.game(9)
    with pytest.raises(LlmattrError, match="alpha must be a number above 0"):
        surrogate.beta_shapley(game, alpha=0.0)
    with pytest.raises(LlmattrError, match="keeps must be chances"):
        surrogate.ame(game, keeps=(0.5, 1.0))
    with pytest.raises(LlmattrError, match="n_ablations must be 8 or more"):
        surrogate.ame(game, 4)
    many = surrogate.beta_shapley(worlds.linear(np.ones((1, 1200)), [0.0]), 4)  # 1200 choose 600 is no float
    assert np.isfinite(many.values).all()


def test_masks_of_sizes_are_whole_or_drawn_with_their_shares():
    sizes = surrogate.beta_sizes(12, 16.0, 1.0)
    masks, stands, drawn, _ = sized_masks(100, 12, np.full(13, 1 / 13), seed=0)
    assert len(masks) == len(stands) == len(drawn) == 100
    assert len(np.unique(masks[~drawn], axis=0)) == (~drawn).sum() == 2  # none and all; 13 are too many for a share of 8
    kept = masks.sum(axis=1)
    np.testing.assert_allclose(stands[drawn], 11 / 98)
    assert set(kept[drawn]) <= set(range(1, 12))
    few = sized_masks(100, 12, least_variance(sizes), seed=0).masks.sum(axis=1)
    assert (few <= 4).mean() > 0.9  # where Beta(16, 1) has its mass
    extreme = surrogate.beta_shapley(worlds.game(12), 60, 1e12, 1.0)
    expected = surrogate.beta_shapley(worlds.game(12), 4096, 1e12, 1.0)
    np.testing.assert_allclose(extreme.values, expected.values, atol=1e-6)  # what each adds to none: 13 masks


class TestFewAblations:
    """A number without a known error is no citation, and a note says so."""

    WORLD = worlds.linear(np.arange(10.0)[None], [1.0])

    @pytest.mark.parametrize("method", ["kernel", "regression"])
    @pytest.mark.parametrize("m", [2, 3, 4, 5, 12, 20])
    def test_shapleys_pairs(self, method, m):
        """A pair of masks sees one of nine directions: what they leave open is equal shares by assumption."""
        with pytest.warns(LlmattrNote, match=f"{m} ablations are too few for errors .* nothing is cited; take 42 or more"):
            result = surrogate.shapley(self.WORLD, m, method)
        assert np.isnan(result.stderr).all()
        assert not result.cited.any()

    @pytest.mark.parametrize("method", ["kernel", "regression"])
    def test_all_pairs_of_few_sources_are_exact(self, method):
        for n, m in ((1, 2), (2, 4), (3, 8)):
            result = surrogate.shapley(worlds.linear(np.arange(1.0, n + 1)[None], [1.0]), m, method)
            np.testing.assert_allclose(result.values[0], np.arange(1.0, n + 1))
            assert (result.stderr == 0).all()
            assert result.cited.all()

    def test_permutations(self):
        with pytest.warns(LlmattrNote, match="2 pairs of orders are too few for errors"):
            result = surrogate.shapley(self.WORLD, 38, "permutation")
        assert np.isnan(result.stderr).all()
        assert not result.cited.any()

    def test_pairs_of_orders_that_are_all_the_same_tell_no_error(self):
        """Of three sources there are three pairs; where all four that are drawn are one, their spread is 0 by chance."""
        same = next(seed for seed in range(1000) if len(self.pairs(seed)) == 1)
        result = surrogate.shapley(worlds.game(3), 18, "permutation", seed=same)
        assert np.isnan(result.stderr).all()
        two = surrogate.shapley(worlds.game(2), 18, "permutation")
        np.testing.assert_allclose(two.stderr, 0, atol=EXACT)  # two orders are all that there are

    @staticmethod
    def pairs(seed):
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(3).tolist() for _ in range(4)]
        return {frozenset((tuple(order), tuple(order[::-1]))) for order in orders}

    def test_banzhaf(self):
        with pytest.warns(LlmattrNote, match="too few for the errors of any source: without an error nothing is cited"):
            result = surrogate.banzhaf(self.WORLD, 4, "sample")
        assert np.isnan(result.stderr).all()
        masks = random_masks(12, 10)
        known = (masks.sum(axis=0) >= 4) & ((~masks).sum(axis=0) >= 4)
        np.testing.assert_array_equal(np.isfinite(surrogate.banzhaf(self.WORLD, 12, "sample").stderr[0]), known)

    def test_beta(self):
        with pytest.warns(LlmattrNote, match="drawn ablations are too few for errors"):
            result = surrogate.beta_shapley(worlds.linear(np.ones((1, 3)), [0.0]), 4)
        assert np.isnan(result.stderr).all()

    @pytest.mark.parametrize("fit", [surrogate.lasso, surrogate.ridge, surrogate.blend, surrogate.pairs])
    def test_masks_that_are_all_the_same(self, fit):
        with pytest.warns(LlmattrNote, match="errors of any source"):
            result = fit(self.WORLD, 16, keep=0.99999)
        assert np.isnan(result.stderr).all()
        assert not result.cited.any()
        prior = np.arange(10.0)[None]
        if fit is not surrogate.pairs:
            assert not fit(self.WORLD, 16, keep=0.99999, prior=prior).cited.any()  # a prior alone cites nothing

    def test_an_open_end_does_not_stop_where_an_error_is_unknown(self):
        """At keep 0.9 each of ten sources was never removed in 16 masks with a chance of 0.185."""
        result = surrogate.ridge(self.WORLD, "auto", keep=0.9)
        assert result.run["n_ablations"] > 16
        assert np.isfinite(result.stderr).all()


@pytest.mark.parametrize("method", ["kernel", "regression"])
@pytest.mark.parametrize("n", [12, 40])
def test_sources_without_effect_are_rarely_cited_where_errors_are_known(n, method):
    """With 1.25 n pairs, the fewest that have errors: nominally one in 40, twice that is allowed, and five deviations."""
    weights = np.concatenate([[5.0, 3.0], np.zeros(n - 2)])
    m = 2 * -(-5 * n // 4) + 2
    found = [surrogate.shapley(worlds.noisy(weights, 0.5, s), m, method, seed=s) for s in range(8)]
    cited = sum((one.clear & (one.values > 0))[0, 2:].sum() for one in found)
    expected = 8 * (n - 2) / 20
    assert cited < expected + 5 * expected**0.5
