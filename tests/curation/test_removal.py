"""Training again without what a trace found: the effect is that of the rows, and there is none where they do nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmattr import retraining
from llmattr.cli import main
from llmattr.curation.removal import removal
from llmattr.errors import LlmattrError
from llmattr.report.quality import fit_quality
from tests.curation.test_selection import scores_of

WEIGHTS = np.array([[5.0, 0, 0, 1, 0, 0, 0, 0], [0.0, 3, 2, 0, 0, 0, 0, 0]])


def world(weights=WEIGHTS, noise=0.0):
    """Outputs that are sums of the rows' weights, with a noise of each seed that all masks share."""

    def train(rows, seed):
        return weights @ rows + noise * np.random.default_rng(seed).normal(size=len(weights))

    return retraining.from_function(train, weights.shape[1], len(weights), name="sum")


def test_the_effect_is_what_the_highest_rows_gave_beyond_random_ones():
    """Each target's own rows are removed: 6 and 5 of 6 and 5; random pairs take their share of them, and no more."""
    found = removal(scores_of(WEIGHTS), world(), 2, replicates=2, draws=4)
    np.testing.assert_allclose(found.everything, [6, 5])
    np.testing.assert_allclose(found.without, [0, 0], atol=1e-12)
    np.testing.assert_allclose(found.effect, -found.random)
    assert (found.effect < -2 * found.stderr).all()
    assert found.clear.all()
    record = found.record()
    assert record["removed"] == 2
    assert record["without"]["seen"] == found.without.tolist()


def test_a_seeds_noise_that_all_share_cancels():
    """Of one draw nothing but the seeds makes an error, and theirs is the same in both."""
    found = removal(scores_of(WEIGHTS), world(noise=100.0), 2, replicates=5, draws=1)
    np.testing.assert_allclose(found.stderr, 0, atol=1e-9)
    np.testing.assert_allclose(found.effect, removal(scores_of(WEIGHTS), world(), 2, draws=1).effect, atol=1e-9)


def test_the_error_is_that_of_draws_and_seeds():
    """Written out, with a noise of every run's own."""
    rng = np.random.default_rng(0)
    noises = {}

    def train(rows, seed):
        key = (rows.tobytes(), seed)
        noises.setdefault(key, rng.normal(size=1))
        return WEIGHTS[:1] @ rows + noises[key]

    ablation = retraining.from_function(train, 8, 1, name="noisy")
    found = removal(scores_of(WEIGHTS[:1]), ablation, 2, replicates=3, draws=4)
    runs = np.array([output for key, output in ablation.memory.items()]).reshape(6, 3)  # all, highest, 4 draws
    differences = runs[1] - runs[2:]
    expected = differences.mean(axis=1).var(ddof=1) / 4 + differences.mean(axis=0).var(ddof=1) / 3
    np.testing.assert_allclose(found.stderr, np.sqrt(expected))
    np.testing.assert_allclose(found.effect, differences.mean())


def test_rows_that_do_nothing_have_no_effect():
    """Scores of nothing: over 50 worlds an effect is clear of two errors as rarely as chance lets it be."""
    clear = 0
    for seed in range(50):
        scores = scores_of(np.random.default_rng(seed).normal(size=(1, 8)))
        ablation = retraining.from_function(
            lambda rows, own: [np.random.default_rng([own, *rows.astype(int)]).normal()], 8, 1, name="noise", seed=seed
        )
        clear += removal(scores, ablation, 2, replicates=4, draws=4).clear.item()
    assert clear <= 9  # a t of 3 degrees goes past 2 in 14 %: 7 of 50, and the formula is on the safe side


def test_a_trace_that_names_a_few_rows_only():
    given = scores_of([[5.0, 1.0]], ids=["0", "3"])
    assert removal(given, world(WEIGHTS[:1]), 2).without == pytest.approx(0)
    with pytest.raises(LlmattrError, match="scores of 2 sources, and 3 are to be selected"):
        removal(given, world(WEIGHTS[:1]), 3)
    for k in (0, 8):
        with pytest.raises(LlmattrError, match="k must lie between 1 and 8"):
            removal(given, world(WEIGHTS[:1]), k)


@pytest.mark.parametrize(("replicates", "draws", "known"), [(1, 1, False), (2, 1, True), (1, 2, True)])
def test_no_error_is_known_of_one_model_and_one_draw(replicates, draws, known):
    found = removal(scores_of(WEIGHTS), world(), 2, replicates, draws)
    assert np.isfinite(found.stderr).all() == known
    assert known or not found.clear.any()


ROWS = [
    {"prompt": way.format(land), "completion": f" {town}"}
    for land, town in (("Peru", "Lima"), ("Cuba", "Havana"), ("Kenya", "Nairobi"))
    for way in ("The capital of {} is", "{} is governed from")
]


