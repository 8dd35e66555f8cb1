"""The benchmarks: the workload's recipe, the comparisons, and a small run of everything."""

import json
import math
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from eval import BENCHMARKS
from eval.harness.data import sets
from eval.speed import topics
from eval.speed.trace_fidelity import overlap, own_topic, spearman
from eval.training import data as facts_data
from llmattr.errors import LlmattrError
from tests import ROOT


def numbers(value):
    """Every number in a record."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_the_recipe_of_the_topics():
    data = topics.sample(topics.FULL)
    again = topics.sample(topics.FULL)
    assert data.rows.shape == (2000, 64)
    assert data.queries.shape == (20, 64)
    np.testing.assert_array_equal(data.rows, again.rows)
    for topic in range(20):
        mine = data.rows[data.topics == topic]
        assert len(np.unique(mine)) <= 64  # its sub-vocabulary
        pairs = np.unique(np.stack([mine[:, :-1].ravel(), mine[:, 1:].ravel()]), axis=1, return_counts=True)
        usual = {}  # each token's four successors, less what a draw with replacement makes equal
        for (before, _), count in zip(pairs[0].T, pairs[1], strict=True):
            usual.setdefault(before, []).append(count)
        kept = sum(sum(sorted(counts)[-4:]) for counts in usual.values()) / mine[:, 1:].size
        # 90 % follow a successor; jumps that land on one, or fill the place of a double, add a little.
        assert 0.88 < kept < 0.96


def test_texts_come_back_as_the_same_tokens():
    data, tokenizer = topics.sample(topics.TINY), topics.tokenizer(topics.TINY)
    ids = [tokenizer(row["text"])["input_ids"] for row in topics.texts(data.rows)]
    np.testing.assert_array_equal(ids, data.rows)
    assert [{"text": text} for text in tokenizer.batch_decode(data.rows)] == topics.texts(data.rows)


def test_the_models_are_those_of_the_recipe():
    llama, gpt2 = (topics.untrained(name, topics.FULL) for name in topics.MODELS)
    tracked = [p for name, p in llama.named_parameters() if "_proj" in name]
    assert len(tracked) == 28
    assert round(sum(p.numel() for p in tracked) / 1e6, 2) == 3.16
    assert llama.lm_head.weight is not llama.model.embed_tokens.weight
    assert gpt2.lm_head.weight is gpt2.transformer.wte.weight


def test_trained_models_are_kept_and_depend_on_the_seed_alone(tmp_path):
    one, same = topics.trained("gpt2", topics.TINY, tmp_path / "one"), topics.trained("gpt2", topics.TINY, tmp_path / "two")
    assert (one / "model.safetensors").read_bytes() == (same / "model.safetensors").read_bytes()
    written = (one / "model.safetensors").stat().st_mtime_ns
    assert (topics.trained("gpt2", topics.TINY, tmp_path / "one") / "model.safetensors").stat().st_mtime_ns == written


def test_comparisons_in_closed_form():
    scores = np.arange(40.0).reshape(2, 20)
    assert spearman(scores, scores**3) == pytest.approx(1)  # ranks alone matter
    assert spearman(scores, -scores) == pytest.approx(-1)
    assert overlap(scores, scores) == 1
    assert overlap(scores, -scores) == 0
    rows = np.repeat([0, 1], 10)  # the ten highest rows are all of topic 1
    assert own_topic(scores, np.array([1, 0]), rows) == 0.5


def test_the_list_names_every_benchmark():
    done = subprocess.run([sys.executable, "-m", "eval"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"  {name:14} {one.about}" in done.stdout for name, one in BENCHMARKS.items())
    assert "(26 minutes; data: multihop_migres, qed_dev)" in done.stdout
    assert {name for one in BENCHMARKS.values() for name in one.sets} <= sets().keys()
    assert all(callable(import_module(f"eval.{one.place}").command) for one in BENCHMARKS.values())
    assert subprocess.run([sys.executable, "-m", "eval", "nothing"], cwd=ROOT, capture_output=True).returncode == 2


@pytest.mark.slow
def test_bench_trace_runs(tmp_path):
    command = [sys.executable, "-m", "eval", "bench_trace", "--tiny", "--out", str(tmp_path / "bench.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert list(record) == ["build", "fidelity", "ekfac", "smollm2", "scan", "imports", "peers"]
    for part in record.values():
        assert {"about", "command", "date", "machine", "versions", "figures", "notes"} == set(part)
        assert part["figures"] or part["notes"]
        assert all(math.isfinite(number) for number in numbers(part))
    page = (tmp_path / "bench.md").read_text()
    assert all(f"## {name}" in page for name in record)
    exact = record["fidelity"]["figures"][-1]
    assert exact["what"] == "exact"
    assert exact["rho to exact"] == pytest.approx(1)


@pytest.mark.slow
def test_bench_cite_runs(tmp_path):
    command = [sys.executable, "-m", "eval", "bench_cite", "--tiny", "--out", str(tmp_path / "bench.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert list(record) == ["scoring", "growth"]
    assert all(math.isfinite(number) for part in record.values() for number in numbers(part))
    tree = record["scoring"]["figures"][1]
    assert tree["engine"] == "prefix tree"
    assert tree["largest error, nats"] < 1e-4  # float32, 30 positions of log-probabilities up to 20 nats
    assert tree["rank correlation of scores"] == pytest.approx(1)


@pytest.mark.slow
def test_bench_retrain_runs(tmp_path):
    command = [sys.executable, "-m", "eval", "bench_retrain", "--tiny", "--out", str(tmp_path / "bench.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert list(record) == ["models", "further"]
    assert all(math.isfinite(number) for part in record.values() for number in numbers(part))
    assert [figure["trained"] for figure in record["further"]["figures"]] == [4, 0, 4]  # nothing is trained twice


def test_the_facts_are_asked_in_a_way_that_is_not_trained():
    facts = facts_data.countries(5)
    assert (len(facts.rows), len(facts.queries)) == (45, 15)
    np.testing.assert_array_equal(facts.gold.sum(1), 3)
    for query, own in zip(facts.queries, facts.gold, strict=True):
        stated = [row for row, mine in zip(facts.rows, own, strict=True) if mine]
        assert {row["completion"] for row in stated} == {query["completion"]}
        assert query["prompt"] not in {row["prompt"] for row in facts.rows}


def test_facts_of_pararel(tmp_path):
    patterns = [{"pattern": f"{so} [X] {lies} [Y] ."} for so in ("So", "Now") for lies in ("is in", "lies in", "is part of")]
    known = [("Colon", "Panama"), ("Colon", "Cuba"), ("Vigo", "Spain")]
    for part, rows in (("patterns", patterns), ("facts", [{"sub_label": one, "obj_label": other} for one, other in known])):
        (tmp_path / part).mkdir()
        (tmp_path / part / "P1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = facts_data.pararel(tmp_path, 2)
    assert sorted(row["completion"] for row in facts.queries) == [" Panama", " Spain"]  # a subject's first object alone
    assert {"So Vigo is in", "So Vigo lies in", "So Vigo is part of"} < {row["prompt"] for row in facts.rows}
    with pytest.raises(LlmattrError, match="has 2 facts with four ways to say them, not 3"):
        facts_data.pararel(tmp_path, 3)


@pytest.mark.parametrize("words", [["--tiny"], ["--parts", "nothing"], ["--peer", "nobody=python"]])
def test_bench_trace_refuses_what_it_does_not_know(words):
    from eval.speed.trace import command

    assert CliRunner().invoke(command, words).exit_code == 2
