"""Scores over several runs: means, tests with their sample size in them, components of variance (T25 to T27)."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from scipy import stats

from llmattr import surrogate
from llmattr.certainty import benjamini_hochberg, power_of, replicated, replicates, runs_needed, t_test, variance_components
from llmattr.certainty.reading import UNIT
from llmattr.certainty.significance import true_snr
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.report.certainty import certainty_text
from tests import worlds

RNG = np.random.default_rng


def scores(values, ids=None, index=None, **fields):
    values = np.asarray(values, dtype=float)
    names = [str(i) for i in range(values.shape[1])] if ids is None else ids
    said = Targets([f"target {t}" for t in range(len(values))], measure="logprob")
    return Attribution(values, Sources("rows", names, names), said, "nats", {"name": "x"}, index=index, **fields)


class TestSignificance:
    def test_it_is_students(self):
        values = RNG(0).normal(0.3, size=(7, 3, 4))
        np.testing.assert_allclose(t_test(values), stats.ttest_1samp(values, 0.0, axis=0).pvalue, rtol=1e-12)

    def test_p_values_are_even_under_the_null(self):
        """T25: of 20,000 nulls at 10 seeds 5 % are below .05; without the root of n (the published code) hardly any is."""
        p = t_test(RNG(0).normal(size=(10, 20_000)))
        assert 0.045 <= (p < 0.05).mean() <= 0.055  # 3.2 binomial standard errors
        assert stats.kstest(p, "uniform").pvalue > 0.01
        values = RNG(0).normal(size=(10, 20_000))
        without = 2 * stats.norm.sf(np.abs(values.mean(axis=0) / values.std(axis=0, ddof=1)))
        assert (without < 0.05).mean() < 0.001

    def test_an_effect_is_found_as_often_as_promised(self):
        """T26: an effect of one deviation at 10 seeds, power .803; 5 binomial standard errors of 20,000 are .014."""
        found = (t_test(RNG(1).normal(1.0, size=(10, 20_000))) < 0.05).mean()
        assert found >= 0.75
        assert found == pytest.approx(power_of(1.0, 10), abs=0.014)

    @pytest.mark.parametrize(("snr", "runs"), [(1.0, 10), (0.8, 15), (0.5, 34), (0.2, 199)])
    def test_how_many_runs_it_takes(self, snr, runs):
        """As G*Power has it for one sample, two sides, .05 and .8; and no fewer do."""
        assert runs_needed(snr) == runs_needed(-snr) == runs
        assert power_of(snr, runs - 1) < 0.8 <= power_of(snr, runs)

    def test_the_ends(self):
        assert runs_needed(0.0) is None
        assert runs_needed(1e6) == runs_needed(np.inf) == 2
        assert power_of(0.0, 5, level=0.05) == pytest.approx(0.05)
        assert power_of(10.0, 3) == pytest.approx(1, abs=1e-6)  # scipy has nan for the other side

    @pytest.mark.parametrize(("true", "runs"), [(0.5, 2), (0.5, 3), (1.0, 3), (2.0, 5)])
    def test_what_few_runs_show_is_corrected(self, true, runs):
        """Half of 20,000 pairs show more than their median: within 5 binomial errors, 5 * 0.5 / 141."""
        seen = float(np.median(replicates(true + RNG(0).normal(size=(runs, 10, 2000))).snr))
        level = 2 * stats.t.sf(seen * runs**0.5, runs - 1)
        assert power_of(true, runs, level) == pytest.approx(0.5, abs=5 * 0.5 / 141)
        assert power_of(true_snr(seen, runs), runs, level) == pytest.approx(0.5, abs=1e-9)

    def test_noise_is_found_by_no_number_of_runs(self):
        bound = stats.t.isf(0.25, 2) / 3**0.5  # what |t| of three runs of noise is above half of the time
        assert true_snr(0.99 * bound, 3) == 0 < true_snr(1.01 * bound, 3)
        assert [true_snr(one, 2) for one in (0.0, 1e6, np.inf)] == [0.0, 1e6, np.inf]
        quiet = replicates(np.array([[[1.0, 2.0]], [[-1.0, -2.0]], [[0.1, 0.2]]]))
        assert "stand out no more than noise does in 3 runs" in certainty_text(quiet)
        np.testing.assert_array_equal(t_test(np.array([[0.0, 2.0], [0.0, 2.0]])), [1.0, 0.0])
        with pytest.raises(LlmattrError, match=r"power must lie between 0\.5 and 1"):
            runs_needed(1.0, power=1.0)
        with pytest.raises(LlmattrError, match="runs must be 2 or more"):
            power_of(1.0, 1)

    def test_false_findings_are_kept_at_the_level(self):
        """Of 900 nulls and 100 true effects no more than 5 % (and a little, by chance) of what is found is false."""
        effects = np.r_[np.zeros(900), np.full(100, 2.0)]
        shares = []
        for seed in range(40):
            found = benjamini_hochberg(t_test(effects + RNG(seed).normal(size=(8, 1000)))[None])[0] <= 0.05
            shares.append(found[:900].sum() / max(found.sum(), 1))
        assert np.mean(shares) <= 0.05
        assert np.mean(shares) > 0.03  # 0.9 x 0.05 is what the procedure gives: it is no stricter than it says


class TestReplicates:
    def test_two_equal_trainings_differ_by_noise_alone(self):
        """1,000 pairs, each the difference of two trainings on the same rows: p-values are even, next to nothing is found."""
        trained = RNG(3).normal(size=(2, 6, 20, 50))
        found = replicates(trained[0] - trained[1])
        assert stats.kstest(found.p_values.ravel(), "uniform").pvalue > 0.01
        assert found.noise() > 0.99

    def test_one_known_effect_among_noise_is_found(self):
        values = RNG(0).normal(size=(10, 4, 5))
        values[:, 1, 2] += 8.0
        found = replicates(values)
        assert np.argwhere(found.q_values <= 0.05).tolist() == [[1, 2]]
        np.testing.assert_allclose(found.snr, np.abs(values.mean(axis=0)) / values.std(axis=0, ddof=1))

    def test_sampled_leave_one_out_of_a_bayesian_regression(self):
        """T27: models with and without a row drawn from their posteriors: mean x'(m1 - m0), deviation sqrt(x'(C0 + C1)x)."""
        rng, sigma, draws = RNG(0), 0.3, (100, 1, 200)
        rows, x = rng.normal(size=(30, 3)), np.array([1.0, -1.0, 0.5])
        said = rows @ np.array([1.0, 2.0, 3.0]) + sigma * rng.normal(size=30)

        def posterior(keep):
            spread = np.linalg.inv(rows[keep].T @ rows[keep] / sigma**2 + np.eye(3))
            return spread @ rows[keep].T @ said[keep] / sigma**2, spread

        (m1, c1), (m0, c0) = posterior(np.arange(30) > 0), posterior(np.arange(30) >= 0)
        effects = rng.multivariate_normal(m1, c1, draws) @ x - rng.multivariate_normal(m0, c0, draws) @ x
        found = replicates(effects)
        deviation = np.sqrt(x @ (c0 + c1) @ x)
        assert found.mean.mean() == pytest.approx(x @ (m1 - m0), abs=5 * deviation / effects.size**0.5)
        assert np.sqrt((found.deviation**2).mean()) == pytest.approx(deviation, rel=0.02)

    def test_noise_in_the_labels_of_a_regression(self):
        """T48: weights of least squares under label noise 0.3 have the variance `0.09 (X'X)^-1`; 3 % is 3 errors of 19,800."""
        rng = RNG(0)
        rows = rng.normal(size=(30, 3))
        noise = 0.3 * rng.normal(size=(100, 200, 30))
        found = replicates((rows @ np.array([1.0, -2.0, 0.5]) + noise) @ np.linalg.pinv(rows).T)
        wanted = 0.09 * np.diag(np.linalg.inv(rows.T @ rows))
        np.testing.assert_allclose((found.deviation**2).mean(axis=0), wanted, rtol=0.03)

    def test_the_mean_is_an_attribution(self, tmp_path):
        values = RNG(0).normal(2.0, size=(4, 2, 6))
        found = replicates(values).attribution()
        np.testing.assert_allclose(found.stderr, values.std(axis=0, ddof=1) / 2)
        assert found.run["replicates"] == {"runs": 4, "independent": 4, "sampling": "runs"}
        again = Attribution.load(found.save(tmp_path / "mean.json"))
        for name in ("values", "stderr", "deviation", "q_values"):
            np.testing.assert_allclose(vars(again)[name], vars(found)[name])
        best = found[1].top(1)[0]
        assert (best.deviation, best.q) == (found.deviation[1, best.source], found.q_values[1, best.source])
        assert {"deviation", "q"} <= {*found.to_frame().columns}

    def test_only_the_ends_highest_first(self):
        values = np.stack([np.arange(8.0)[None], np.arange(8.0)[None] + 0.1])
        found = replicates(values).attribution(top=2)
        assert [score.id for score in found.top(None)] == ["7", "6", "1", "0"]
        np.testing.assert_allclose(found.values, [[7.05, 6.05, 1.05, 0.05]])
        assert len(replicates(values).attribution(top=4).sources) == 8

    def test_checkpoints_of_one_training_are_one_run(self):
        """Ten checkpoints that follow each other closely are no ten witnesses: chance is over the trainings."""
        trainings = RNG(0).normal(size=(3, 1, 2, 2))
        values = (trainings + 1e-3 * RNG(1).normal(size=(3, 10, 2, 2))).reshape(30, 2, 2)
        factors = {"seed": np.repeat(range(3), 10), "checkpoint": np.tile(range(10), 3)}
        found = replicates(values, factors)
        assert found.sampling == "deep ensemble of last checkpoints"
        np.testing.assert_allclose(found.independent, values.reshape(3, 10, 2, 2).mean(axis=1))
        assert found.q_values.min() > 0.05 > replicates(values).q_values.min()
        one = replicates(values[:10], {"seed": [0] * 10, "checkpoint": range(10)})
        assert one.sampling == "last checkpoints"
        assert one.independent.shape == (10, 2, 2)

    def test_runs_of_one_seed_are_one_run(self):
        """They begin with the same weights; with one seed every data order is a run."""
        values = RNG(0).normal(size=(6, 2, 2))
        crossed = {"seed": [0, 0, 1, 1, 2, 2], "data order": [0, 1, 0, 1, 0, 1]}
        np.testing.assert_allclose(replicates(values, crossed).independent, values.reshape(3, 2, 2, 2).mean(axis=1))
        alone = replicates(values, {"seed": [0] * 6, "data order": range(6)})
        assert alone.independent.shape == (6, 2, 2)
        assert alone.sampling == "deep ensemble"

    def test_any_method_is_replicated(self):
        """context-cite's draws: the error between seeds is what it says, and the mean comes near the truth."""
        truth = np.array([3.0, 0.0, -1.0, 0.0])
        world = worlds.noisy(truth, 0.5)
        found = replicated(lambda seed: surrogate.ridge(world, n_ablations=24, seed=seed), seeds=range(8))
        assert found.factors == {"seed": list(range(8))}
        assert found.sampling == "deep ensemble"
        np.testing.assert_allclose(found.mean[0], truth, atol=0.5)
        assert (found.q_values[0] <= 0.05)[[0, 2]].all()
        both = replicated(lambda seed, checkpoint: scores([[seed + 10.0 * checkpoint]]), seeds=(1, 2), checkpoints=(3, 4))
        assert both.runs.values.ravel().tolist() == [31, 41, 32, 42]
        assert both.factors == {"seed": [1, 1, 2, 2], "checkpoint": [3, 4, 3, 4]}