class TestCommand:
    @pytest.fixture
    def given(self, tmp_path):
        """A trace of two queries by words, and the options of its data."""
        asked = [{"prompt": row["prompt"], "completion": row["completion"]} for row in ROWS[:4:2]]
        for name, rows in (("rows", ROWS), ("queries", asked)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = ["--data", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "runs")]
        queries = ["--queries", str(tmp_path / "queries.jsonl")]
        trained = ["--steps", "20", "--learning-rate", "0.01"]
        found = str(tmp_path / "found.json")
        assert main(["trace", "in-run-shapley", *data, *queries, *trained, "--json", found]) == 0
        return found, [*data, *trained, "--runs", "2", "--draws", "2"]

    def test_it_says_what_changed_and_trains_nothing_twice(self, given, tmp_path, capsys):
        found, options = given
        outputs = ["--json", str(tmp_path / "it.json"), "--html", str(tmp_path / "it.html")]
        assert main(["trace", "verify", found, *options, "--k", "2", *outputs]) == 0
        said = capsys.readouterr().out
        assert "without the 2 highest of each query, and without 2 random ones: 2 models each, 2 random removals" in said
        assert "Lima" in said
        saved = json.loads((tmp_path / "it.json").read_text())
        assert saved["verified"]["removed"] == 2
        assert all(len(saved["verified"][name]["seen"]) == 2 for name in ("all", "without", "random"))
        assert "Trained again without the 2 highest of each query" in (tmp_path / "it.html").read_text(encoding="utf-8")
        before = len(list(tmp_path.glob("runs/*/*/*.npz")))
        assert main(["trace", "verify", found, *options, "--k", "2"]) == 0
        assert len(list(tmp_path.glob("runs/*/*/*.npz"))) == before
        assert main(["trace", "verify", found, *options, "--k", "2", "--runs", "1", "--draws", "1"]) == 0
        assert "One model and one draw tell no error" in capsys.readouterr().out

    @pytest.mark.slow
    def test_another_model_is_trained_than_was_traced(self, given, tmp_path, capsys):
        found, options = given
        saved = json.loads(Path(found).read_text())
        saved["run"]["model"] = "tuned"
        (tmp_path / "other.json").write_text(json.dumps(saved))
        for name, noted in ((found, False), (str(tmp_path / "other.json"), True)):
            assert main(["trace", "verify", name, *options, "--k", "2"]) == 0
            assert ("the trace is of tuned, and a small model from scratch is trained" in capsys.readouterr().err) == noted

    def test_a_training_that_teaches_less_than_the_traced_one_is_told(self, given, tmp_path, capsys):
        """Twenty steps leave a word of 12 or so at some nats; the traced model is made sure of it, or as sure as chance."""
        found, options = given
        saved = json.loads(Path(found).read_text())
        for loss, noted in ((0.01, True), (9.0, False)):
            for target in saved["targets"]:
                target["details"] = {"loss": [[" Lima", loss]]}
            (tmp_path / "surer.json").write_text(json.dumps(saved))
            assert main(["trace", "verify", str(tmp_path / "surer.json"), *options, "--steps", "1", "--k", "2"]) == 0
            assert ("train as it was trained (--model, --steps, " in capsys.readouterr().err) == noted

    def test_what_cannot_be_verified(self, given, tmp_path, capsys):
        found, options = given
        one = ["--prompt", "The capital of Peru is", "--completion", " Lima"]
        assert main(["trace", "verify", found, *options, *one]) != 0
        assert "is a trace of 2 queries, and 1 are given" in capsys.readouterr().err
        assert main(["trace", "verify", found, *options, "--k", "9"]) != 0
        assert "k must lie between 1 and 6" in capsys.readouterr().err
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:3]))
        assert main(["trace", "verify", found, *options, "--k", "2"]) != 0
        assert "the scores are of other data" in capsys.readouterr().err


def test_the_page_says_what_the_removal_took():
    found = removal(scores_of(WEIGHTS), world(), 2, draws=4)
    page = replace(scores_of(WEIGHTS), verified=found.record(), traced=True).html()
    assert f"with all rows, +0.00 without its 2 highest, {found.random[1]:+.2f} without random ones" in page
    assert f"these rows do {-found.effect[0]:+.2f} ± {found.stderr[0]:.2f} more than others (nats)" in page
    (line,) = fit_quality(replace(scores_of(WEIGHTS), verified=found.record()))
    assert line.startswith("Trained again without the 2 highest of each query: +0.00 on average")
    assert line.endswith("2 of 2 differences are clear of their error.")
