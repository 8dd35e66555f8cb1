"""The metrics: closed forms, brute force over ties, invariances."""

import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmattr
from llmattr import metrics, surrogate
from llmattr.ablation import from_function, random_masks
from llmattr.errors import LlmattrError
from tests import worlds

W = np.array([[3.0, 1.0, 0.0, -2.0], [0.0, 0.5, 4.0, 1.0]])
scores = st.lists(st.integers(0, 3).map(float), min_size=2, max_size=5)


def rows(*lists):
    return np.array(lists, dtype=float)


class TestLds:
    def test_the_truth_gives_one_and_its_opposite_minus_one(self):
        masks = random_masks(64, 4)
        outputs = worlds.linear(W, [1, 2])(masks)
        np.testing.assert_allclose(metrics.lds(W, masks, outputs), 1)
        np.testing.assert_allclose(metrics.lds(-W, masks, outputs), -1)

    def test_only_the_order_of_outputs_matters(self):
        masks = random_masks(64, 4)
        outputs = worlds.linear(W, [0, 0])(masks)
        np.testing.assert_allclose(metrics.lds(W * 7, masks, np.exp(outputs) - 5), 1)

    def test_random_scores_give_zero(self):
        # x and -x are equally likely and have opposite scores, so the expectation is exactly 0; a correlation is at most
        # 1, so the mean of 2,000 independent ones lies within 4 / sqrt(2000) = .09 but once in 15,000 times.
        masks = random_masks(64, 20)
        outputs = np.repeat(worlds.linear(W[:1].repeat(5, axis=1), [0])(masks), 2000, axis=1)
        found = metrics.lds(np.random.default_rng(0).normal(size=(2000, 20)), masks, outputs)
        assert abs(found.mean()) < 4 / np.sqrt(2000)

    def test_equal_predictions_count_0_and_outputs_that_never_change_nothing(self):
        masks = random_masks(8, 4)
        outputs = worlds.linear(W, [0, 0])(masks)
        assert (metrics.lds(0 * W, masks, outputs) == 0).all()
        assert np.isnan(metrics.lds(W, masks, 0 * outputs)).all()
        assert np.isnan(metrics.lds(0 * W, masks, 0 * outputs + 3)).all()
        mixed = metrics.lds(W * np.array([[1.0], [0.0]]), masks, outputs)
        np.testing.assert_allclose(metrics.bootstrap_interval(mixed).mean, 1 / 2)
        pairs = np.array([[i in chosen for i in range(4)] for chosen in itertools.combinations(range(4), 2)])
        third = np.full((2, 4), 1 / 3)  # each sum is 2/3, whatever its rounding
        assert (metrics.lds(third, pairs, worlds.linear(W, [0, 0])(pairs)) == 0).all()

    def test_rounding_ranks_nothing(self):
        """Sums that are equal but for their rounding are ties, as in a fit's own correlation: there is one rule."""
        masks = random_masks(32, 4)
        outputs = worlds.linear(W[:1], [0])(masks)
        few = np.array([[1.0, 1.0, 1.0, 0.0]])
        noise = 1e-13 * np.random.default_rng(0).normal(size=(32, 1))
        found = metrics.lds(few, masks, outputs + noise)
        np.testing.assert_array_equal(found, metrics.lds(few, masks, outputs))
        assert surrogate.rank_correlation(masks @ few[0], (outputs + noise)[:, 0]) == found[0]
        assert np.isnan(metrics.lds(few, masks, outputs * 0 + 3 + noise))

    def test_the_cross_validated_one_of_a_fit_has_the_same_convention(self):
        """Of noise the lasso keeps no weight: what it predicts is constant, and counts 0."""
        rng = np.random.default_rng(0)
        noise = from_function(lambda masks: rng.normal(size=(len(masks), 1)), 4)
        none = [surrogate.lasso(noise, 16, seed=seed) for seed in range(8)]
        assert [fit.lds[0] for fit in none if not fit.values.any()].count(0.0) > 0
        assert surrogate.rank_correlation(np.zeros(5), np.arange(5.0)) == 0
        assert np.isnan(surrogate.rank_correlation(np.arange(5.0), np.ones(5)))
        assert np.isnan(metrics.lds_ceiling(np.ones((4, 2, 1)))).all()

    def test_ties_share_their_average_rank(self):
        # Ranks 1.5 1.5 3 against 1 2 3: covariance 1.5 over sqrt(1.5 * 2).
        np.testing.assert_allclose(metrics.spearman(rows([0, 0, 1]), rows([1, 2, 3])), 1.5 / np.sqrt(3))


