"""The recipes about training data say what they promise, small."""

import importlib
import json
import re
import sys

import pytest

from llmattr.retraining import scratch_model

pytestmark = pytest.mark.slow


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """What a recipe prints, with these arguments; what it writes goes to a folder of the test's own."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path), *map(str, arguments)])
        importlib.import_module(f"recipes.{name}").main()
        return capsys.readouterr().out

    return run


def test_wrong_rows_are_suspected_before_right_ones(printed):
    text = printed("mislabelled", "--tiny")
    auc = {name.strip(): float(found) for name, found in re.findall(r"^(\D+?) +(\d\.\d\d) +\d+%$", text, re.MULTILINE)}
    for name in ("self-influence, a third of the way", "data-oob", "confident learning (cleanlab)"):
        assert auc[name] > max(auc["random"], 0.7), auc  # of 5 spoilt rows among 60 a random order gives .5 +- .13
    kept = dict(re.findall(r"^(all rows|true rows) +(-\d+\.\d+)", text, re.MULTILINE))
    assert float(kept["true rows"]) > float(kept["all rows"])


def test_planted_faults_are_found(printed, tmp_path):
    text = printed("clean_a_data_set", "--tiny")
    told = re.findall(r"^(contaminated|duplicates|outliers) +(\d+) +(\d+) +\d+$", text, re.MULTILINE)
    assert [(kind, planted) for kind, planted, _ in told] == [("contaminated", "2"), ("duplicates", "3"), ("outliers", "1")]
    assert all(planted == found for _, planted, found in told), text
    rows = dict(re.findall(r"^(all rows|cleaned|as many others) +(\d+) ", text, re.MULTILINE))
    assert int(rows["all rows"]) > int(rows["cleaned"]) == int(rows["as many others"])
    assert "what to look at" in (tmp_path / "look.html").read_text().lower()


def test_the_rows_that_help_are_chosen(printed):
    text = printed("select_data", "--tiny")
    line = r"^(datamodel|bm25|random|every true capital) +(\S+) ±\S+ +(\d+) +(\d+) +(\d+) +(\d+)$"
    found = {name: list(map(float, rest)) for name, *rest in re.findall(line, text, re.MULTILINE)}
    assert found["datamodel"][1] > 1.5 * found["random"][1], text  # rows of the right column
    assert found["every true capital"][0] > found["datamodel"][0] > found["random"][0], text
    assert re.search(r"^datamodel (beats|does not beat|is worse than) random: ", text, re.MULTILINE)


def test_methods_are_ordered_as_they_must_be(printed, tmp_path):
    text = printed("compare_methods", "--tiny", "--methods", "datamodel,bm25")
    saved = json.loads((tmp_path / "training.json").read_text())
    lds = {name: of["LDS"]["mean"] for name, of in saved["files"].items()}
    assert lds["datamodel"] > lds["random"]
    assert lds["gold sources"] > lds["random"]
    assert saved["files"]["gold sources"]["MRR"]["mean"] == 1
    assert saved["difference_to_datamodel"]["random"]["LDS"]["difference"] < 0
    assert "Kendall" in text


def test_a_context_of_ones_own_is_compared(printed, tmp_path):
    documents = [{"title": "A", "sentences": ["One red.", " ", "Two blue."]}, {"title": None, "sentences": ["Three green."]}]
    row = {"question": "Which?", "documents": documents, "answer": "Two blue", "supporting": [[0, 2]]}
    other = {**row, "answer": "Three green", "supporting": [[1, 0]]}
    (tmp_path / "mine.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")
    model, tokenizer = scratch_model([json.dumps(row), json.dumps(other)])
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    methods = ("--methods", "leave-one-out,bm25", "--model", tmp_path / "model")
    printed("compare_methods", "--context", tmp_path / "mine.jsonl", *methods)
    files = json.loads((tmp_path / "context.json").read_text())["files"]
    assert files["gold sources"]["AP"]["per_target"] == [1, 1]
    assert files["bm25"]["AP"]["per_target"] == [1, 1]  # the answer's own words
    assert files["leave-one-out"]["LDS"]["mean"] > files["random"]["LDS"]["mean"]


@pytest.mark.parametrize("row", [{"documents": []}, {"question": "Which?", "documents": [{"title": "A"}]}, {"question": 1}])
def test_rows_of_another_form_are_refused_in_one_line(row, printed, tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    model, tokenizer = scratch_model(["One red"])
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    with pytest.raises(SystemExit):
        printed("compare_methods", "--context", tmp_path / "mine.jsonl", "--model", tmp_path / "model")
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
