"""The method chosen at the question: of the rows that an index has, whatever it was built with."""

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.training import METHODS
from llmattr.training.chosen import method_at_question
from llmattr.training.methods.influence import Stream
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, trace
from tests import tiny_models
from tests.training.test_trace_methods import dense
from tests.training.test_training import ASKED, ROWS

OPTIONS = {"projection": Projection(dim=64), "row_type": "float32"}


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


@pytest.mark.parametrize("names", [("grad-dot", "grad-cos"), ("grad-cos", "grad-dot"), ("tracin", "logra"), ("logra", "bm25")])
def test_it_is_what_an_index_of_the_method_says(lm, tmp_path, names):
    """The rows are the same numbers, and so are the scores."""
    own, other = (build_index(lm, ROWS, tmp_path / name, name, **OPTIONS) for name in names)
    found = own.query(ASKED, None, method=names[1])
    np.testing.assert_array_equal(dense(found), dense(other.query(ASKED, None)))
    assert found.method == other.query(ASKED).method
    assert not np.allclose(dense(own.query(ASKED, None)), dense(found), rtol=0.1)


def test_the_rows_of_a_normalised_index_by_another_method_of_such(lm, tmp_path):
    index = build_index(lm, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="data"), **OPTIONS)
    cosine = METHODS["grad-cos"](normalize="data")
    expected = dense(build_index(lm, ROWS, tmp_path / "j", cosine, **OPTIONS).query(ASKED, None))
    np.testing.assert_array_equal(dense(index.query(ASKED, None, method=cosine)), expected)


def test_self_influence_of_an_index_of_cosines(lm, tmp_path):
    index = build_index(lm, ROWS, tmp_path / "i", "grad-cos", **OPTIONS)
    with pytest.raises(LlmattrError, match=r"ask by grad-dot of the same rows \(--method\)"):
        index.self_influence()
    dot = build_index(lm, ROWS, tmp_path / "j", "grad-dot", **OPTIONS)
    np.testing.assert_array_equal(dense(index.self_influence(method="grad-dot")), dense(dot.self_influence()))


def test_checkpoints_and_whole_gradients_again(lm, tmp_path):
    index = build_index(None, ROWS, tmp_path / "i", "tracin", checkpoints=[lm, lm], learning_rates=[0.1, 0.2], **OPTIONS)
    cosines = dense(index.query(ASKED, None, method="grad-cos"))
    expected = dense(build_index(lm, ROWS, tmp_path / "j", "grad-cos", **OPTIONS).query(ASKED, None))
    np.testing.assert_allclose(cosines / np.linalg.norm(cosines), expected / np.linalg.norm(expected), rtol=1e-6)
    exact = build_index(lm, ROWS, tmp_path / "k", "grad-dot", **OPTIONS).query(ASKED, None, rerank=24, method="grad-cos")
    np.testing.assert_allclose(dense(exact), dense(trace(lm, ROWS, ASKED, Stream("cosine"))), rtol=1e-9)


@pytest.mark.parametrize(
    ("own", "asked", "message"),
    [
        (
            "grad-dot",
            "trackstar",
            r"normalize: 'none' there, 'data' for it\); gradients are divided by the root of their",
        ),
        (
            "trackstar",
            "grad-dot",
            r"other rows than this index of trackstar has \(normalize: 'data' there, 'none' for it",
        ),
        ("grad-dot", "trak", r"measure: 'loss' there, 'margin' for it"),
        ("grad-dot", "rep-sim", r"vectors: 'gradients' there, 'hidden states' for it"),
        ("bm25", "grad-dot", "bm25 keeps no rows, and grad-dot needs those of gradients: build an index with it"),
        ("grad-dot", "ekfac", "ekfac keeps no rows that another index could have"),
        ("grad-dot", "grad-sin", "did you mean 'grad-"),
    ],
)
def test_what_other_rows_would_be_needed_for(own, asked, message):
    with pytest.raises(LlmattrError, match=message):
        method_at_question(METHODS[own](), asked)


def test_a_name_takes_what_the_rows_are_of():
    own = METHODS["grad-dot"](parameters="blocks")
    assert method_at_question(own, "logra") == METHODS["logra"](parameters="blocks")
    with pytest.raises(LlmattrError, match="parameters: 'blocks' there, 'all' for it"):
        method_at_question(own, METHODS["logra"](parameters="all"))
    with pytest.raises(LlmattrError, match="layer: 2 there, 1 for it"):
        method_at_question(METHODS["rep-sim"](layer=2), METHODS["rep-sim"](layer=1))
    assert method_at_question(own, None) is method_at_question(own, "grad-dot") is own


def test_faiss_has_the_cells_of_its_own_method(lm, tmp_path):
    index = build_index(lm, ROWS, tmp_path / "i", "grad-dot", **OPTIONS)
    with pytest.raises(LlmattrError, match="faiss proposes rows by the method that an index was built with, not by grad-cos"):
        index.query(ASKED, approximate=True, method="grad-cos")


def test_the_command_line(tmp_path, tiny_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("prompt,completion\nIt is,red\nIt was,blue\n")
    assert main(["trace", "index", "--data", "rows.csv", "--out", "i", "--model", str(tiny_folder), "grad-cos"]) == 0
    assert main(["trace", "query", "i", "--prompt", "It is", "--completion", "red", "--method", "grad-dot"]) == 0
    assert "Scores are inner products of gradients" in capsys.readouterr().out
    assert main(["trace", "self", "i", "--method", "grad-dot"]) == 0
    assert main(["trace", "query", "i", "--completion", "red", "--method", "trackstar"]) == 2
    assert "trackstar needs other rows" in capsys.readouterr().err