class TestReliability:
    def test_by_hand(self):
        # Means 0 and 2 (variance 2), within each mask a variance of 2: f = 2 - 2 / 2, s = 2.
        outputs = np.array([[[-1.0], [1.0]], [[1.0], [3.0]]])
        np.testing.assert_allclose(metrics.reliability(outputs), [1 / 3])
        np.testing.assert_allclose(metrics.reliability(outputs, of=2), [1 / 2])
        np.testing.assert_allclose(metrics.reliability(outputs, of=0.5), [1 / 5])

    def test_without_noise_all_is_signal_and_without_signal_nothing(self):
        assert metrics.reliability(np.array([[[1.0], [1.0]], [[2.0], [2.0]]])) == 1
        assert metrics.reliability(np.array([[[0.0], [2.0]], [[0.0], [2.0]]])) == 0


class TestCeiling:
    @pytest.mark.parametrize(("of", "noise"), [(1, 1.0), (4, 1.0), (1, 0.2)])
    def test_the_truth_reaches_it(self, of, noise):
        # The error of a rank correlation over 1,000 masks is below .03, of the mean over 40 targets below .005; the ceiling's
        # is as small, and it is within .01 for normal numbers.
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(1000, 40))
        runs = truth[:, None] + noise * rng.normal(size=(1000, 2, 40))
        seen = truth + noise / np.sqrt(of) * rng.normal(size=truth.shape)
        assert metrics.lds_ceiling(runs, of).mean() == pytest.approx(metrics.spearman(truth.T, seen.T).mean(), abs=0.02)

    def test_one_mask_far_from_the_others_does_not_raise_it(self):
        # All else is noise. Of ranks that mask has 3 / 64 of the variance; a reliability of noise over 64 masks has a standard
        # error of 1 / 8 and is cut at 0, which leaves .05 in the mean. Twice both.
        runs = np.random.default_rng(0).normal(size=(64, 2, 40))
        runs[0] -= 1e6
        assert metrics.reliability(runs).min() > 0.999
        assert np.square(metrics.lds_ceiling(runs)).mean() < 0.2


class TestDrop:
    def test_additive_worlds_lose_their_largest_weights(self):
        ablation = worlds.linear(W, [1, 2])
        np.testing.assert_allclose(metrics.top_k_drop(W, ablation, 1), [3, 4])
        np.testing.assert_allclose(metrics.top_k_drop(W, ablation, 3), [4, 5.5])
        np.testing.assert_allclose(metrics.top_k_drop(W, ablation, 9), W.sum(axis=1))
        np.testing.assert_allclose(metrics.top_k_drop(-W, ablation), [-2, 0])

    def test_two_sources_that_suffice_alone_fall_together(self):
        values = rows([2, 1, 0])
        assert metrics.top_k_drop(values, worlds.either(3), 1) == 0
        assert metrics.top_k_drop(values, worlds.either(3), 2) == 1

    def test_masks_take_the_first_of_equal_scores(self):
        np.testing.assert_array_equal(metrics.top_k_masks(rows([0, 1, 1, 1]), 2), [[True, False, False, True]])

    def test_curves_in_an_additive_world(self):
        ablation = worlds.linear(W, [1, 2])
        best = np.cumsum(np.insert(-np.sort(-W, axis=1), 0, 0, axis=1), axis=1)
        np.testing.assert_allclose(metrics.deletion_curve(W, ablation), best)
        np.testing.assert_allclose(metrics.insertion_curve(W, ablation), best)
        np.testing.assert_allclose(metrics.deletion_curve(W, ablation, [0, 3]), best[:, [0, 3]])

    def test_the_area_of_closed_forms(self):
        np.testing.assert_allclose(metrics.curve_area(rows([0, 1, 2, 3])), [0.5])  # every source is worth the same
        np.testing.assert_allclose(metrics.curve_area(rows([0, 1, 1, 1])), [5 / 6])  # the first is worth all
        assert np.isnan(metrics.curve_area(rows([0, 1, 0], [0, 1, -1]))).all()

    def test_deletion_and_insertion_see_redundancy_from_both_sides(self):
        ablation, values = worlds.either(4), rows([2, 1, 0, 0])
        np.testing.assert_allclose(metrics.curve_area(metrics.insertion_curve(values, ablation)), [7 / 8])
        np.testing.assert_allclose(metrics.curve_area(metrics.deletion_curve(values, ablation)), [5 / 8])


