"""A direction in hidden states as a question."""

import numpy as np
import pytest
import torch

from llmattr.cli import main
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.rows import row_text, tokenize
from llmattr.training import METHODS
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_trace_methods import dense
from tests.training.test_training import ROWS


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


@pytest.fixture(scope="module")
def index(lm, tmp_path_factory):
    return build_index(lm, ROWS, tmp_path_factory.mktemp("i") / "i", METHODS["rep-sim"](layer=1), row_type="float32")


def states(lm, layer):
    """The mean over each row's tokens of a layer's hidden states [n, d]."""
    with torch.no_grad():
        found = [lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].mean(0)
                 for ids in tokenize(ROWS, lm.tokenizer).ids]  # fmt: skip
    return torch.stack(found).numpy()


def test_a_probe_of_a_colour_finds_the_rows_that_state_it(lm, index):
    """The direction is the difference of the means of rows with one colour and of the others: along it lie those with it."""
    rows = states(lm, 1)
    blue = np.array(["blue" in row_text(row) for row in ROWS])
    direction = rows[blue].mean(0) - rows[~blue].mean(0)
    found = index.along(direction, None)
    expected = rows @ direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(direction)
    np.testing.assert_allclose(dense(found)[0], expected, atol=1e-6)  # float32 rows
    assert {int(score.id) for score in found.top(int(blue.sum()))} == set(np.flatnonzero(blue))
    np.testing.assert_allclose(dense(index.along(-direction, None))[0], -expected, atol=1e-6)
    both = index.along(np.stack([direction, -direction]).astype(np.float16), None)
    np.testing.assert_allclose(dense(both)[1], -dense(both)[0], rtol=1e-6)
    assert "the direction" in found.html()


def test_a_layer_may_be_counted_from_the_end(index):
    """Two layers and the embeddings: layer 1 is -2."""
    for layer in (None, 1, -2):
        assert index.along(np.ones(32), 1, layer=layer).values.shape == (1, 2)


@pytest.mark.parametrize(
    ("direction", "layer", "message"),
    [
        (np.ones(32), 2, r"the index has the hidden states of layer 1 \(1 of 2\), not of 2: build one with rep-sim --layer 2"),
        (np.ones(32), 9, "layer must lie between -3 and 3 and whole, not 9"),
        (np.ones(31), None, r"a direction must be an array of 32 numbers, or several of them, not \(1, 31\)"),
        (np.array(["a"] * 32), None, "a direction must be an array of 32 numbers"),
        (np.zeros(32), None, "finite numbers, and not all of them 0"),
        (np.full(32, np.nan), None, "finite numbers, and not all of them 0"),
    ],
)
def test_what_is_no_direction(index, direction, layer, message):
    with pytest.raises(LlmattrError, match=message):
        index.along(direction, layer=layer)


def test_an_index_of_gradients_has_none(lm, tmp_path):
    with pytest.raises(
        LlmattrError, match="a direction is of hidden states, which grad-dot does not keep: build an index with"
    ):
        build_index(lm, ROWS, tmp_path / "i", "grad-dot").along(np.ones(32))
    two = build_index(None, ROWS, tmp_path / "two", "rep-sim", checkpoints=[lm, lm])
    with pytest.raises(LlmattrError, match="a direction is of one model, and the index has 2 checkpoints"):
        two.along(np.ones(32))


def test_the_command_line(tmp_path, tiny_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("prompt,completion\nIt is,red\nIt was,blue\n")
    np.save("v.npy", np.arange(32))
    assert main(["trace", "index", "--data", "rows.csv", "--out", "i", "--model", str(tiny_folder), "rep-sim"]) == 0
    assert main(["trace", "query", "i", "--direction", "v.npy", "--layer", "-1", "--json", "o.json", "--html", "o.html"]) == 0
    assert "point more along the direction" in capsys.readouterr().out
    for options, message in {
        ("--direction", "v.npy", "--layer", "1"): "the index has the hidden states of layer -1 (2 of 2), not of 1",
        ("--direction", "none.npy"): "'none.npy'",
        ("--direction", "v.npy", "--completion", "x"): "--completion would be of no use: --direction asks for no answer",
        ("--completion", "x", "--layer", "1"): "--layer would be of no use: it is that of --direction",
    }.items():
        assert main(["trace", "query", "i", *options]) == 2
        assert message in capsys.readouterr().err
