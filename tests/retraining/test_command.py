"""A training of the user's own, as a command: what it is given, what it leaves, and what it says when it fails."""

import json
import sys

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retraining.build import retraining_ablation
from llmattr.retraining.command import CommandTrainer
from tests import tiny_models

ROWS = [{"text": "The canal is long.", "source": "a"}, {"text": "Ships wait.", "source": "b"}, {"text": "Locks fill."}]
ASKED = [{"prompt": "The canal", "completion": " is long"}, {"prompt": "Ships", "completion": " wait"}]
TRAIN = """
import json, shutil, sys
rows, out, seed = sys.argv[1:]
rows = [json.loads(line) for line in open(rows, encoding="utf-8")]
shutil.copytree({folders!r}[int(any(row.get("source") == "a" for row in rows))], out)
with open({log!r}, "a") as file:
    file.write(json.dumps([rows, seed]) + "\\n")
"""


@pytest.fixture
def place(tmp_path):
    """A folder with two models, and a command that "trains" the second one where row 0 is kept, and the first one else."""
    folders = [tmp_path / "without", tmp_path / "with"]
    for seed, folder in enumerate(folders):
        tiny_models.llama(seed=seed).save_pretrained(folder)
        tiny_models.tokenizer().save_pretrained(folder)
    script = TRAIN.format(folders=list(map(str, folders)), log=str(tmp_path / "log"))
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    return tmp_path


def command(place, script="train.py"):
    return f"'{sys.executable}' '{place / script}' {{rows}} {{out}} {{seed}}"


def expected(folder):
    """What a model says of the queries' completions."""
    lm = LM.load(folder)
    found = []
    for query in ASKED:
        ids = lm.tokenizer(query["prompt"] + query["completion"])["input_ids"]
        start = len(lm.tokenizer(query["prompt"])["input_ids"])
        logits = lm.model(input_ids=lm.model.dummy_inputs["input_ids"].new_tensor([ids])).logits[0].double().log_softmax(-1)
        found.append(sum(logits[i - 1, ids[i]].item() for i in range(start, len(ids))))
    return found


def test_the_outputs_are_those_of_the_models_that_it_leaves(place):
    ablation = retraining_ablation(None, ROWS, ASKED, train=command(place), out=place / "runs")
    masks = np.array([[True, True, True], [False, True, True]])
    np.testing.assert_allclose(ablation(masks), [expected(place / "with"), expected(place / "without")], atol=1e-4)
    given = [json.loads(line) for line in (place / "log").read_text().splitlines()]
    assert [rows for rows, _ in given] == [ROWS, ROWS[1:]]  # as they were given, in their order
    assert [int(seed) for _, seed in given] == [ablation.seed_of(mask, 0) for mask in masks]
    retraining_ablation(None, ROWS, ASKED, train=command(place), out=place / "runs")(masks)
    assert len((place / "log").read_text().splitlines()) == 2  # kept
    (place / "again.py").write_text((place / "train.py").read_text())
    retraining_ablation(None, ROWS, ASKED, train=command(place, "again.py"), out=place / "runs")(masks[:1])
    assert len((place / "log").read_text().splitlines()) == 3  # another command is another training


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("train --out {out}", r"has no \{rows\}"),
        ("train --rows {rows}", r"has no \{out\}"),
        ("train '{rows} {out}", "cannot be read as words: No closing quotation"),
        ("no-such-program {rows} {out}", "'no-such-program' cannot be run: No such file"),
        (f"'{sys.executable}' -c pass {{rows}} {{out}}", r"left no model in its \{out\}"),
        (f"'{sys.executable}' -c 'print(1); raise SystemExit(\"bad rows\")' {{rows}} {{out}}", "ended with 1: 1 / bad rows"),
        (f"'{sys.executable}' -c 'raise SystemExit(3)' {{rows}} {{out}}", "ended with 3: it said nothing"),
    ],
)
def test_a_command_that_fails(said, problem):
    with pytest.raises(LlmattrError, match=problem):
        CommandTrainer(said, ROWS, ASKED).outputs(np.ones((1, 3)), [0])


def test_on_the_command_line(place, capsys):
    for name, rows in (("rows", ROWS), ("queries", ASKED)):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--data", str(place / "rows.jsonl"), "--queries", str(place / "queries.jsonl"), "--out", str(place / "runs")]
    assert main(["trace", "leave-one-out", *given, "--train", command(place), "--json", str(place / "it.json")]) == 0
    values = [target["values"] for target in json.loads((place / "it.json").read_text())["targets"]]
    effect = np.subtract(expected(place / "with"), expected(place / "without"))
    np.testing.assert_allclose(values, [[one, 0, 0] for one in effect], atol=1e-4)
    for unused in (["--steps", "3"], ["--model", "scratch"]):
        assert main(["trace", "leave-one-out", *given, "--train", command(place), *unused]) != 0
        assert f"{unused[0]} would be of no use: --train says how a model is trained" in capsys.readouterr().err
    assert main(["trace", "knn-shapley", *given, "--train", command(place)]) != 0
    assert "knn-shapley looks at a language model and its rows" in capsys.readouterr().err
