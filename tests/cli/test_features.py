"""`llmattr features` on the command line."""

import json

import pytest

from llmattr.cli import main
from tests import tiny_models

SMALL = ["--size", "40", "--steps", "20", "--batch", "32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ["--model", str(tiny_models.save(tmp_path_factory.mktemp("tiny")))]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    rows = [{"text": f"The canal is {n} long, and {n} high. It opened in {n}."} for n in range(1900, 1920)]
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture(scope="module")
def dictionary(model, texts, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("learnt") / "dictionary")
    assert main(["features", "train", texts, "--layer", "1", "--out", out, "--k", "4", *SMALL, *model]) == 0
    return out


class TestTrain:
    def test_it_says_how_good_it_is_and_is_attributed_to(self, model, texts, tmp_path, capsys):
        out = tmp_path / "dictionary"
        trained = ["features", "train", texts, "--layer", "0", "--place", "mlp", "--l1", "1", "--out", str(out), *SMALL, *model]
        assert main(trained) == 0
        said, config = capsys.readouterr().out, json.loads((out / "cfg.json").read_text())
        quality = config["metadata"]["quality"]
        assert f"40 features of the mlp of layer 0; FVU {quality['fvu']:.3f}, L0 {quality['l0']:.1f}, dead" in said
        assert f"dictionary: {out}" in said
        assert config["architecture"] == "standard"
        asked = ["components", "The canal is", "--completion", " long.", "--parts", "features", "--dictionary", str(out)]
        assert main([*asked, *model, "leave-one-out"]) == 0
        assert "feature " in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--k", "3", "--l1", "1"], "--k and --l1 are one too many"),
            (["--k", "41"], "k must"),
            (["--layer", "2"], "layer 2 is asked for, and "),
        ],
    )
    def test_one_line_for_what_is_wrong(self, model, texts, tmp_path, more, message, capsys):
        given = ["features", "train", texts, "--layer", "1", "--out", str(tmp_path / "new"), *SMALL, *model, *more]
        assert main(given) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert not list(tmp_path.iterdir())


def test_show(dictionary, texts, model, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["features", "show", dictionary, "3", "--data", texts, "--top", "2", "--html", str(page), *model]) == 0
    said = capsys.readouterr().out
    assert said.startswith("feature 3 of layer 1: active at ")
    assert f"HTML page: {page}" in said
    assert "Nearest features" in page.read_text()


def test_steer(dictionary, model, capsys):
    assert main(["features", "steer", dictionary, "3", "The canal is", "--to", "50", "--max-new-tokens", "5", *model]) == 0
    said = capsys.readouterr().out
    assert said.startswith("as it is:\nThe canal is")
    assert "with feature 3 at 50:\nThe canal is" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steer", "DICTIONARY", "40", "It", "--to", "1"], "feature 40 is asked for, and the dictionary"),
        (["steer", "nowhere", "4", "It", "--to", "1"], "'nowhere' is no dictionary of features"),
        (["show", "DICTIONARY", "4", "--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_one_line_for_what_is_wrong(dictionary, model, words, message, capsys):
    assert main(["features", *(dictionary if word == "DICTIONARY" else word for word in words), *model]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
