"""The benchmarks of training methods: a world whose best order of methods is known, and small runs of everything."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from eval import PLACES
from eval.families import COLUMNS, joined
from eval.training import data as facts_data
from eval.training import measure as training_bench
from eval.training.measure import Bench, Found, Way, agreement, as_words, column, figures
from eval.training.methods import named, ways
from llmattr import metrics, surrogate
from llmattr.ablation import random_masks
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import Recipe, from_function
from llmattr.training import METHODS as TRAINING
from tests import ROOT
from tests.conftest import SHARED

N, T, SIGMA = 30, 40, 0.6


@pytest.fixture(scope="module")
def planted():
    """Each target has three sources that matter, by 0.5 to 3 nats, 27 that matter a little, and noise between seeds."""
    rng = np.random.default_rng(0)
    gold = np.zeros((T, N), dtype=bool)
    for row in gold:
        row[rng.choice(N, 3, replace=False)] = True
    weights = np.where(gold, rng.uniform(0.5, 3, (T, N)), rng.normal(0, 0.2, (T, N)))

    def outputs(kept, seed):
        return weights @ kept + SIGMA * np.random.default_rng(seed).normal(size=T)

    return from_function(outputs, N, T), weights, gold


def test_in_a_planted_world_methods_come_in_their_right_order(planted):
    """The truth is at the ceiling, then a fit on many masks, on few, single removals; what only names sources; chance."""
    ablation, weights, gold = planted
    masks = random_masks(200, N, seed=1)
    seen = ablation(masks)
    values = {
        "truth": weights,
        "datamodel of 300": surrogate.lasso(ablation, 300, bootstraps=0).values,
        "datamodel of 60": surrogate.lasso(ablation, 60, bootstraps=0).values,
        "rows that state it": gold.astype(float),
        "random": np.random.default_rng(1).normal(size=(T, N)),
    }
    lds = {name: np.nan_to_num(metrics.lds(one, masks, seen)) for name, one in values.items()}
    order = list(lds)
    for better, worse in combinations(order, 2):
        it = metrics.paired_comparison(lds[better], lds[worse])
        assert it.low > 0, (better, worse, it)
    ceiling = metrics.lds_ceiling(ablation.replicated(masks, 2))
    # A rank correlation of 200 masks has an error of (1 - r^2) / sqrt(200), their mean over 40 targets a sixth of that; the
    # ceiling, from 200 masks as well, too. 4 errors, and 0.01 for normal outputs' ranks against numbers.
    error = 4 * np.sqrt(2) * (1 - ceiling.mean() ** 2) / np.sqrt(200 * T)
    assert abs(lds["truth"].mean() - ceiling.mean()) < error + 0.01


def test_random_scores_are_at_chance(planted):
    """LDS 0 and the MRR of three gold sources in a random order, both within 4 standard errors."""
    ablation, _, gold = planted
    masks = random_masks(200, N, seed=1)
    seen = ablation(masks)
    rng = np.random.default_rng(2)
    draws = [rng.normal(size=(T, N)) for _ in range(50)]
    lds = np.array([metrics.lds(values, masks, seen).mean() for values in draws])
    assert abs(lds.mean()) < 4 * lds.std(ddof=1) / np.sqrt(50)
    first = np.arange(1, N - 1)  # P(the first gold source has this rank) = C(n - rank, 2) / C(n, 3)
    chance = ((N - first) * (N - first - 1) / 2 / (N * (N - 1) * (N - 2) / 6) / first).sum()
    mrr = np.array([metrics.reciprocal_rank(values, gold).mean() for values in draws])
    assert abs(mrr.mean() - chance) < 4 * mrr.std(ddof=1) / np.sqrt(50)


def test_a_run_of_the_same_masks_is_at_its_own_ceiling(planted):
    """Two runs agree by the square of the ceiling, which no prediction of one run can pass."""
    ablation, _, _ = planted
    runs = ablation.replicated(random_masks(200, N, seed=3), 2)
    agree = np.nanmean(metrics.spearman(runs[:, 0].T, runs[:, 1].T))
    assert abs(agree - np.nanmean(metrics.lds_ceiling(runs)) ** 2) < 0.02


def test_a_failure_is_a_cell_and_unknown_methods_are_refused():
    lines = {"bm25": Found(np.ones((2, 3))), "ekfac": "ValueError: no"}
    rows = figures(lines, lambda name, found: {"LDS": 0.5})
    assert rows[0] == {"method": "bm25", "family": "corroborative", "LDS": 0.5, "CPU s": 0.0, "models": 0, "bytes": 0}
    assert rows[1] == {"method": "ekfac", "family": "predictive", "failed": "ValueError: no"}
    with pytest.raises(LlmattrError, match="there is no method 'bm26'"):
        named("bm25, bm26")


def test_what_is_found_is_kept(tmp_path):
    rng = np.random.default_rng(0)
    found = Found(rng.normal(size=(2, 3)), 1.5, 4, 100, np.ones((2, 3), dtype=bool), rng.normal(size=2))
    found.save(tmp_path / "scores" / "one.npz")
    again = Found.load(tmp_path / "scores" / "one.npz")
    masks = np.array([[True, False, True]])
    np.testing.assert_array_equal(again.predicted(masks), found.baseline + masks @ found.values.T)
    assert (again.seconds, again.models, again.bytes) == (1.5, 4, 100)
    assert Found(found.values).predicted(masks) is None


def test_scores_of_a_method_that_changed_are_made_again(tmp_path, monkeypatch):
    facts = facts_data.countries(2, ("capital",))
    bench, asked = Bench(facts.rows, facts.queries, Recipe(steps=2), tmp_path), []

    def found(**fields):
        way = Way({"name": "logra", **fields}, lambda: asked.append(fields) or Found(np.full((1, 2), float(len(asked)))))
        return bench.found("logra, 3 checkpoints", way).values[0, 0]

    assert [found(damping=0.1), found(damping=0.2), found(damping=0.1), found(damping=0.2)] == [1, 2, 1, 2]
    monkeypatch.setattr(training_bench, "__version__", "another")
    assert [found(damping=0.1), found(damping=0.1)] == [3, 3]
    monkeypatch.setattr(training_bench, "VERSION", training_bench.VERSION + 1)
    assert [found(damping=0.1), found(damping=0.1)] == [4, 4]
    for path in (tmp_path / "scores").iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(LlmattrNote, match="is damaged.*they are made again"):
        assert [found(damping=0.1), found(damping=0.1)] == [5, 5]
    bench.claim(False)
    monkeypatch.setattr(training_bench, "VERSION", 0)
    with pytest.raises(LlmattrError, match="another benchmark's scores"):
        bench.claim(False)


def test_every_line_says_what_its_scores_depend_on():
    """Lines that differ have different records, or different names; fields of the method are among them."""
    facts = facts_data.countries(2, ("capital",))
    bench = Bench(facts.rows, facts.queries, Recipe(steps=2), Path("nowhere"), gold=facts.gold)
    what = {name: way.what for name, way in ways(bench).items()}
    assert what["logra"]["damping"] == TRAINING["logra"]().damping
    assert what["trak, 3 checkpoints"] != what["trak"]
    assert what["trak, 3 checkpoints of 4 runs"] != what["trak, 3 checkpoints"]
    assert what["in-run-shapley, cosine"]["product"] == "cosine"
    assert what["datamodel"]["n_models"] == bench.size.models


def test_agreement_is_kendalls_tau_of_the_scores():
    up = np.arange(6.0)[None]
    rows = agreement({"a": Found(up), "b": Found(-up), "random": Found(up), "broken": "no"})
    assert [list(row) for row in rows] == [["method", "a", "b"]] * 2
    np.testing.assert_allclose([[row["a"], row["b"]] for row in rows], [[1, -1], [-1, 1]], rtol=1e-12)


def test_a_folder_of_other_facts_is_refused(tmp_path):
    facts = facts_data.countries(2, ("capital",))
    bench = Bench(facts.rows, facts.queries, Recipe(steps=2), tmp_path / "runs", gold=facts.gold)
    bench.claim(False)
    Bench(facts.rows, facts.queries, Recipe(steps=2), tmp_path / "runs").claim(False)
    with pytest.raises(LlmattrError, match="another benchmark's scores"):
        Bench(facts.rows[1:], facts.queries, Recipe(steps=2), tmp_path / "runs").claim(False)


def test_rows_that_cannot_be_trained_on_leave_nothing_in_the_way(tmp_path):
    chats = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": str(i)}]} for i in range(3)]
    bench = Bench(chats, chats, Recipe(steps=2), tmp_path / "runs")
    with pytest.raises(LlmattrError, match="a model with a chat template"):
        bench.claim(False)
    assert not (tmp_path / "runs").exists()
    facts = facts_data.countries(2, ("capital",))
    good = Bench(facts.rows, facts.queries, Recipe(steps=2), tmp_path / "runs")
    good.claim(False)
    (tmp_path / "runs" / "scores").mkdir()
    with pytest.raises(LlmattrError, match="a model with a chat template"):
        bench.claim(True)
    assert (tmp_path / "runs" / "scores").exists()  # nor does it forget what was there


def test_the_table_has_the_best_first():
    values = {"a": 0.1, "b": None, "c": 0.7, "d": float("nan"), "e": -0.2}
    found = {name: Found(np.zeros((1, 1))) for name in values}
    table = figures({"broken": "no"} | found, lambda name, one: {"LDS": values[name]})
    assert [line["method"] for line in table] == ["c", "a", "e", "b", "d", "broken"]


def test_families_stand_together_the_best_first():
    context = [{"method": "bm25", "LDS": 0.1}, {"method": "context-cite", "LDS": 0.9}, {"method": "random", "LDS": 0.0}]
    training = [
        {"method": "bm25", "LDS": 0.5},
        {"method": "trak, 3 checkpoints", "failed": "no"},
        {"method": "trak", "LDS": 0.2},
    ]
    table = joined({"context": context, "training": training})
    places = [(row["method"], row["of"]) for row in table]
    assert places == [
        ("bm25", "context"),
        ("bm25", "training"),
        ("trak", "training"),
        ("trak, 3 checkpoints", "training"),
        ("context-cite", "context"),
        ("random", "context"),
    ]
    assert table[3]["failed"] == "no"
    assert all(set(COLUMNS) <= set(row) for row in table)


def test_the_columns_of_rates():
    assert [column(rate) for rate in (0.5, 0.9)] == ["LDS", "LDS, 0.9 kept"]


@pytest.mark.skipif(not (SHARED / "data" / "fewrel").exists(), reason="FewRel is not there")
def test_facts_of_fewrel_are_stated_once():
    facts = facts_data.fewrel(SHARED / "data" / "fewrel", 50)
    assert (facts.gold.sum(axis=1) == 1).all()
    for row, query in zip(facts.rows, facts.queries, strict=True):
        assert query["completion"].strip() in row["text"]


@pytest.mark.parametrize("name", ["facts", "lds", "families"])
def test_bad_options_are_one_line(name, tmp_path):
    from importlib import import_module

    command = import_module(PLACES[name]).command
    out = ["--out", str(tmp_path / "o.json")]
    assert CliRunner().invoke(command, ["--tiny"]).exit_code == 2
    assert CliRunner().invoke(command, ["--train", str(ROOT / "README.md"), *out]).exit_code == 2
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a", "completion": " b", "fact": 1}\n{"prompt": "a"}\n')
    side = ["--side", "training"] if name == "families" else []
    done = CliRunner().invoke(command, ["--train", str(bad), "--queries", str(bad), *side, *out])
    assert done.exit_code == 2
    assert re.search("row 1|a row has no text", done.output)
    assert "..." not in done.output  # before anything was done
    assert "Traceback" not in done.output


def run(*words):
    done = subprocess.run([sys.executable, "-m", "eval", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_facts_run_and_go_on_from_what_they_have(tmp_path):
    """The rows that state a fact are at the top, random scores are not, and nothing is computed twice."""
    words = "facts", "--tiny", "--set", "countries", "--out", str(tmp_path / "facts.json")
    run(*words)
    rows = {row["method"]: row for row in json.loads((tmp_path / "facts.json").read_text())["facts"]["figures"]}
    assert [name for name, row in rows.items() if "failed" in row] == []
    assert rows["rows that state it"]["MRR"] == 1.0
    assert rows["rows that state it"]["LDS"] > rows["random"]["LDS"]
    assert {"bm25", "grad-cos", "ekfac", "datamodel", "in-run-shapley", "the models again", "ceiling"} <= set(rows)
    assert all("tail-patch" in row for name, row in rows.items() if "MRR" in row)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.runs/**/*.npz")}
    run(*words)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.runs/**/*.npz")} == kept


@pytest.mark.slow
def test_lds_runs_on_rows_of_ones_own(tmp_path):
    facts = facts_data.countries(4, ("capital",))
    for name, rows in (("train", facts.rows), ("queries", facts.queries)):
        plain = [{"text": row["prompt"] + row["completion"]} for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    files = ["--train", str(tmp_path / "train.jsonl"), "--queries", str(tmp_path / "queries.jsonl")]
    methods = ["--methods", "bm25,grad-cos,datamodel,leave-one-out"]
    run("lds", "--tiny", *files, *methods, "--out", str(tmp_path / "lds.json"))
    rows = {row["method"]: row for row in json.loads((tmp_path / "lds.json").read_text())["lds"]["figures"]}
    assert {"bm25", "grad-cos", "grad-cos, 3 checkpoints", "datamodel", "leave-one-out", "random", "ceiling"} <= set(rows)
    assert rows["leave-one-out"]["models"] == 26  # all rows, and each of 12 left out; with a second seed, for the error
    assert rows["datamodel"]["counterfactual error"] > 0


@pytest.mark.slow
def test_families_join_both_sides(tmp_path):
    run("families", "--tiny", "--methods", "bm25,context-cite,grad-cos,datamodel", "--out", str(tmp_path / "families.json"))
    rows = json.loads((tmp_path / "families.json").read_text())["families"]["figures"]
    sides = {(row["method"], row["of"]) for row in rows}
    assert {("bm25", "context"), ("bm25", "training"), ("context-cite", "context"), ("datamodel", "training")} <= sides
    assert [row for row in rows if row.get("failed")] == []


def test_facts_are_compared_as_text_and_must_be_stated(tmp_path):
    rows = [{"prompt": "The coat of Anna is", "completion": " red", "fact": "1"}]
    place = tmp_path / "rows.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({**rows[0], "fact": 1}))
    assert facts_data.own(str(place), str(asked)).gold.tolist() == [[True]]
    done = CliRunner().invoke(import_command("facts"), ["--train", str(place), "--queries", str(asked), "--held-out", "2"])
    assert done.exit_code == 2  # an LDS of fewer than 4 models is none


def test_rows_of_a_model_from_scratch_begin_as_its_words_do():
    rows = [{"prompt": "The coat of Anna is ", "completion": "red", "fact": 1}]
    assert as_words(rows, "scratch")[0]["completion"] == " red"
    assert as_words(rows, "smollm2") == rows


def test_a_side_without_an_asked_method_is_left_out(tmp_path):
    """Also: questions of one's own reach the context's side."""
    data = tmp_path / "mine.jsonl"
    data.write_text(json.dumps({"question": "Who?", "documents": [{"sentences": ["Ann sang.", "Bob ran.", "It rained."]}]}))
    words = ["--tiny", "--side", "context", "--data", str(data), "--methods", "bm25", "--out", str(tmp_path / "f.json")]
    done = CliRunner().invoke(import_command("families"), words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "f-context.measured.jsonl").exists()
    assert not list(tmp_path.glob("f-training*"))


def import_command(name):
    from importlib import import_module

    return import_module(PLACES[name]).command
