"""Agreement of attributions, by closed forms (T46, T47), and what is refused."""

from itertools import combinations

import numpy as np
import pytest

from llmattr.certainty.reading import attribution_of
from llmattr.certainty.resampling import infinitesimal_jackknife, jackknife
from llmattr.certainty.stability import nogueira, stability
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.metrics import stats
from llmattr.report.stability import EQUAL, stability_page, stability_text

RNG = np.random.default_rng


def choices(*rows, n):
    found = np.zeros((len(rows), n), dtype=bool)
    for row, chosen in zip(found, rows, strict=True):
        row[list(chosen)] = True
    return found


def listing(values, rows):
    """What a trace lists: the ends of each target's rows, highest first, with all row numbers that it returned."""
    names = sorted({*np.ravel(rows).tolist()})
    index = np.searchsorted(names, rows)
    ids = [str(name) for name in names]
    sources, targets = Sources("training rows", ids, ids), Targets(["t"] * len(values))
    return Attribution(np.array(values, dtype=float), sources, targets, "nats", {"name": "x"}, index=index, traced=True)


class TestNogueira:
    """T47."""

    def test_the_same_is_one(self):
        found = nogueira(choices(*[range(10)] * 4, n=50))
        assert found == pytest.approx((1.0, 1.0, 1.0), abs=1e-12)

    def test_two_half_overlapping_choices_have_kunchevas_index(self):
        """(r - k^2 / n) / (k - k^2 / n), r = 5 shared of k = 10 among n = 50: .375."""
        found = nogueira(choices(range(10), range(5, 15), n=50))
        assert found.mean == pytest.approx((5 - 100 / 50) / (10 - 100 / 50), abs=1e-12) == 0.375

    def test_chance_is_zero(self):
        """500 sets of 30 random choices: the mean within 5 errors of 0, which are below the .01 of T47."""
        rng = RNG(0)
        indices = np.array([nogueira(np.argsort(rng.random((30, 50)), axis=1) < 10).mean for _ in range(500)])
        assert abs(indices.mean()) < 5 * indices.std() / 500**0.5 < 0.01

    def test_the_interval_holds_the_truth_as_often_as_it_says(self):
        """Sources chosen each with a chance p_f of its own: the truth is `1 - mean(p (1 - p)) / (q (1 - q))`."""
        rng = RNG(0)
        p = rng.random(50)
        truth = 1 - (p * (1 - p)).mean() / (p.mean() * (1 - p.mean()))
        found = np.array([nogueira(rng.random((60, 50)) < p) for _ in range(1000)])
        held = ((found[:, 1] <= truth) & (truth <= found[:, 2])).mean()
        assert held == pytest.approx(0.95, abs=5 * (0.95 * 0.05 / 1000) ** 0.5)  # 5 binomial errors
        assert found[:, 0].mean() == pytest.approx(truth, abs=0.01)

    def test_nothing_to_choose(self):
        assert np.isnan(nogueira(np.ones((3, 4), dtype=bool))).all()


class TestResampling:
    """T46: the mean of 40 numbers."""

    X = RNG(0).normal(size=40)

    def test_the_jackknife_of_a_mean(self):
        assert jackknife(lambda rows: self.X[rows].mean(), 40) == pytest.approx(self.X.var(ddof=1) / 40, rel=1e-12)

    def test_the_infinitesimal_jackknife_of_a_mean(self):
        wanted = 39 / 40 * self.X.var(ddof=1) / 40
        assert infinitesimal_jackknife(lambda weights: weights @ self.X, 40) == pytest.approx(wanted, rel=1e-12)

    def test_the_bootstrap_of_a_mean(self):
        """Within 2 % of the deviation without Bessel's factor, over 20,000 draws (0.5 %)."""
        found = stats.bootstrap_stderr(lambda rows: self.X[rows].mean()[None, None], 40, 20_000)
        assert found.item() == pytest.approx(self.X.std() / 40**0.5, rel=0.02)

    def test_both_are_near_for_a_curved_statistic(self):
        """A ratio of means has no exact form; both are its delta method but for terms of 1 / 40."""
        y = 5 + RNG(1).normal(size=40)
        ratio = self.X.mean() / y.mean()
        delta = np.var((self.X - ratio * y) / y.mean()) / 40
        assert jackknife(lambda rows: self.X[rows].mean() / y[rows].mean(), 40) == pytest.approx(delta, rel=0.1)
        found = infinitesimal_jackknife(lambda w: (w @ self.X) / (w @ y), 40)
        assert found == pytest.approx(delta, rel=1e-4)  # differences neglect the square of a thousandth


