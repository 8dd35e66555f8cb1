"""`llmattr components` on the command line."""

import json

import pytest

from llmattr.cli import main
from tests import tiny_models

ASKED = ["components", "The canal is", "--completion", " long."]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return ["--model", str(tiny_models.save(tmp_path_factory.mktemp("tiny")))]


def test_a_prompt(tiny, tmp_path, capsys):
    assert main([*ASKED, *tiny, "--parts", "heads+mlps", "--json", str(tmp_path / "out.json"), "--top", "2"]) == 0
    said, found = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert "The canal is long." in said
    assert "10 of 10 components were removed; gradients rank these alike by" in said
    assert found["method"] == {"name": "verified", "n_ablations": 64}
    assert [source["id"] for source in found["sources"]][:5] == ["0.0", "0.1", "0.2", "0.3", "0.mlp"]
    best = max(range(10), key=lambda i: found["targets"][0]["values"][i])
    assert f"    1  {found['targets'][0]['values'][best]:+.3g} ±0  {found['sources'][best]['id']}  " in said


def test_a_file_of_prompts_and_a_method(tiny, tmp_path, capsys):
    rows = [{"prompt": f"The {what} is", "completion": " long.", "rather_than": " high."} for what in ("canal", "lake", "lock")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ["--data", str(tmp_path / "rows.jsonl"), *tiny, "--way", "mean", "--json", str(tmp_path / "out.json")]
    assert main(["components", "coar", *options, "--n-ablations", "20"]) == 0
    assert "The lock is long." in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out.json").read_text())["targets"]) == 3
    assert main(["components", *options, "--mean", "leave-one-out"]) == 0
    assert "the mean over the queries" in capsys.readouterr().out


def test_it_is_made_again(tiny, tmp_path, capsys):
    assert main([*ASKED, *tiny, "coar", "--n-ablations", "20", "--json", str(tmp_path / "out.json")]) == 0
    assert main(["rerun", str(tmp_path / "out.json")]) == 0
    assert "the same as" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["components"], "give a PROMPT and its --completion, or --data"),
        (["components", "It"], "give a PROMPT and its --completion, or --data"),
        (["components", "It", "is", "--completion", " long."], "'is' is one prompt too many (methods: verified, "),
        ([*ASKED, "--data", "rows.jsonl"], "--completion and --data are one too many"),
        ([*ASKED, "--parts", "head"], "did you mean 'heads'"),
        ([*ASKED, "--way", "resample"], "query 0 has no 'counterfactual'"),
        ([*ASKED, "coar", "--keep", "1"], "keep must lie between 0 and 1"),
        ([*ASKED, "--keep", "0.5"], "No such option '--keep' of verified; name a method that has it: coar"),
    ],
)
def test_one_line_for_what_is_wrong(tiny, words, message, capsys):
    assert main([*words, *tiny]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
