"""The benchmarks of training methods: a world whose best order of methods is known, and small runs of everything."""

import dataclasses
import json
import re
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from click.testing import CliRunner

from eval import BENCHMARKS
from eval.harness.contract import Problem, Scored
from eval.speed.peers.common import IGNORED
from eval.training import data as facts_data
from eval.training import ftrace, peers, scoring, synth
from eval.training.world import AGAIN, CEILING, GOLD, Size, World, column
from eval.training.worlds import named, public
from llmattr import metrics, surrogate
from llmattr.ablation import random_masks
from llmattr.errors import LlmattrError
from llmattr.retraining import Recipe, from_function
from llmattr.text.rows import Examples
from llmattr.training import METHODS as TRAINING
from tests import ROOT

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


def world(folder, count=2, **options):
    facts = facts_data.countries(count, ("capital",))
    return World("countries", facts, Recipe(steps=2), folder, **options)


def test_a_world_is_a_problem_whose_scores_depend_on_model_data_and_recipe(tmp_path):
    one = world(tmp_path)
    assert isinstance(one, Problem)
    assert world(tmp_path, size=Size(held_out=7)).identity() == one.identity()  # what judges is another thing
    assert world(tmp_path, 3).identity() != one.identity()
    facts = facts_data.countries(2, ("capital",))
    assert World("countries", facts, Recipe(steps=3), tmp_path).identity() != one.identity()
    other = facts_data.Facts([{**row, "fact": 0} for row in facts.rows], facts.queries)
    assert World("countries", other, Recipe(steps=2), tmp_path).identity() != one.identity()
    assert one.groups() == ["0", "1"]


def test_models_are_kept_by_what_they_were_trained_on(tmp_path):
    facts = facts_data.countries(2, ("capital",))
    one, longer = (World("countries", facts, Recipe(steps=steps), tmp_path) for steps in (2, 3))
    assert one.checkpoints() != longer.checkpoints()
    assert one.checkpoints() == world(tmp_path).checkpoints()
    assert one.trained == dataclasses.replace(one, size=Size(held_out=7)).trained
    assert one.trained != world(tmp_path, 3).trained


def test_every_line_says_what_its_scores_depend_on():
    """Lines that differ have different records; fields of the method are among them."""
    lines = scoring.lines([], [12, 24], 4)
    records = [json.dumps(one.record()) for one in lines]
    assert len(set(records)) == len(records)
    assert len({one.name for one in lines}) == len(lines)
    of = {one.name: one.record() for one in lines}
    assert of["logra"]["method"]["ridge"] == TRAINING["logra"]().ridge
    assert of["trak, 5 checkpoints of 4 runs"]["runs"] == 4
    assert of["in-run-shapley, cosine"]["method"]["product"] == "cosine"
    assert {of[f"datamodel-{n}"]["method"]["n_models"] for n in (12, 24)} == {12, 24}
    assert {one.label.split(",")[0] for one in lines} == set(scoring.METHODS)
    with pytest.raises(LlmattrError, match="there is no method 'bm26'"):
        scoring.lines(["bm25", "bm26"], [12], 4)


@pytest.mark.slow
def test_a_run_is_unrolled_by_its_own_learning_rates(tmp_path):
    """Ten steps of .01, to the third and on to the last; the line is asked at five checkpoints of one run."""
    facts = facts_data.countries(2, ("capital",))
    recipe = Recipe(steps=10, learning_rate=0.01, schedule="constant", warmup=0.0)
    made = World("countries", facts, recipe, tmp_path)
    assert made.spans((0.3, 1.0)) == pytest.approx([0.03, 0.07])
    line, *_ = scoring.lines(["source"], [], 4)
    assert line.label == "source, 5 checkpoints"
    assert made.score(line).values.shape == (len(facts.queries), len(facts.rows))


def test_the_truth_of_a_world_is_judged_as_such(tmp_path, planted):
    """By held-out models the weights themselves are at the ceiling, chance is at 0; their best rows are missed when they go."""
    ablation, weights, gold = planted
    rows = [{"prompt": "a", "completion": " b"} for _ in range(N)]
    made = World("planted", facts_data.Facts(rows, rows[:1] * T), Recipe(steps=2), tmp_path, Size(held_out=100, removed=T))
    made.__dict__["ablation"] = ablation  # where the property would keep it
    scores = {"truth": weights, "random": np.random.default_rng(1).normal(size=(T, N)), "gold": gold.astype(float)}
    found = made.judge({name: Scored(values) for name, values in scores.items()} | {CEILING: Scored(weights)})
    lds = {name: one.measures["LDS"].mean() for name, one in found.items()}
    error = 4 / np.sqrt(100 * T)  # of a mean of rank correlations
    assert abs(lds["truth"] - lds[CEILING]) < error + 0.02
    assert abs(lds["random"]) < error
    assert found["truth"].judges["LDS"].shape == (200, T)
    known = ablation(np.ones((1, N), dtype=bool))[0] >= np.log(0.5)
    best = np.sort(weights, axis=1)[:, -3:].sum(axis=1)  # of which QLD is the sum, but for the noise of two runs
    qld = found["truth"].measures["QLD"]
    np.testing.assert_array_equal(np.isfinite(qld), known)
    assert abs((qld - best)[known]).mean() < 4 * SIGMA
    assert qld[known].mean() > np.nanmean(found["random"].measures["QLD"]) + 1
    assert set(np.unique(found["truth"].measures["forgotten"][known])) <= {0.0, 1.0}
    assert "MRR" not in found["truth"].measures  # nobody said which row states what