class TestVariance:
    SEED, STEP = RNG(0).normal(size=(6, 1, 2, 3)), RNG(1).normal(size=(1, 4, 2, 3))
    LABELS = MappingProxyType({"seed": np.repeat(range(6), 4), "checkpoint": np.tile(range(4), 6)})

    def test_what_adds_up_is_split_exactly(self):
        found = variance_components((self.SEED + self.STEP).reshape(24, 2, 3), self.LABELS)
        np.testing.assert_allclose(found["seed"], self.SEED[:, 0].var(axis=0, ddof=1))
        np.testing.assert_allclose(found["checkpoint"], self.STEP[0].var(axis=0, ddof=1))
        np.testing.assert_allclose(found["rest"], 0, atol=1e-12)

    def test_checkpoints_of_their_own_are_nested(self):
        values = RNG(2).normal(size=(24, 2, 3)) + np.repeat(self.SEED[:, 0], 4, axis=0)
        own = {**self.LABELS, "checkpoint": range(24)}
        found, cells = variance_components(values, own), values.reshape(6, 4, 2, 3)
        within = cells.var(axis=1, ddof=1).mean(axis=0)
        np.testing.assert_allclose(found["checkpoint"], within)
        np.testing.assert_allclose(found["seed"], np.maximum(cells.mean(axis=1).var(axis=0, ddof=1) - within / 4, 0))
        np.testing.assert_array_equal(found["rest"], 0)

    def test_the_parts_are_right_on_average(self):
        """Deviations 2, 1, 0.5 and 0.3 over 4,000 pairs, within 5 standard errors."""
        sizes, parts, rng = (8, 7, 6), (2.0, 1.0, 0.5), RNG(5)
        shapes = [(*(s if j == i else 1 for j, s in enumerate(sizes)), 4000) for i in range(3)]
        effects = sum(d * rng.normal(size=shape) for d, shape in zip(parts, shapes, strict=True))
        values = (effects + 0.3 * rng.normal(size=(*sizes, 4000))).reshape(-1, 1, 4000)
        grid = np.indices(sizes).reshape(3, -1)
        found = variance_components(values, dict(zip(("seed", "data order", "checkpoint"), grid, strict=True)))
        for name, deviation in zip(("seed", "data order", "checkpoint", "rest"), (*parts, 0.3), strict=True):
            each = found[name].ravel()
            assert each.mean() == pytest.approx(deviation**2, abs=5 * each.std() / 4000**0.5), name

    @pytest.mark.parametrize(
        ("factors", "match"),
        [
            ({"seed": [0, 0, 0, 0]}, "differ in nothing that is named"),
            ({"seed": [0, 1, 2, 3], "data order": [4, 5, 6, 7]}, "seed and data order cannot be told apart"),
            ({"seed": [0, 0, 1, 1], "checkpoint": [0, 1, 0, 0]}, "cannot be told apart"),
            ({"seed": [0, 0, 0, 1]}, "cannot be told apart"),
            ({"seed": [0, 1]}, "4 runs and 2 labels of their seed"),
        ],
    )
    def test_what_cannot_be_split(self, factors, match):
        with pytest.raises(LlmattrError, match=match):
            variance_components(RNG(0).normal(size=(4, 1, 2)), factors)


