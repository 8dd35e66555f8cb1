"""`llmattr components` on the command line."""

import json

import pytest

from llmattr.cli import main
from llmattr.components.features.folders import save_dictionary
from tests import tiny_models
from tests.components.features.worlds import autoencoder

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


class TestFeatures:
    @pytest.fixture
    def dictionary(self, tmp_path):
        return str(save_dictionary(autoencoder(1), tmp_path / "features"))

    def test_of_a_dictionary(self, tiny, dictionary, tmp_path, capsys):
        asked = [*ASKED, *tiny, "--parts", "features", "--dictionary", dictionary]
        assert main([*asked, "--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]) == 0
        said, found = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
        assert [source["id"] for source in found["sources"]][-1] == "1.error"
        assert f" {len(found['sources']) - 1} of 48 features of {dictionary}, which leave " in said
        assert "of the variance to the error term" in said
        assert "strongest feature" in (tmp_path / "out.html").read_text()
        assert main(["rerun", str(tmp_path / "out.json")]) == 0
        assert "the same as" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--parts", "features"], "features are those of a dictionary: give its folder (--dictionary)"),
            (["--dictionary", "nowhere"], "a dictionary is for the parts 'features', and 'heads' are asked for"),
            (["--parts", "features", "--dictionary", "nowhere"], "'nowhere' is no dictionary of features"),
            (["--parts", "feature"], "did you mean 'features'"),
        ],
    )
    def test_one_line_for_what_is_wrong(self, tiny, more, message, capsys):
        assert main([*ASKED, *tiny, *more]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
