"""Runs that agree, and that do not, are told as they are; p-values of equal trainings are even, and shifted ones are not."""

import json
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import chi

from eval.context.case import Model
from eval.context.case import Size as ContextSize
from eval.context.data import questions
from eval.harness.contract import Entry, Scored
from eval.stability.agreement import agreement
from eval.stability.chance import NOISE, Equal, calibration
from eval.stability.contexts import FILE, RUNS, cases, paraphrased
from eval.stability.trainings import Made, Size, Trained, learner
from llmattr.certainty import power_of
from llmattr.context import METHODS
from llmattr.errors import LlmattrError
from llmattr.training import METHODS as TRAINING

COMMAND = import_module("eval.stability.bench").command
RNG = np.random.default_rng
SMALL = Size(countries=3, steps=4, seeds=4)


class TestAgreement:
    def test_the_same_every_time(self):
        found = agreement(np.broadcast_to(RNG(0).normal(size=(2, 8)), (3, 2, 8)), "seeds")
        assert {*found} == {f"{name}, seeds" for name in ("kendall", "spearman", "jaccard", "rbo", "nogueira")}
        for name, each in found.items():
            np.testing.assert_allclose(each, 1, err_msg=name)

    def test_two_opposite_runs(self):
        """Ranks turned round, the three best of eight disjoint: Nogueira's index of two sets is Kuncheva's, -q / (1 - q)."""
        one = np.arange(8.0)[None]
        found = agreement(np.stack([one, -one]), "x")
        assert [float(found[f"{name}, x"][0]) for name in ("kendall", "spearman", "jaccard")] == pytest.approx([-1, -1, 0])
        assert found["nogueira, x"][0] == pytest.approx(-(3 / 8) / (5 / 8))

    def test_chance(self):
        """Of 200 targets with 10 sources, tau has variance 2 (2 n + 5) / (9 n (n - 1)) = 0.062 for each of two runs."""
        found = agreement(RNG(0).normal(size=(2, 200, 10)), "x")
        assert abs(found["kendall, x"].mean()) < 3.5 * (0.062 / 200) ** 0.5
        assert abs(found["nogueira, x"].mean()) < 3.5 * found["nogueira, x"].std() / 200**0.5

    def test_targets_are_by_themselves(self):
        runs = RNG(0).normal(size=(3, 2, 6))
        runs[:, 1] = runs[0, 1]
        runs[2, 0] = 1.0  # all sources alike: no order
        found = agreement(runs, "x")["kendall, x"]
        assert np.isnan(found[0])
        assert found[1] == pytest.approx(1)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A question by every variation."""
    size = ContextSize(least=3, most=12, held_out=0, answer=4)
    return cases(["canal"], 1, Model("tiny"), size, tmp_path_factory.mktemp("kept"))


class TestContexts:
    def test_runs_differ_by_one_thing(self, every):
        by = {one.variation: one for one in every}
        entry = Entry("ridge", METHODS["ridge"](n_ablations=16, bootstraps=0), 16)
        one = by["seeds"]
        scores = {
            name: case.score(entry).values.reshape(-1, len(one.ablation.targets), one.question.size)
            for name, case in by.items()
        }
        assert {name: len(found) for name, found in scores.items()} == {"seeds": RUNS, "budgets": 3, "paraphrases": 4}
        own = [entry.method.attribute(one.ablation, seed).values for seed in range(RUNS)]
        np.testing.assert_array_equal(scores["seeds"], own)
        np.testing.assert_array_equal(scores["budgets"][-1], own[0])  # the whole budget comes last
        np.testing.assert_array_equal(scores["paraphrases"][0], own[0])  # the question itself comes first
        assert np.abs(scores["paraphrases"][1:] - own[0]).max(axis=(1, 2)).min() > 0

    def test_the_answer_stays_in_other_words(self, every):
        asked = next(one for one in every if one.variation == "paraphrases").asked
        assert len({one.prompt.response for one in asked}) == 1
        assert len({tuple(one.prompt.full().ids) for one in asked}) == 4
        assert len({(*one.sources.texts, *one.targets.texts) for one in asked}) == 1

    def test_what_draws_nothing_is_the_same(self, every):
        one = every[0]
        judged = one.judge({"loo": one.score(Entry("leave-one-out", METHODS["leave-one-out"]()))})
        np.testing.assert_allclose(judged["loo"].measures["kendall, seeds"], 1)

    def test_a_set_without_paraphrases(self):
        with pytest.raises(
            LlmattrError, match="no question of canal has paraphrases; there are some of hotpotqa, 2wiki, qed, canal"
        ):
            paraphrased({}, "canal")

    def test_every_question_has_three_other_ways(self):
        rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
        assert len({(row["set"], row["id"]) for row in rows}) == len(rows)
        assert {len({*row["paraphrases"]}) for row in rows} == {3}
        known = {one.id: one.question for one in questions("canal")}
        canal = [row for row in rows if row["set"] == "canal"]
        assert {row["id"] for row in canal} == {*known}
        assert not any(known[row["id"]] in row["paraphrases"] for row in canal)


class TestTrainings:
    def test_trainings_differ_by_one_thing(self):
        world = learner(SMALL)
        scores = {
            made: world.scores(TRAINING["grad-dot"](), made) for made in (Made(), Made(seed=1), Made(order=1), Made(share=0.5))
        }
        first = scores.pop(Made())
        assert first.shape == (3, 9)
        assert all(np.abs(other - first).max() > 0 for other in scores.values())

    def test_runs_stand_one_below_the_other(self):
        world = learner(SMALL)
        method = TRAINING["grad-dot"]()
        found = Trained(world, "seeds").score(Entry("grad-dot", method)).values
        np.testing.assert_array_equal(found, np.concatenate([world.scores(method, Made(seed)) for seed in range(4)]))
        assert [one.share for one in Trained(world, "checkpoints").made] == [0.6, 0.7, 0.8, 0.9, 1.0]
        assert {one.seed for one in Trained(world, "orders").made} == {0}

    def test_a_training_is_the_same_again(self):
        method = TRAINING["rep-sim"]()
        one, again = learner(SMALL), learner.__wrapped__(SMALL)
        np.testing.assert_array_equal(one.scores(method, Made()), again.scores(method, Made()))

    def test_random_scores_are_drawn_for_each_run(self):
        found = Trained(learner(SMALL), "orders").score(Entry("random", TRAINING["random"]())).values.reshape(5, -1)
        assert len({row.tobytes() for row in found}) == 5


class TestChance:
    SCORES = RNG(0).normal(size=(20, 1000))

    def test_equal_trainings(self):
        """Of 1,000: 5 % has the binomial error .0069, power .0127; a deviation of ten runs is `chi_9 / 3` of the true one."""
        found = {name: float(value[0]) for name, value in calibration(self.SCORES).items()}
        assert found["KS p"] > 0.01
        assert found["false"] == pytest.approx(0.05, abs=3.5 * 0.0069)
        assert found["pairs"] == 1000
        assert found["promised"] == power_of(1.0, 10)
        sizes = chi.ppf((np.arange(200) + 0.5) / 200, 9) / 3
        assert found["found"] == pytest.approx(np.mean([power_of(size, 10) for size in sizes]), abs=3.5 * 0.0127)

    def test_trainings_that_differ_are_seen(self):
        """A shift of every pair by half a deviation of the difference: p-values crowd at 0."""
        shifted = self.SCORES.copy()
        shifted[:10] += 0.7
        found = calibration(shifted)
        assert found["KS p"][0] < 1e-9
        assert found["false"][0] > 0.2

    def test_what_never_differs_says_nothing(self):
        assert calibration(np.ones((6, 30))) == {}

    def test_the_line_of_noise(self):
        one = Equal(Trained(learner(SMALL), "seeds"))
        noise = one.score(Entry(NOISE))
        assert noise.values.shape == (4 * 3, 9)
        judged = one.judge({"noise": noise, "constant": Scored(np.ones((12, 9)))})
        assert judged["noise"].measures["pairs"] == [27]
        assert not judged["constant"].measures


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path):
    words = ["--tiny", "--methods", "ridge,bm25,grad-dot", "--out", str(tmp_path / "found.json")]
    done = CliRunner().invoke(COMMAND, words)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "found.json").read_text())
    assert {"context", "training", "chance"} <= {*record}
    methods = {side: {row["method"] for row in record[side]["figures"]} for side in ("context", "training", "chance")}
    assert methods["context"] == {"ridge", "bm25", "random", "length", "word-share"}
    assert methods["training"] == {"bm25", "grad-dot", "random", "length", "word-share"}
    assert methods["chance"] == {"bm25", "grad-dot", NOISE}
    (row,) = [row for row in record["training"]["figures"] if row["method"] == "grad-dot"]
    assert row["kendall, orders"] > row["kendall, seeds"]  # the same initial weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "luck"], "there is no method 'luck'"),
        (["--methods", "ridge", "--side", "training"], "none of these methods is of the side training"),
        (["--budget", "much"], "--budget is one number"),
    ],
)
def test_bad_options_are_one_line(tmp_path, options, message):
    done = CliRunner().invoke(COMMAND, ["--tiny", "--out", str(tmp_path / "found.json"), *options])
    assert done.exit_code == 2
    assert message in done.output