def test_rows_that_cannot_be_trained_on_leave_nothing_in_the_way(tmp_path):
    chats = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": str(i)}]} for i in range(3)]
    for name in ("train", "queries"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    files = ["--train", str(tmp_path / "train.jsonl"), "--queries", str(tmp_path / "queries.jsonl")]
    done = CliRunner().invoke(import_command("lds"), [*files, "--tiny", "--out", str(tmp_path / "lds.json")])
    assert done.exit_code == 2
    assert "a model with a chat template" in done.output
    assert not list(tmp_path.glob("lds*"))


class TestPeers:
    def test_see_what_counts_and_nothing_behind_a_row(self):
        examples = Examples([{}, {}], [[5, 6, 7], [8, 9]], [np.arange(3) > 1, np.arange(2) > 0], "")
        ids, labels = peers.padded(examples)
        assert ids.tolist() == [[5, 6, 7], [8, 9, 0]]
        assert labels.tolist() == [[IGNORED, IGNORED, 7], [IGNORED, 9, IGNORED]]

    @pytest.mark.slow
    def test_a_package_that_is_not_there_is_one_line_of_the_table(self, tmp_path):
        (entry,) = peers.lines({"dattri": sys.executable})
        assert (entry.label, entry.family) == ("dattri, index", "predictive")
        with pytest.raises(LlmattrError, match=r"^dattri could not be run: ModuleNotFoundError: No module named 'dattri'$"):
            world(tmp_path).score(entry)

    @pytest.mark.parametrize("given", ["other=python", "dattri", "dattri=nowhere/python"])
    def test_bad_peers_are_refused(self, given, tmp_path):
        done = CliRunner().invoke(import_command("lds"), ["--peer", given, "--out", str(tmp_path / "o.json")])
        assert done.exit_code == 2
        assert re.search("NAME is one of bergson, dattri|there is no Python 'nowhere/python'", done.output)


def test_only_another_world_has_a_name():
    usual = {"train": None, "name": None, "model": "scratch"}
    assert named(usual, "countries") == named({**usual, "name": "countries"}, "countries") == ""
    assert named({**usual, "train": "rows.jsonl", "model": "smollm2"}, "countries") == ""
    assert named({**usual, "model": "scratch-gpt2"}, "countries") == "countries with scratch-gpt2"
    assert named({**usual, "name": "pararel"}, "countries") == "pararel with scratch"
    assert named(usual, "fewrel", "smollm2") == "fewrel with scratch"


def test_the_columns_of_rates():
    assert [column(rate) for rate in (0.5, 0.9)] == ["LDS", "LDS, 0.9 kept"]


def test_facts_of_fewrel_are_stated_once(shared_data):
    facts = public("fewrel", 50)
    assert (facts.gold.sum(axis=1) == 1).all()
    for row, query in zip(facts.rows, facts.queries, strict=True):
        assert query["completion"].strip() in row["text"]


@pytest.mark.parametrize("name", ["facts", "lds", "families"])
def test_bad_options_are_one_line(name, tmp_path):
    command = import_command(name)
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
    words = "facts", "--tiny", "--out", str(tmp_path / "facts.json")
    run(*words)
    rows = {row["method"]: row for row in json.loads((tmp_path / "facts.json").read_text())["table"]["figures"]}
    assert [name for name, row in rows.items() if "not measured" in row] == []
    assert rows[GOLD]["MRR"] == 1.0
    assert rows[GOLD]["LDS"] > rows["random"]["LDS"]
    assert {"bm25", "word-share", "grad-cos", "ekfac", "datamodel", "in-run-shapley", AGAIN, CEILING} <= set(rows)
    assert all("tail-patch" in row for row in rows.values() if "MRR" in row)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.kept/**/*.npz")}
    run(*words)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.kept/**/*.npz")} == kept


@pytest.mark.slow
def test_lds_runs_on_rows_of_ones_own(tmp_path):
    facts = facts_data.countries(4, ("capital",))
    for name, rows in (("train", facts.rows), ("queries", facts.queries)):
        plain = [{"text": row["prompt"] + row["completion"]} for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    files = ["--train", str(tmp_path / "train.jsonl"), "--queries", str(tmp_path / "queries.jsonl")]
    methods = ["--methods", "bm25,grad-cos,datamodel,leave-one-out,random"]
    run("lds", "--tiny", "--budget", "12,6", *files, *methods, "--out", str(tmp_path / "lds.json"))
    record = json.loads((tmp_path / "lds.json").read_text())
    rows = {row["method"]: row for row in record["table"]["figures"]}
    assert {"bm25", "grad-cos", "grad-cos, 5 checkpoints", "datamodel", "leave-one-out", "random", CEILING} <= set(rows)
    assert rows["leave-one-out"]["models"] == 26  # all rows, and each of 12 left out; with a second seed, for the error
    assert rows["datamodel"]["counterfactual error"] > 0
    assert [row["budget"] for row in record["curve"]["figures"]] == [12, 6]


@pytest.mark.slow
def test_families_have_a_table_for_each_side(tmp_path):
    run("families", "--tiny", "--methods", "bm25,context-cite,grad-cos,datamodel", "--out", str(tmp_path / "families.json"))
    record = json.loads((tmp_path / "families.json").read_text())
    sides = {side: {row["method"] for row in record[side]["figures"]} for side in ("context", "training")}
    assert {"bm25", "context-cite"} <= sides["context"]
    assert {"bm25", "grad-cos", "datamodel"} <= sides["training"]
    assert not [row for side in sides for row in record[side]["figures"] if "not measured" in row]


def test_facts_are_compared_as_text_and_must_be_stated(tmp_path):
    rows = [{"prompt": "The coat of Anna is", "completion": " red", "fact": "1"}]
    place = tmp_path / "rows.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({**rows[0], "fact": 1}))
    assert facts_data.own(str(place), str(asked)).gold.tolist() == [[True]]
    done = CliRunner().invoke(import_command("facts"), ["--train", str(place), "--queries", str(asked), "--held-out", "2"])
    assert done.exit_code == 2  # an LDS of fewer than 4 models is none


def test_rows_of_a_model_from_scratch_begin_as_its_words_do(tmp_path):
    rows = [{"prompt": "The coat of Anna is ", "completion": "red", "fact": 1}]
    made = [
        World("own", facts_data.Facts(rows, rows), Recipe(steps=2), tmp_path, model=model)
        for model in ("scratch", "scratch-gpt2", "smollm2")
    ]
    assert made[0].rows[0]["completion"] == made[1].queries[0]["completion"] == " red"
    assert made[2].rows == made[2].queries == rows


def test_a_side_without_an_asked_method_is_left_out(tmp_path):
    """Also: questions of one's own reach the context's side."""
    data = tmp_path / "mine.jsonl"
    data.write_text(json.dumps({"question": "Who?", "documents": [{"sentences": ["Ann sang.", "Bob ran.", "It rained."]}]}))
    words = ["--tiny", "--side", "context", "--data", str(data), "--methods", "bm25", "--out", str(tmp_path / "f.json")]
    done = CliRunner().invoke(import_command("families"), words)
    assert done.exit_code == 0, done.output
    assert list(json.loads((tmp_path / "f.json").read_text())) == ["context", "context, agreement"]


def import_command(name):
    from importlib import import_module

    return import_module(f"eval.{BENCHMARKS[name].place}").command


class TestFtrace:
    def test_facts_are_those_of_the_generator(self):
        facts = synth.synth(ftrace.TINY, entities=10, facts=5)
        assert (len(facts.rows), len(facts.queries)) == (5 * 62, 5 * 2)
        assert (facts.gold.sum(axis=1) == 62).all()
        utterances = {(row["prompt"], row["completion"]) for row in [*facts.rows, *facts.queries]}
        assert len(utterances) == 5 * 64  # no query is a row
        assert synth.names(13) == ["entity-14", "14-entity", "entity-XIV", "XIV-entity"]
        assert synth.names(2023)[2] == "entity-MMXXIV"
        said = {row["prompt"] for row in facts.rows}
        assert any(prompt.endswith(" _ =") and "_'s birth place is" in prompt for prompt in said)

    def test_scores_count_for_candidates_alone(self, tmp_path, monkeypatch):
        monkeypatch.setattr(ftrace, "CANDIDATES", 3)
        facts = synth.synth(ftrace.TINY, entities=10, facts=5)
        made = ftrace.Candidates("ftrace", facts, Recipe(steps=2), tmp_path)
        counts = made.candidates.sum(axis=1)
        assert (counts >= 62).all()
        assert (counts <= 62 + 3 * 3).all()
        assert (made.candidates & facts.gold == facts.gold).all()
        others = np.where(facts.gold | made.candidates, 0.0, 5.0)  # the highest scores are of rows that are no candidates
        measures = made.support(Scored(facts.gold + others))
        assert (measures["MRR"] == 1).all()
        assert (measures["P@10"] == 1).all()

    @pytest.mark.slow
    def test_runs_without_its_data(self, tmp_path):
        out = tmp_path / "ftrace.json"
        done = CliRunner().invoke(ftrace.command, ["--tiny", "--methods", "bm25,rep-sim,random", "--out", str(out)])
        assert done.exit_code == 0, done.output
        rows = {row["method"]: row for row in json.loads(out.read_text())["table"]["figures"]}
        assert rows[GOLD]["MRR"] == 1
        assert rows["bm25"]["P@10"] > rows["random"]["P@10"]
        few = CliRunner().invoke(ftrace.command, ["--tiny", "--steps", "2", "--out", str(tmp_path / "few.json")])
        assert few.exit_code == 2
        assert "give more --steps" in few.output