def orders(values):
    """Every order of the sources, best first, that the scores allow."""
    found = itertools.permutations(range(len(values)))
    return [list(o) for o in found if all(values[a] >= values[b] for a, b in itertools.pairwise(o))]


def by_hand(values, gold, measure):
    return np.mean([measure(np.array(gold)[order]) for order in orders(values)])


MEASURES = {
    "reciprocal_rank": lambda hits: 1 / (1 + np.argmax(hits)),
    "average_precision": lambda hits: np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]),
    "recall_at_k": lambda hits: hits[:2].sum() / hits.sum(),
    "precision_at_k": lambda hits: hits[:2].mean(),
}


class TestRetrieval:
    @given(scores, st.data())
    def test_ties_are_the_mean_over_their_orders(self, values, data):
        n = len(values)
        gold = data.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
        for name, measure in MEASURES.items():
            k = {"k": 2} if name.endswith("_k") else {}
            found = getattr(metrics, name)(rows(values), np.array([gold]), **k)
            np.testing.assert_allclose(found, [by_hand(values, gold, measure)])

    def test_known_values(self):
        values, gold = rows([4, 3, 2, 1]), np.array([[False, True, False, True]])
        assert metrics.reciprocal_rank(values, gold) == 0.5
        assert metrics.average_precision(values, gold) == 0.5  # (1/2 + 2/4) / 2
        assert metrics.recall_at_k(values, gold, 3) == 0.5
        np.testing.assert_allclose(metrics.precision_at_k(values, gold, 3), 1 / 3)
        assert metrics.precision_at_k(values, gold, 9) == 0.5

    @given(scores, st.data())
    def test_the_roc_area_is_the_share_of_pairs_in_the_right_order(self, values, data):
        gold = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
        pairs = [(a > b) + (a == b) / 2 for a in np.array(values)[gold] for b in np.array(values)[~gold]]
        found = metrics.roc_auc(rows(values), gold[None])
        np.testing.assert_allclose(found, [np.mean(pairs) if pairs else np.nan])

    def test_equal_scores_find_mislabelled_rows_by_chance(self):
        assert metrics.roc_auc(rows([1, 1, 1, 1]), np.array([[True, False, False, False]])) == 0.5
        assert metrics.roc_auc(rows([9, 1, 1, 8]), np.array([[True, False, False, True]])) == 1

    def test_without_gold_there_is_no_measure(self):
        gold = np.zeros((1, 3), dtype=bool)
        for measure in (metrics.reciprocal_rank, metrics.average_precision):
            assert np.isnan(measure(rows([1, 2, 3]), gold)).all()
        assert np.isnan(metrics.recall_at_k(rows([1, 2, 3]), gold, 1)).all()
        with pytest.raises(LlmattrError, match="k must be 1 or more"):
            metrics.recall_at_k(rows([1, 2, 3]), gold, 0)


def test_citation_by_hand():
    cited = np.array([[True, True, False], [False, False, False], [True, False, False]])
    gold = np.array([[True, False, True], [True, False, False], [False, False, False]])
    found = metrics.citation(cited, gold)
    np.testing.assert_allclose(found.precision, [0.5, 0, np.nan])
    np.testing.assert_allclose(found.recall, [0.5, 0, np.nan])
    np.testing.assert_allclose(found.f1, [0.5, 0, np.nan])
    one, other = metrics.citation(gold[:1], cited[:1]), metrics.citation(cited[:1], gold[:1])
    np.testing.assert_allclose(one.precision, other.recall)
    np.testing.assert_allclose(one.f1, other.f1)


