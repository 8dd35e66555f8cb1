"""Data selection: the best rows are found, and what is chosen is compared by training on it."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from llmattr import retraining
from llmattr.cli import main
from llmattr.cli.select import _against_chance
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.curation.selection import (
    Outcome,
    bm25_selection,
    compare_selections,
    dsir_selection,
    mean_scores,
    random_selection,
    select,
    taken_in_turns,
)
from llmattr.errors import LlmattrError

SEA = [f"the {ship} sails over the {sea} with the tide" for ship in ("boat", "ship", "ferry") for sea in ("bay", "sea")]
KITCHEN = [
    f"the cook {does} the {food} in a hot pan" for does in ("fries", "turns") for food in ("fish", "egg", "bread", "rice")
]
ROWS, TARGETS = [*KITCHEN, *SEA], ["a ship sails over the sea", "the tide lifts the boat"]
AT_SEA = np.arange(len(KITCHEN), len(ROWS))


def scores_of(values, ids=None, index=None):
    values = np.asarray(values, dtype=float)
    names = [str(i) for i in range(values.shape[1])] if ids is None else ids
    targets = Targets([f"target {t}" for t in range(len(values))], measure="logprob")
    return Attribution(values, Sources("rows", names, names), targets, "nats", {"name": "given"}, index=index)


def test_the_highest_mean_scores_are_selected():
    scores = scores_of([[1.0, -3, 0, 2, 2], [1.0, 9, 0, -1, -1]])
    np.testing.assert_array_equal(select(scores, 5), [1, 0, 3, 4, 2])  # means 3, 1, .5, .5, 0; equal ones in their order
    np.testing.assert_array_equal(select(scores, 2), [1, 0])
    for k in (0, 6):
        with pytest.raises(LlmattrError, match="k must"):
            select(scores, k)


BEST = ([[9.0, 8, 0, 2, 1], [-9.0, -7, 1, 4, 3]], [0, 1, 3, 4, 2])  # highest 9, 8, 4, 3, 1; means 0, .5, .5, 3, 2


class TestSeveralTargets:
    """What counts of a row's scores for several queries: as DsDm, LESS and RDS+ have it."""

    def test_by_the_best_of_each(self):
        values, wanted = BEST
        np.testing.assert_array_equal(select(scores_of(values), 5, by="best"), wanted)
        np.testing.assert_array_equal(select(scores_of(values), 3), [3, 4, 1])  # by means

    def test_in_turns(self):
        """The first takes 0, the second its best 3, the first 1 (8), the second 4, the first what is left."""
        np.testing.assert_array_equal(select(scores_of(BEST[0]), 5, by="turns"), [0, 3, 1, 4, 2])
        np.testing.assert_array_equal(select(scores_of([[3.0, 2, 1], [3.0, 2, 1]]), 3, by="turns"), [0, 1, 2])  # one wish

    def test_in_turns_of_lists(self):
        """The second lists two rows, of which the first takes one before; then the first goes on alone."""
        scores = np.array([[5.0, 4, 3, 2], [9.0, np.nan, np.nan, 1]])
        np.testing.assert_array_equal(taken_in_turns(scores, 4), [0, 3, 1, 2])

    @pytest.mark.parametrize(("name", "by"), [("less", "best"), ("rds", "turns"), ("trak", "mean")])
    def test_as_the_method_was_published(self, name, by):
        scores = replace(scores_of(BEST[0]), method={"name": name})
        np.testing.assert_array_equal(select(scores, 3), select(scores, 3, by=by))
        chosen = {way: tuple(select(scores, 3, by=way).tolist()) for way in ("mean", "best", "turns")}
        assert chosen == {"mean": (3, 4, 1), "best": (0, 1, 3), "turns": (0, 3, 1)}  # no two alike

    def test_a_way_that_is_none(self, unchecked):
        with pytest.raises(LlmattrError, match="by must be one of"):
            select(scores_of(BEST[0]), 3, by="luck")