class TestReading:
    def test_files_of_any_tool(self, tmp_path):
        values = RNG(0).normal(size=(3, 2, 4))
        np.save(tmp_path / "three.npy", values)
        np.savez(tmp_path / "one.npz", scores=values[0])
        rows = "".join(f"t{t}," + ",".join(map(str, row)) + "\n" for t, row in enumerate(values[1]))
        (tmp_path / "one.csv").write_text("target,a,b,c,d\n" + rows)
        (tmp_path / "bare.csv").write_text("a,b,c,d\n" + rows.replace("t0,", "").replace("t1,", ""))
        np.testing.assert_array_equal(replicates([tmp_path / "three.npy"]).runs.values, values)
        mixed = replicates([tmp_path / "three.npy", tmp_path / "one.npz", values[2]])
        np.testing.assert_array_equal(mixed.runs.values, values[[0, 1, 2, 0, 2]])
        tables = replicates([tmp_path / "bare.csv", tmp_path / "bare.csv", _as_table(2 * values[1])])
        np.testing.assert_allclose(tables.mean, values[1] * 4 / 3)
        one = replicates([_as_table(values[0], said=["t0", "t1"]), tmp_path / "one.csv"])
        assert [*one.runs.sources.ids, *one.runs.first.targets.texts] == ["a", "b", "c", "d", "t0", "t1"]

    @pytest.mark.parametrize("name", ["", "id", "target"])
    def test_a_column_of_the_targets_numbers_is_no_source(self, tmp_path, name):
        """As pandas writes a table: without a name, or as one names it."""
        values = RNG(0).normal(size=(2, 3, 4))
        for number, table in enumerate(values):
            rows = "".join(f"{t}," + ",".join(map(str, row)) + "\n" for t, row in enumerate(table))
            (tmp_path / f"{number}.csv").write_text(f"{name},a,b,c,d\n{rows}")
        found = replicates([tmp_path / "0.csv", tmp_path / "1.csv"])
        np.testing.assert_allclose(found.mean, values.mean(axis=0))
        assert [*found.runs.sources.ids] == ["a", "b", "c", "d"]
        assert [*found.runs.first.targets.texts] == ["target 0", "target 1", "target 2"]

    def test_sources_are_found_by_their_ids(self):
        one, other = scores([[1.0, 2.0, 3.0]], ["a", "b", "c"]), scores([[6.0, 4.0, 2.0]], ["c", "b", "a"])
        np.testing.assert_array_equal(replicates([one, other]).mean, [[1.5, 3.0, 4.5]])
        ends = scores([[3.0, 1.0]], ["10", "9"], index=np.array([[0, 1]])), scores([[3.0, 2.0]], ["9", "10"])
        found = replicates(ends).attribution()
        assert [score.id for score in found.top(None)] == ["10", "9"]

    @pytest.mark.parametrize(
        ("others", "match"),
        [
            ([], "one run says nothing"),
            ([scores([[1.0, 2.0]])], "2 runs are equal in every score"),
            ([scores([[1.0, 2.0]], ["0", "7"])], "run 2 and run 1 are of other rows: only one of them has"),
            ([scores([[1.0, 2.0], [3.0, 4.0]])], "run 2 and run 1 have 2 and 1 targets"),
            ([scores([[1.0, 2.0, 3.0]])], "other rows"),
            ([scores([[1.0]], ["1"], index=np.array([[0]]))], "target 0 has no score of '0' in every run.*ask for all rows"),
            ([np.array([[3.0, 2.0]])], "a mean is of runs of one method, and these are x in nats and given in"),
            (["missing.npy"], "cannot read 'missing.npy'"),
            (["table.txt"], r"runs are read from .json, .npy, .npz, .csv files, not from 'table.txt'"),
            ([3], "a run is an attribution"),
        ],
    )
    @pytest.mark.usefixtures("unchecked")
    def test_what_are_no_runs(self, others, match):
        with pytest.raises(LlmattrError, match=match):
            replicates([scores([[1.0, 2.0]]), *others])

    def test_rows_that_say_something_else(self):
        one = scores([[1.0, 2.0]])
        other = replace(one, sources=Sources("rows", ["0", "1"], ["0", "changed"]))
        with pytest.raises(LlmattrError, match="of other rows: 1 is 'changed' and '1'"):
            replicates([one, other])

    BAD = (
        ("a,b\n", "holds no scores"),
        ("a,b\n1,x\n", "bad.csv', line 2, 'b': 'x' is no finite number"),
        ("a,b\n1,2\n3,\n", "bad.csv', line 3, 'b': '' is no finite number"),
        ("", "no table"),
        ("0.5,1.5\n2.5,3.5\n4.5,5.5\n", "first line of .* names the sources, and '0.5' is a score"),
        ("a,b,a\n1,2,3\n", "names 'a' several times"),
    )

    @pytest.mark.parametrize(("text", "match"), BAD)
    def test_tables_that_are_none(self, tmp_path, text, match):
        path = tmp_path / "bad.csv"
        path.write_text(text)
        with pytest.raises(LlmattrError, match=match):
            replicates([path, path])

    def test_json_that_is_none(self, tmp_path):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps({"targets": []}))
        with pytest.raises(LlmattrError, match="not a saved attribution"):
            replicates([path, path])


def _as_table(values, said=None):
    names = ["a", "b", "c", "d"]
    targets = Targets(said or [f"target {t}" for t in range(len(values))], measure="value")
    return Attribution(values, Sources("sources", names, names), targets, UNIT, {"name": "given"})