class TestEntailedCitation:
    """Entailment by words: a claim follows when all its words stand in the premise."""

    PASSAGES = ("the tower", "was built", "in 1889", "the tower was built")

    def judge(self, *cited, claim="the tower was built"):
        flags = np.isin(np.arange(4), cited)[None]
        found = metrics.entailed_citation(flags, [claim], self.PASSAGES, lambda a, b: set(b.split()) <= set(a.split()))
        return [float(of[0]) for of in found]

    def test_by_hand(self):
        assert self.judge() == [0, 0, 0]
        assert self.judge(3) == [1, 1, 1]  # one that suffices
        assert self.judge(0, 1) == [1, 1, 1]  # two that are both needed
        assert self.judge(2, 3) == [0.5, 1, pytest.approx(2 / 3)]  # 1889 is a mere addition
        assert self.judge(0, 2) == [0, 0, 0]  # not entailed
        assert self.judge(0, 3) == [0.5, 1, pytest.approx(2 / 3)]
        assert self.judge(0, 1, 2, 3) == [0.25, 1, pytest.approx(0.4)]  # only the last suffices alone, and none is needed

    def test_each_claim_is_by_itself(self):
        flags = np.array([[True, False, False, False], [False, False, False, True]])
        found = metrics.entailed_citation(flags, ["1889", "built"], self.PASSAGES, lambda a, b: b in a)
        np.testing.assert_array_equal(found.recall, [0, 1])

    def test_joined_by_line_breaks_and_no_call_for_what_is_not_cited(self):
        asked = []
        metrics.entailed_citation(np.array([[True, True], [False, False]]), ["c", "d"], "ab", lambda *a: bool(asked.append(a)))
        assert asked == [("a\nb", "c")]


class TestActingOnIt:
    def test_the_error_of_a_prediction(self):
        seen = rows([1, 0], [2, 0], [3, 0])
        np.testing.assert_allclose(metrics.counterfactual_error(seen + rows([1, 0], [-1, 0], [4, 0]), seen), [2, 0])

    def test_an_additive_world_is_foretold_without_error(self):
        masks = random_masks(32, 4)
        seen = worlds.linear(W, [1, 2])(masks)
        np.testing.assert_allclose(metrics.counterfactual_error(rows([1, 2]) + masks @ W.T, seen), 0, atol=1e-12)

    def test_hits_are_answers_that_flip(self):
        before, after = np.array([1.0, 1.0, 0.0, -1.0]), np.array([-0.5, 0.0, -1.0, -2.0])
        np.testing.assert_array_equal(metrics.brittleness_hits(before, after), [1, 0, 1, np.nan])
        np.testing.assert_array_equal(metrics.brittleness_hits(before, after, threshold=0.5), [1, 1, np.nan, np.nan])

    def test_the_sources_that_carry_an_answer_flip_it(self):
        # 2 x either - 1 is 1 with source 0 or 1 and -1 without both.
        ablation, values = worlds.either(3), rows([2, 1, 0])
        for k, hit in ((1, 0), (2, 1)):
            after = 2 * ablation(metrics.top_k_masks(values, k))[:, 0] - 1
            np.testing.assert_array_equal(metrics.brittleness_hits(np.ones(1), after), [hit])

    def test_a_patch_is_a_change_of_probability(self):
        before, after = np.log([0.2, 0.5]), np.log(rows([0.3, 0.5], [0.5, 0.1]))
        np.testing.assert_allclose(metrics.tail_patch(before, after), [0.2, -0.2])


class TestIntervals:
    def test_the_interval_is_that_of_the_normal_limit(self):
        # The mean of 400 normal numbers has the standard error s / 20; the bootstrap's quantiles, from 10,000 draws,
        # have an error of about sqrt(.025 * .975 / 10000) / .058 = .027 standard errors. Four of those, and as much for
        # the sample's own shape.
        sample = np.random.default_rng(0).normal(size=400)
        mean, low, high = metrics.bootstrap_interval(sample)
        assert mean == pytest.approx(sample.mean())
        error = sample.std() / 20
        np.testing.assert_allclose([(low - mean) / error, (high - mean) / error], [-1.96, 1.96], atol=0.22)

    def test_what_is_undefined_is_left_out(self):
        sample = np.array([1.0, np.nan, 3.0])
        assert metrics.bootstrap_interval(sample) == metrics.bootstrap_interval(sample[[0, 2]])
        assert np.isnan(metrics.bootstrap_interval(sample[[1]])).all()
        np.testing.assert_array_equal(metrics.bootstrap_interval(sample[[0]]), [1, np.nan, np.nan])

    def test_targets_of_a_group_are_drawn_together(self):
        # Copies of every target tell nothing new.
        sample = np.random.default_rng(1).normal(size=12)
        alone = metrics.bootstrap_interval(sample)
        np.testing.assert_allclose(metrics.bootstrap_interval(np.repeat(sample, 5), np.repeat(np.arange(12), 5)), alone)
        wide = np.diff(alone[1:])
        assert np.diff(metrics.bootstrap_interval(np.repeat(sample, 5))[1:]) < wide / 2

    def test_a_paired_comparison_is_sharper(self):
        hard = np.random.default_rng(2).normal(size=50)
        one, other = hard + 0.1, hard
        difference = metrics.bootstrap_interval(one - other)
        np.testing.assert_allclose(difference, 0.1)
        with pytest.raises(LlmattrError, match="a group for each of the 50 targets"):
            metrics.bootstrap_interval(one, groups=[1, 2])