def test_a_saved_trace_names_only_its_best_rows():
    whole = scores_of(np.zeros((1, 6))).sources
    saved = scores_of([[5.0, 1.0], [3.0, -2.0]], ids=["4", "0", "2"], index=np.array([[0, 1], [2, 0]]))
    np.testing.assert_allclose(mean_scores(saved, whole), [0.5, np.nan, 1.5, np.nan, 1.5, np.nan])
    np.testing.assert_array_equal(select(saved, 3, whole), [2, 4, 0])
    with pytest.raises(LlmattrError, match="scores of 3 sources, and 4"):
        select(saved, 4, whole)
    with pytest.raises(LlmattrError, match="other data: no '4' is among these 3 rows"):
        select(saved, 1, scores_of(np.zeros((1, 3))).sources)
    shuffled = replace(whole, texts=[*whole.texts[1:], whole.texts[0]])
    with pytest.raises(LlmattrError, match=r"of other data: \w+ was .* there, and here it is"):
        select(saved, 1, shuffled)
    assert select(saved, 1, replace(whole, texts=[f" {text}\n" for text in whole.texts])).tolist() == [2]


def test_datamodel_selection_is_the_best_subset_of_an_additive_world():
    """T23b: the 5 of 12 rows by a datamodel's mean score, against all 792 subsets."""
    weights = np.random.default_rng(1).normal(size=(3, 12))
    ablation = retraining.from_function(lambda kept, seed: weights @ kept, 12, 3)
    subsets = np.array(list(itertools.combinations(range(12), 5)))
    masks = np.zeros((len(subsets), 12), dtype=bool)
    np.put_along_axis(masks, subsets, True, axis=1)
    best = subsets[ablation(masks).mean(axis=1).argmax()]
    scores = retraining.METHODS["datamodel"](n_models=100, bootstraps=0).attribute(ablation)
    np.testing.assert_array_equal(np.sort(select(scores, 5)), best)


def test_bm25_and_dsir_prefer_rows_of_the_targets_domain():
    assert set(bm25_selection(ROWS, TARGETS, 6)) == set(AT_SEA)
    assert set(dsir_selection(ROWS, TARGETS, 6, gumbel=False)) == set(AT_SEA)
    draws = [np.isin(dsir_selection(ROWS, TARGETS, 6, seed), AT_SEA).mean() for seed in range(20)]
    assert np.mean(draws) > 0.9


def test_dsir_weights_are_the_log_ratio_of_ngrams():
    # Raw: a a b (and aa, ab | b) -> the texts "a a b" and "b"; target "b": buckets a, b, "a a", "a b".
    rows, target = ["a a b", "b"], ["b"]
    raw = {"a": 2 / 6, "b": 2 / 6, "a a": 1 / 6, "a b": 1 / 6}
    ratio = {gram: np.log((float(gram == "b") + p) / 2) - np.log(p) for gram, p in raw.items()}
    weights = np.array([2 * ratio["a"] + ratio["b"] + ratio["a a"] + ratio["a b"], ratio["b"]])
    chances = np.exp(weights) / np.exp(weights).sum()
    first = np.mean([dsir_selection(rows, target, 1, seed)[0] == 0 for seed in range(2000)])
    assert abs(first - chances[0]) < 4 * np.sqrt(chances[0] * chances[1] / 2000)  # four standard errors


def test_draws_depend_on_the_seed_alone():
    for draw in (lambda seed: random_selection(14, 6, seed), lambda seed: dsir_selection(ROWS, TARGETS, 6, seed)):
        np.testing.assert_array_equal(draw(3), draw(3))
    assert len({tuple(random_selection(14, 6, seed)) for seed in range(10)}) == 10
    assert len(set(random_selection(14, 14).tolist())) == 14


def test_selections_are_compared_by_training_and_no_run_is_made_twice():
    calls = []

    def train(kept, seed):
        calls.append(seed)
        return [kept.sum() + kept[0] + 0.01 * (seed % 7), kept[1]]

    ablation = retraining.from_function(train, 6, 2)
    selections = {"best": np.array([0, 1]), "worst": np.array([4, 5]), "draws": np.array([[0, 2], [3, 4], [1, 5]])}
    found = compare_selections(ablation, selections, replicates=4)
    assert len(calls) == 5 * 4
    seeds = set(calls)
    assert len(seeds) == 4  # the same for every selection
    noise = np.array([0.01 * (seed % 7) for seed in sorted(seeds)]) / 2
    np.testing.assert_allclose([one.value for one in found.values()], np.array([2, 1, 4 / 3]) + noise.mean())
    np.testing.assert_allclose(found["best"].stderr, noise.std(ddof=1) / 2)
    np.testing.assert_allclose(found["draws"].stderr, np.std([1.5, 1, 1.5], ddof=1) / np.sqrt(3))
    assert np.isnan(compare_selections(ablation, {"best": [0, 1]}, 1)["best"].stderr)
    assert len(calls) == 5 * 4