class TestStability:
    VALUES = RNG(0).normal(size=(3, 4, 12))

    def test_the_measures_are_those_of_metrics(self):
        found = stability(self.VALUES, k=3)
        wanted = {
            "kendall": stats.kendall,
            "spearman": stats.spearman,
            "jaccard": lambda a, b: stats.top_k_jaccard(a, b, 3),
            "rbo": lambda a, b: stats.rank_biased_overlap(a, b, depth=3),
        }
        for name, measure in wanted.items():
            for i, j in combinations(range(3), 2):
                expected = measure(self.VALUES[i], self.VALUES[j]).mean()
                assert found.agreement[name][i, j] == found.agreement[name][j, i] == pytest.approx(expected, abs=1e-12)
            assert np.diag(found.agreement[name]).tolist() == [1, 1, 1]
        pairs = found.agreement["kendall"][np.triu_indices(3, 1)]
        mean, error = found.mean("kendall")
        assert mean == pytest.approx(pairs.mean())
        assert error == pytest.approx(np.sqrt(2 * pairs.var()))  # without one of three runs one pair is left

    def test_the_same_order_in_any_unit(self):
        found = stability([self.VALUES[0], np.exp(self.VALUES[0]), 7 * self.VALUES[0] - 1])
        assert all(matrix == pytest.approx(1.0) for matrix in found.agreement.values())
        assert [one.mean for one in found.index] == pytest.approx([1.0] * 4)

    def test_equal_scores_are_no_choice(self):
        """Each run finds one source, another one each time, and gives the other 99 nothing: they share no best source."""
        runs = np.zeros((4, 1, 100))
        runs[np.arange(4), 0, [30, 50, 70, 90]] = 1
        found = stability(runs)
        assert {name: found.mean(name)[0] for name in ("jaccard", "rbo")} == {"jaccard": 0, "rbo": 0}
        assert found.index[0].mean == pytest.approx(
            -1 / 99
        )  # `1 - s^2 / (q (1 - q))`: s^2 = 4/3 . 4 (1/4)(3/4) / 100, q = 1/100
        same = stability(runs[[0, 0]])
        assert [same.agreement[name][0, 1] for name in ("jaccard", "rbo")] == pytest.approx([1, 1])
        assert same.index[0].mean == pytest.approx(1)

    def test_the_order_of_the_sources_does_not_matter(self):
        """Scores of 4 values, so that half of all pairs of sources and more are ties."""
        rng = RNG(0)
        runs = rng.integers(4, size=(3, 5, 12)).astype(float)
        one, other = (stability(of, k=4) for of in (runs, runs[:, :, rng.permutation(12)]))
        for name, matrix in one.agreement.items():
            np.testing.assert_allclose(matrix, other.agreement[name], atol=1e-12, err_msg=name)
        np.testing.assert_allclose(one.index, other.index, atol=1e-12)

    def test_no_source_that_stands_out(self):
        found = stability(np.array([[[1.0, 1, 0]]] * 2), k=1)
        assert np.isnan(found.index[0].mean)
        assert "no source stands out" in stability_text(found)
        assert "no source stands out" in stability_page(found)

    def test_who_changes(self):
        one = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
        found = stability([one, one[:, [0, 2, 1, 3, 4]], one], k=2)
        np.testing.assert_allclose(found.share, [[1, 2 / 3, 1 / 3, 0, 0]])

    def test_lists_of_the_ends(self):
        """Ranks over what both list; the best by their lists: 8 and 9 shared of (9, 8), (9, 8) and one of (9, 7)."""
        one = listing([[5, 4, -1, -2]], [[9, 8, 1, 0]])
        other = listing([[6, 3, -1, -3]], [[9, 7, 0, 1]])
        found = stability([one, other], k=2)
        assert found.agreement["jaccard"][0, 1] == pytest.approx(1 / 3)
        assert found.agreement["kendall"][0, 1] == pytest.approx(1 / 3)  # of 9, 1, 0 the last two are exchanged
        assert found.agreement["rbo"][0, 1] == pytest.approx(0.1 + 0.9 * 0.5)
        with pytest.raises(LlmattrError, match="run 1 lists the 2 best sources of a target, and the 3 best are compared"):
            stability([one, other], k=3)

    def test_tables_beside_a_result(self):
        """A table with the result's names in another order, one in its order, and one of row numbers."""
        names = ["a", "b", "c"]
        ours = Attribution(
            np.array([[3.0, 2.0, 1.0]]), Sources("rows", names, ["A", "B", "C"]), Targets(["said"]), "nats", {"name": "x"}
        )
        named = attribution_of(np.array([[1.0, 2.0, 3.0]]), ["c", "b", "a"], ["said"])
        found = stability([named, ours, np.array([[30.0, 20.0, 10.0]])])
        np.testing.assert_array_equal(found.agreement["kendall"], 1)
        assert found.runs.sources.texts == ["C", "B", "A"]
        rows = listing([[5, 4, -1, -2]], [[3, 2, 1, 0]])
        assert stability([rows, np.array([[0.0, 2.0, 1.0, 3.0, 1.5]])], k=2).agreement["spearman"][0, 1] == pytest.approx(0.8)

    def test_a_target_without_an_order_is_left_out_of_the_means(self):
        """The others' figures are those of the others alone."""
        values = RNG(1).normal(size=(3, 4, 12))
        values[1, 2] = 0.5
        with pytest.warns(LlmattrNote, match="1 of 4 targets have no order to compare: run 2 gives every source of a target"):
            found = stability([*values])
        rest = stability([*values[:, [0, 1, 3]]])
        for name, matrix in rest.agreement.items():
            np.testing.assert_array_equal(found.agreement[name], matrix)
        assert np.isnan(found.index[2].mean)
        assert [found.index[t] for t in (0, 1, 3)] == rest.index
        assert found.share[2].sum() == 0
        assert EQUAL in stability_text(found)

    @pytest.mark.parametrize(
        ("others", "k", "match"),
        [
            ([], None, "one run says nothing"),
            ([np.ones((4, 12))], None, "run 2 gives every source of a target the same score"),
            ([np.zeros((4, 11))], None, "run 2 and run 1 are of other sources: only one of them has '11'"),
            ([np.zeros((3, 12))], None, "3 and 4 targets"),
            ([RNG(1).normal(size=(4, 12))], 12, "k must lie between 1 and 12"),
        ],
    )
    def test_what_cannot_be_compared(self, others, k, match):
        with pytest.raises(LlmattrError, match=match):
            stability([self.VALUES[0], *others], k)
