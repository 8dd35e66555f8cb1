"""LESS: cosines of a question's gradient with Adam's steps on the rows, over checkpoints; RDS+: weighted hidden states."""

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retrieval.encoder import token_mean
from llmattr.text.rows import tokenize
from llmattr.training import METHODS
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.layers import tracked_layers
from llmattr.training.gradients.moments import momentum, scales
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, trace
from tests import tiny_models
from tests.training.test_trace_methods import dense
from tests.training.test_training import ASKED, ROWS

B1 = 0.9
WIDE = {"dim": 10**9, "width": 128}  # nothing is lost


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's two checkpoints, as a Trainer leaves them: models with their optimizer.pt."""
    folder = tmp_path_factory.mktemp("run")
    model = tiny_models.gpt2()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": rest}], lr=1e-3, betas=(B1, 0.999))
    places = [folder / f"checkpoint-{step}" for step in (3, 6)]
    for step in range(1, 7):
        ids = torch.tensor([[5 + step, 6, 7 + 2 * step, 8, 9]])
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        if step % 3 == 0:
            model.save_pretrained(folder / f"checkpoint-{step}")
            tiny_models.tokenizer().save_pretrained(folder / f"checkpoint-{step}")
            torch.save(optimizer.state_dict(), folder / f"checkpoint-{step}" / "optimizer.pt")
    return places


def flat(parts, layers):
    """Of each layer [i, o], side by side as `exact_gradients` has them."""
    return torch.cat([parts[name].flatten() for name in layers])


def expected(place, normalize, parameters):
    """The formula of section 3.1 at one checkpoint, written out on whole gradients: [1, n]."""
    lm = LM.load(place)
    layers, rows, asked = tracked_layers(lm, parameters), tokenize(ROWS, lm.tokenizer), tokenize([ASKED], lm.tokenizer)
    found = scales(normalize, lm, rows, layers)
    root = flat({name: torch.outer(found[f"{name}/in"], found[f"{name}/out"]) for name in layers}, layers)
    tokens = torch.tensor([[float(counted.sum())] for counted in rows.counted])
    steps = exact_gradients(lm, rows, layers) / tokens
    if normalize == "optimizer":
        state = torch.load(place / "optimizer.pt", weights_only=True)
        matrices = [name for name, p in lm.model.named_parameters() if p.dim() > 1]
        means = {name: state["state"][number]["exp_avg"] for number, name in enumerate(matrices)}
        kept = {name: means[f"{name}.weight"] for name in layers}
        steps = B1 * flat(kept, layers) + (1 - B1) * steps
    return torch.nn.functional.cosine_similarity(exact_gradients(lm, asked, layers), steps * root).numpy()


@pytest.mark.parametrize("kind", ["identity", "random", "principal"])
@pytest.mark.parametrize("normalize", ["optimizer", "data"])
def test_a_score_is_the_papers(run, kind, normalize):
    """Rows in float32; a principal basis that was made for the rows has nearly all of the question's gradient, too."""
    method = METHODS["less"](normalize=normalize, parameters="blocks")
    found = dense(trace(run[1], ROWS, ASKED, method, projection=Projection(kind=kind, **WIDE), row_type="float32"))
    np.testing.assert_allclose(found[0], expected(run[1], normalize, "blocks"), atol=1e-3)


def test_an_embedding_has_its_momentum(run):
    """A layer with more inputs than outputs."""
    method = METHODS["less"](normalize="optimizer", parameters="embedding")
    found = dense(trace(run[1], ROWS, ASKED, method, projection=Projection(kind="identity"), row_type="float32"))
    np.testing.assert_allclose(found[0], expected(run[1], "optimizer", "embedding"), atol=1e-3)


def test_checkpoints_count_by_their_learning_rates(run, tmp_path):
    method = METHODS["less"](normalize="optimizer", parameters="blocks")
    given = {"projection": Projection(kind="identity"), "row_type": "float32"}
    both = build_index(None, ROWS, tmp_path / "i", method, checkpoints=run, learning_rates=[0.5, 0.1], **given)
    wanted = 0.5 * expected(run[0], "optimizer", "blocks") + 0.1 * expected(run[1], "optimizer", "blocks")
    np.testing.assert_allclose(dense(both.query(ASKED, None))[0], wanted, atol=1e-3)


def test_momentum_is_what_adam_says(run):
    lm = LM.load(run[1])
    layers = tracked_layers(lm, "blocks")
    state = torch.load(run[1] / "optimizer.pt", weights_only=True)["state"]
    matrices = [name for name, p in lm.model.named_parameters() if p.dim() > 1]
    for name, mean in momentum(lm, layers).items():
        torch.testing.assert_close(mean, 9 * state[matrices.index(f"{name}.weight")]["exp_avg"])


def test_what_is_missing_or_other_is_one_line(run, tmp_path):
    tiny_models.save(tmp_path / "model")
    as_published = METHODS["less"](normalize="optimizer")
    with pytest.raises(LlmattrError, match=r"there is no optimiser state .*optimizer\.pt.*: take --normalize data"):
        build_index(tmp_path / "model", ROWS, tmp_path / "i", as_published)
    steps = build_index(run[1], ROWS, tmp_path / "j", as_published)
    with pytest.raises(LlmattrError, match=r"trackstar needs other rows .*momentum.*; the optimizer's is in rows"):
        steps.query(ASKED, method=METHODS["trackstar"](normalize="optimizer"))


def test_rows_as_questions_are_asked_of_the_model(run, tmp_path):
    """What is stored of them is a step; p-values come only where they are wanted."""
    index = build_index(run[1], ROWS * 4, tmp_path / "i", METHODS["less"](normalize="optimizer"))
    assert index.query(ASKED).p_values is None
    assert index.query(ASKED, foreign=19).p_values is not None


class TestRds:
    def test_the_kth_token_counts_k_times(self):
        """Left out is padding on either side."""
        hidden = torch.arange(12.0).reshape(1, 4, 3)
        seen = torch.tensor([[0, 1, 1, 0]])
        wanted = (1 * hidden[:, 1] + 2 * hidden[:, 2]) / 3
        torch.testing.assert_close(token_mean(hidden, seen, weighted=True), wanted)
        torch.testing.assert_close(
            token_mean(hidden, None, weighted=True), (hidden * torch.arange(1.0, 5)[:, None]).sum(1) / 10
        )

    def test_scores_are_cosines_of_them(self):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())

        def vector(row):
            (ids,) = tokenize([row], lm.tokenizer).ids
            with torch.no_grad():
                hidden = lm.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
            weights = torch.arange(1.0, len(ids) + 1)
            return weights @ hidden / weights.sum()

        asked, rows = vector(ASKED), torch.stack([vector(row) for row in ROWS])
        wanted = torch.nn.functional.cosine_similarity(asked[None], rows)
        found = dense(trace(lm, ROWS, ASKED, "rds", row_type="float32"))
        np.testing.assert_allclose(found[0], wanted.numpy(), atol=1e-5)  # float32
        assert np.abs(found - dense(trace(lm, ROWS, ASKED, "rep-sim", row_type="float32"))).max() > 1e-3
