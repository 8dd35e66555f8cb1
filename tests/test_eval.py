"""The benchmarks: the workload's recipe, the comparisons, and a small run of everything."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from eval import BENCHMARKS, context_data, facts_data, topics
from eval.context import TINY, Bench
from eval.context_judge import make_case, metered
from eval.context_methods import Entry, entries, gold
from eval.context_report import prediction
from eval.metrics import overlap, own_topic, spearman
from llmattr.ablation import one_out_masks
from llmattr.context import METHODS
from llmattr.errors import LlmattrError
from llmattr.messages import conversation
from llmattr.prompt import cut
from tests.conftest import SHARED

ROOT = Path(__file__).parent.parent


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
    assert all(name in done.stdout for name in BENCHMARKS)
    assert subprocess.run([sys.executable, "-m", "eval", "nothing"], cwd=ROOT, capture_output=True).returncode == 2


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
    assert list(record) == ["models", "lds", "further"]
    assert all(math.isfinite(number) for part in record.values() for number in numbers(part))
    assert [figure["trained"] for figure in record["further"]["figures"]] == [4, 0, 4]  # nothing is trained twice
    assert [figure["models"] for figure in record["lds"]["figures"]] == [4, 8]


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
    from eval.bench_trace import command

    assert CliRunner().invoke(command, words).exit_code == 2


OWN = {
    "question": "When did it open?",
    "documents": [
        {"title": "Canal", "sentences": ["The canal is long.", " ", "It opened in 1914."]},
        {"title": "Empty", "sentences": []},
        {"title": "Toll", "sentences": ["Ships pay a toll. A high one.", "It has locks."]},
    ],
    "answer": "In 1914.",
    "supporting": [[0, 2], [2, 1]],
}


def test_questions_of_ones_own(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(OWN) + "\n\n" + json.dumps({**OWN, "supporting": None, "answer": None}))
    one, other = context_data.read_own(path)
    assert one.gold.tolist() == [False, True, False, True]  # blank sentences are left out, and gold moves with the others
    assert other.gold.tolist() == [False] * 4
    chat = conversation(one.documents, one.question)
    sources = cut(chat, one.splitter)
    assert list(sources.texts) == ["The canal is long.", "It opened in 1914.", "Ships pay a toll. A high one.", "It has locks."]
    assert [document.title for document in sources.documents] == ["Canal", "Toll"]
    path.write_text('{"question": "What?", "documents": [{"text": "None."}]}')
    with pytest.raises(LlmattrError, match=r"row 1 of own.jsonl \(KeyError: 'sentences'\) is not"):
        list(context_data.read_own(path))


def test_a_question_is_shortened_around_its_gold():
    papers = [("a", ["1.", "2."]), ("b", ["3.", "4.", "5."]), ("c", ["6."]), ("d", ["7."])]
    whole = context_data.question("q", "?", papers, [(2, 0)])
    assert [paper.title for paper in whole.shortened(4).papers] == ["a", "c", "d"]
    assert [paper.title for paper in whole.shortened(1).papers] == ["c"]
    assert whole.shortened(4).gold.tolist() == [False, False, True, False]
    assert context_data.choose(iter([whole, whole]), 1, 2, 4) == [whole.shortened(4)]
    both = context_data.question("q", "?", papers, [(1, 0), (2, 0)])  # 4 sentences or its gold is lost
    assert context_data.choose(iter([both]), 1, 2, 3) == []


@pytest.mark.parametrize("name", context_data.SETS)
def test_the_sets_are_read(name):
    path = SHARED / "data" / context_data.SETS[name].file
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    found = context_data.choose(context_data.SETS[name].read(path), 3, 3, 60)
    assert len(found) == 3
    for one in found:
        assert one.answer
        assert one.gold.any() == (name != "musique")
        assert len(cut(conversation(one.documents, one.question), one.splitter)) == one.size


def test_context_runs_and_goes_on_from_what_it_has(tmp_path):
    out = tmp_path / "context.json"
    command = [sys.executable, "-m", "eval", "context", "--tiny", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert list(record) == ["prediction", "reach", "support", "curve"]
    methods = {figure["method"].split(",")[0]: figure for figure in record["prediction"]["figures"]}
    assert methods.keys() == {"random", *METHODS, "gold sentences", "linear ceiling"}
    for part in record.values():
        assert not [figure for figure in part["figures"] if "not measured" in figure]
        assert all(math.isfinite(number) for number in numbers(part))
    # 100 draws of scores for 9 sentences and 16 masks: correlations of about 1 / sqrt(15), so .26 / 10 at one deviation.
    assert abs(methods["random"]["LDS"]) < 4 * 0.026
    assert methods["leave-one-out"]["passes"] == methods["alone"]["passes"] == 10
    assert methods["bm25"]["tokens"] == 0
    gold = next(figure for figure in record["support"]["figures"] if figure["method"] == "gold sentences")
    assert gold["AP"] == gold["cited f1"] == 1
    assert out.with_suffix(".svg").exists()
    assert len(out.with_suffix(".measured.jsonl").read_text().splitlines()) == len(entries(list(METHODS), 32, (4, 16)))


def test_a_context_run_that_was_stopped_goes_on_from_what_it_has(tmp_path, tiny):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(OWN))
    (question,) = context_data.read_own(path)
    lines = [entry for entry in entries(["leave-one-out", "alone"], 8, ()) if entry.label in ("leave-one-out", "alone")]

    def run():
        bench = Bench(TINY, "tiny", True, tmp_path / "kept.jsonl")
        bench.__dict__["lm"] = tiny  # where the property would keep it
        return bench.measured("own", question, lines)

    first, kept = run(), tmp_path / "kept.jsonl"
    written = kept.read_text()
    assert run() == first
    assert kept.read_text() == written
    kept.write_text(written[:-50] + "\n")  # stopped while it wrote the last line
    assert run() == first
    assert len(kept.read_text().splitlines()) == 3
    assert len(list(tmp_path.glob("kept.scored/*.npz"))) == 1


def test_a_failure_is_a_cell(tmp_path, tiny):
    question = context_data.question("q", "?", [("Title", ["One.", "Two."])])

    def fail(case):
        raise ValueError("no | luck\nat all")

    bench = Bench(TINY, "tiny", False, tmp_path / "kept.jsonl")
    bench.__dict__["lm"] = tiny
    rows = bench.measured("own", question, [Entry("broken", fail), Entry("gold sentences", gold)])
    assert [figure["not measured"] for figure in prediction(rows)] == [
        "failed on 1 of 1: ValueError: no / luck", "skipped on 1 of 1: no gold sentences"
    ]  # fmt: skip


def test_costs_are_those_of_a_method_alone(tiny, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(OWN))
    (question,) = context_data.read_own(path)
    case = make_case(tiny, question, 4, 4, gold_answer=True)
    assert case.ablation.prompt.response == "In 1914."
    assert len(case.ablation.targets) == 1
    for _ in range(2):  # the second time everything is scored already
        with metered(case.ablation) as view:
            METHODS["leave-one-out"]().attribute(view)
        prompt = case.ablation.prompt
        assert view.cost == {"passes": 5, "tokens": sum(len(prompt.render(mask).ids) for mask in one_out_masks(4))}
    with metered(case.ablation) as view:
        tiny.model(torch.tensor([[3, 4, 5]]))
    assert view.cost == {"passes": 1, "tokens": 3}


@pytest.mark.parametrize("words", [["--tiny"], ["--methods", "nothing"], ["--data", "nowhere.jsonl"]])
def test_context_refuses_what_it_does_not_know(words):
    from eval.context import command

    assert CliRunner().invoke(command, words).exit_code == 2


@pytest.mark.slow
def test_facts_run_and_go_on_from_what_they_have(tmp_path):
    """Random scores at chance, the rows that state a fact at the top, and nothing is computed twice."""
    command = [sys.executable, "-m", "eval", "facts", "--tiny", "--out", str(tmp_path / "facts.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in json.loads((tmp_path / "facts.json").read_text())["facts"]["figures"]}
    assert [name for name, row in rows.items() if "failed" in row] == []
    assert rows["the rows that state it"]["MRR"] == 1.0
    assert rows["the rows that state it"]["LDS"] > rows["random"]["LDS"]
    assert {"bm25", "grad-cos", "ekfac", "datamodel", "in-run-shapley"} <= set(rows)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.runs/**/*.npz")}
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("facts.runs/**/*.npz")} == kept