class TestSize:
    """What is drawn is held a few megabytes at a time, with the same numbers."""

    @pytest.mark.parametrize("groups", [5, 16, 40])
    def test_in_parts_the_numbers_are_the_same(self, groups, monkeypatch):
        one, other = np.random.default_rng(0).normal(size=(2, groups))
        whole = metrics.bootstrap_interval(one), metrics.paired_comparison(one, other)
        monkeypatch.setattr(metrics.stats, "AT_ONCE", 1000)
        assert (metrics.bootstrap_interval(one), metrics.paired_comparison(one, other)) == whole

    @pytest.mark.parametrize(
        "measure",
        [
            lambda x: metrics.bootstrap_interval(x, draws=1000),  # 40 MB of counts
            lambda x: metrics.paired_comparison(x, -x, draws=1000),
            lambda x: metrics.rank_biased_overlap(x[None], -x[None]),  # 25 MB of pairs
        ],
    )
    def test_many_targets_take_little_memory(self, measure):
        """At most three arrays of a million numbers of 8 bytes at once."""
        values = np.random.default_rng(0).normal(size=5000)
        tracemalloc.start()
        measure(values)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3.5 * 2**23


class TestComparison:
    def test_every_exchange_is_counted(self):
        # Of the 8 signs of 1, 2, 3 only the given ones and their opposites have a sum of 6 or -6.
        found = metrics.paired_comparison(np.array([1.0, 2, 3]), np.zeros(3))
        assert (found.difference, found.p_value) == (2, 2 / 8)
        # Of 1, 2, -1: |sum| is 2 or more in all but the two ways that give 0.
        assert metrics.paired_comparison(np.array([1.0, 2, -1]), np.zeros(3)).p_value == 6 / 8

    def test_the_interval_is_that_of_the_differences_and_the_sign_that_of_the_order(self):
        one, other = np.random.default_rng(3).normal(size=(2, 40))
        found, back = metrics.paired_comparison(one, other), metrics.paired_comparison(other, one)
        assert found[:3] == metrics.bootstrap_interval(one - other)
        assert (found.difference, found.p_value) == (-back.difference, back.p_value)

    def test_no_difference_is_no_evidence(self):
        for t in (3, 40):
            np.testing.assert_array_equal(metrics.paired_comparison(np.ones(t), np.ones(t)), [0, 0, 0, 1])

    def test_many_targets_of_one_sign(self):
        # Of 40 equal differences only 2 of 2^40 exchanges are as large: of 10,000 drawn ones none, but the given one counts.
        assert metrics.paired_comparison(np.full(40, 0.1), np.zeros(40)).p_value == 1 / 10_001

    def test_p_values_of_chance_are_even(self):
        # Of two methods that are alike, p <= .2 in a fifth of 400; four standard errors are .08, steps of 2 / 256.
        drawn = np.random.default_rng(4).normal(size=(400, 2, 8))
        small = np.mean([metrics.paired_comparison(*pair, draws=256).p_value <= 0.2 for pair in drawn])
        assert small == pytest.approx(0.2, abs=0.09)

    def test_targets_of_a_group_are_exchanged_together(self):
        one, other = np.random.default_rng(5).normal(size=(2, 6))
        alone = metrics.paired_comparison(one, other)
        together = metrics.paired_comparison(np.repeat(one, 3), np.repeat(other, 3), np.repeat(np.arange(6), 3))
        np.testing.assert_allclose(together, alone)

    def test_what_is_undefined_is_left_out(self):
        one, other = np.array([1.0, 2, 3, np.nan]), np.array([0.0, 0, 0, 5])
        assert metrics.paired_comparison(one, other) == metrics.paired_comparison(one[:3], other[:3])
        assert np.isnan(metrics.paired_comparison(one[2:], other[2:]).p_value)
        assert np.isnan(metrics.paired_comparison(one[3:], other[3:])).all()