FACTS = {"Panama": "wide", "Spain": "old", "Peru": "high", "Kenya": "hot", "Cuba": "green", "Chile": "long"}


@pytest.fixture
def files(tmp_path):
    rows = [{"prompt": f"The land of {land} is", "completion": f" {word}"} for land, word in FACTS.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, rows[:2])))
    return tmp_path


def command(folder, *more):
    given = ["--data", folder / "rows.jsonl", "--queries", folder / "queries.jsonl", "--out", folder / "runs", "--k", 2]
    recipe = ["--steps", 20, "--batch-size", 4, "--learning-rate", 0.01, "--runs", 2, *more]
    return main([str(part) for part in ["trace", "select", *given, *recipe]])


def test_command(files, capsys):
    assert command(files, "--n-models", 12, "--bootstraps", 0, "--json", files / "chosen.json") == 0
    said = capsys.readouterr().out
    record = json.loads((files / "chosen.json").read_text())
    assert list(record["selections"]) == ["datamodel", "bm25", "dsir", "random", "all"]
    assert all(f"{name} " in said for name in record["selections"])
    assert sorted(record["selections"]["bm25"]["rows"]) == [0, 1]  # the queries' own rows
    assert np.shape(record["selections"]["random"]["rows"]) == (3, 2)
    assert all(one["value"] < 0 for one in record["selections"].values())
    runs = {path: path.stat().st_mtime_ns for path in files.rglob("*.npz")}
    assert command(files, "--n-models", 12, "--bootstraps", 0) == 0
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*.npz")} == runs  # nothing is trained twice
    assert capsys.readouterr().out in said


def test_one_model_says_nothing_of_chance(files, capsys):
    """And six rows are more than 4 models can tell apart, which is said too."""
    out = files / "chosen.json"
    assert command(files, "--n-models", 4, "--bootstraps", 0, "--runs", 1, "--steps", 2, "--json", out) == 0
    said = capsys.readouterr()
    assert json.loads(out.read_text(), parse_constant=pytest.fail)["selections"]["datamodel"]["stderr"] is None
    assert "nan" not in said.out
    assert "Whether datamodel is better than chance is not known from one model: take more (--runs)." in said.out
    assert "4 models are few for 6 training rows" in said.err


def test_a_choice_is_held_against_chance():
    found = {"datamodel": Outcome(np.arange(2), -1.0, 0.3), "random": Outcome(np.arange(2), -2.0, 0.4)}
    assert _against_chance(found) == "datamodel cannot be told from chance: +1.000 ± 0.500 against random."
    found["random"] = Outcome(np.arange(2), -2.1, 0.4)
    assert _against_chance(found).startswith("datamodel is better than chance: +1.100")


def test_command_with_scores_of_another_method(files, capsys, tmp_path):
    scores = scores_of([[0.0, 0, 0, 5, 9, -2]])
    scores.save(tmp_path / "scores.json")
    assert command(files, "--scores", tmp_path / "scores.json", "--json", tmp_path / "chosen.json") == 0
    assert json.loads((tmp_path / "chosen.json").read_text())["selections"]["given"]["rows"] == [4, 3]
    assert "given" in capsys.readouterr().out


def test_command_by_less_and_rds(files, capsys, tmp_path):
    """A trace of these rows by either, whose name says what counts, unless --by does."""
    scores = scores_of([[9.0, 8, 0, 2, 1, 0], [-9.0, -7, 1, 4, 3, 0]])
    for name, more, rows in (("less", [], [0, 1]), ("rds", [], [0, 3]), ("less", ["--by", "mean"], [3, 4])):
        replace(scores, method={"name": name}).save(tmp_path / "scores.json")
        assert command(files, "--scores", tmp_path / "scores.json", "--json", tmp_path / "chosen.json", *more) == 0
        assert json.loads((tmp_path / "chosen.json").read_text())["selections"][name]["rows"] == rows
    assert "rds " in capsys.readouterr().out


def test_command_refuses(files, capsys):
    for more, said in (
        (["--by", "turns"], "without --scores a datamodel's means count"),
        (["--k", "7"], "more than the 6 training rows"),
        (["--scores", str(files / "rows.jsonl")], "not a saved attribution"),
        (["--completion", "x"], "and not both"),
    ):
        assert command(files, *more) == 2
        assert said in capsys.readouterr().err