class TestAgreement:
    @given(st.permutations(range(6)))
    def test_an_order_agrees_with_itself(self, order):
        values = rows(order)
        for measure in (metrics.spearman, metrics.kendall, metrics.rank_biased_overlap):
            np.testing.assert_allclose(measure(values, values * 3 - 1), 1)
        np.testing.assert_allclose(metrics.top_k_jaccard(values, values, 2), 1)

    def test_opposite_orders(self):
        values = rows(range(6))
        np.testing.assert_allclose(metrics.kendall(values, -values), -1)
        assert metrics.top_k_jaccard(values, -values, 3) == 0
        assert metrics.top_k_overlap(values, -values, 4) == 0.5
        np.testing.assert_allclose(metrics.top_k_jaccard(values, -values, 4), 1 / 3)

    def test_rank_biased_overlap_by_hand(self):
        # Orders abc and bac: A = 0, 1, 1. With p = .5: 1 * (.25 + .125) + .125.
        np.testing.assert_allclose(metrics.rank_biased_overlap(rows([3, 2, 1]), rows([2, 3, 1]), 0.5), 0.5)

    def test_kendall_by_hand(self):
        np.testing.assert_allclose(metrics.kendall(rows([1, 2, 3]), rows([2, 1, 3])), 1 / 3)


def test_metrics_import_nothing_heavy():
    heavy = "[m for m in ('torch', 'scipy', 'sklearn', 'pandas', 'transformers') if m in sys.modules]"
    code = f"import sys, llmattr; llmattr.metrics.lds; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert llmattr.metrics.lds is metrics.lds


class TestTwoWays:
    """Targets and what judges them are both drawn: the mean has the variance of both, and intervals that know it."""

    T, M = 30, 20

    def drawn(self, rng, mean=0.0):
        """Measures `mean + target + judge`, averaged over the judges, and the same by 400 resamplings of the judges."""
        targets, judges = rng.normal(size=self.T), rng.normal(size=self.M)
        rows = rng.integers(self.M, size=(400, self.M))
        return mean + targets + judges.mean(), mean + targets + judges[rows].mean(axis=1)[:, None]

    def test_intervals_hold_what_they_promise_where_those_of_targets_alone_do_not(self):
        rng, inside, alone, told = np.random.default_rng(0), 0, 0, 0
        for _ in range(200):
            measured, judges = self.drawn(rng)
            both, one = metrics.two_way_comparison(measured, judges), metrics.bootstrap_interval(measured, draws=400)
            inside += both.low <= 0 <= both.high
            alone += one.low <= 0 <= one.high
            told += both.p_value < 0.05
        # Shares of 200 have errors of .015 at .95. Of targets alone it is sqrt(1/30) of sqrt(1/30 + 1/20) wide: 78 %.
        assert inside / 200 > 0.95 - 4 * 0.015
        assert alone / 200 < 0.78 + 4 * 0.03
        assert told / 200 < 0.05 + 4 * 0.015  # nothing is there: a difference is told from it as often as the level says

    def test_what_is_far_from_nothing_is_told_from_it(self):
        measured, judges = self.drawn(np.random.default_rng(1), mean=3.0)
        it = metrics.two_way_comparison(measured, judges)
        # A mean of 3 with an error of sqrt(1/30 + 1/20) = .29: small enough to be told among a hundred comparisons.
        assert metrics.holm([it.p_value] + [0.5] * 99)[0] < 0.05
        assert it.difference == pytest.approx(measured.mean())
        assert metrics.two_way_comparison(-measured, -judges).p_value == it.p_value

    def test_groups_are_drawn_together_and_undefined_targets_left_out(self):
        measured, judges = self.drawn(np.random.default_rng(2))
        alone = metrics.two_way_comparison(measured, judges)
        same = metrics.two_way_comparison(np.repeat(measured, 3), np.repeat(judges, 3, axis=1), np.repeat(np.arange(self.T), 3))
        np.testing.assert_allclose(same, alone)
        more = np.append(measured, np.nan), np.append(judges, np.full((400, 1), np.nan), axis=1)
        np.testing.assert_allclose(metrics.two_way_comparison(*more), alone)
        assert np.isnan(metrics.two_way_comparison(np.full(2, np.nan), np.zeros((5, 2)))).all()


def test_holm_leaves_the_chance_of_any_false_difference_at_the_level():
    rng = np.random.default_rng(0)
    false = np.mean([min(metrics.holm(rng.uniform(size=20).tolist())) < 0.05 for _ in range(2000)])
    assert false < 0.05 + 4 * (0.05 * 0.95 / 2000) ** 0.5
    assert metrics.holm([0.01]) == [0.01]
    adjusted = metrics.holm([0.2, np.nan, 0.01])
    assert adjusted[2] == 0.02
    assert np.isnan(adjusted[1])
    assert metrics.holm([]) == []
