"""A dictionary is learnt: known atoms are found, dead features are revived, and a run that was killed ends at the same bits."""

import json

import numpy as np
import pytest
import torch

from llmattr.components.build import component_ablation
from llmattr.components.features import activations as reading
from llmattr.components.features.baselines import baseline
from llmattr.components.features.dictionary import SparseAutoencoder, unexplained
from llmattr.components.features.folders import load_dictionary
from llmattr.components.features.hook import Hook
from llmattr.components.features.learning import Learner, learn, moments_of
from llmattr.components.features.plan import Plan
from llmattr.components.features.train import judged, train
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from tests import tiny_models
from tests.components.features.worlds import autoencoder

CPU = torch.device("cpu")
ATOMS, ACTIVE = 16, 2
TEXTS = [{"text": f"The canal is {n} long, and {n} high. It opened in {n}."} for n in range(1900, 1930)]


def atoms():
    """Orthonormal directions, `ATOMS` of them."""
    return torch.linalg.qr(torch.randn(24, ATOMS, generator=torch.Generator().manual_seed(3)))[0].T


def world(tokens=4000):
    """Activations that are sparse sums of the atoms, around a mean of 5 (T34)."""
    drawn = np.random.default_rng(0)
    codes = np.zeros((tokens, ATOMS))
    for row in codes:
        row[drawn.choice(ATOMS, ACTIVE, replace=False)] = drawn.uniform(1, 2, ACTIVE)
    return (codes @ atoms().numpy() + 5).astype(np.float32)


def test_the_exact_dictionary_explains_everything():
    rows = atoms().double()
    x = torch.from_numpy(world(200)).double()
    exact = SparseAutoencoder(rows, -5 * rows.sum(dim=1), rows, torch.full((24,), 5.0).double(), Hook(0), ACTIVE)
    assert unexplained(x, x - exact.decode(exact.encode(x))) < 1e-12  # float32 numbers, squared
    assert unexplained(x, x - x.mean(dim=0)) == pytest.approx(1)


@pytest.mark.parametrize("plan", [Plan(24, ACTIVE, steps=600, batch=256), Plan(24, None, 1.0, 600, 256, 3e-3)])
def test_known_atoms_are_found(tmp_path, plan):
    states = world()
    found = learn(states, plan, 0, CPU, tmp_path)
    alike = (atoms() @ found.rows.T).max(dim=1).values
    assert (alike > 0.9).float().mean() >= 0.9
    quality = judged(found, states[:1000])
    assert quality.fvu < 0.1
    assert quality.l0 == pytest.approx(ACTIVE, abs=1)
    assert found.rows.norm(dim=1) == pytest.approx(torch.ones(24), abs=1e-5)


def test_dead_features_are_revived(tmp_path, monkeypatch):
    """Started with a bias that keeps half of them silent for ever, unless they begin anew."""
    made = Learner.__init__

    def silent(self, *given):
        made(self, *given)
        self.parameters["encoder_bias"].data[:12] = -100

    monkeypatch.setattr(Learner, "__init__", silent)
    states, plan = world(), Plan(24, ACTIVE, steps=400, batch=256)
    revived = judged(learn(states, plan, 0, CPU, tmp_path), states).dead
    monkeypatch.setattr(Learner, "revive", lambda *_: None)
    assert judged(learn(states, plan, 0, CPU, tmp_path), states).dead >= 0.5
    assert revived < 0.4


def test_long_texts_are_read_in_pieces(monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 16)
    lm = LM.load((tiny_models.llama(), tiny_models.tokenizer()))
    whole = lm.tokenizer(TEXTS[0]["text"])["input_ids"]
    pieces = reading.read_pieces(lm, TEXTS[:1])
    assert sum(pieces, []) == whole  # noqa: RUF017
    assert [len(ids) for ids in pieces[:-1]] == [16] * (len(pieces) - 1)
    assert len(pieces) > 1


def test_moments():
    states = world(300)
    mean, scale = moments_of(states)
    left = (states - mean) * scale
    assert np.square(left).sum(axis=1).mean() == pytest.approx(24, rel=1e-4)
    with pytest.raises(LlmattrError, match="all tokens have the same activations there"):
        moments_of(np.ones((9, 4), dtype=np.float32))


@pytest.fixture
def tiny():
    return tiny_models.llama(), tiny_models.tokenizer()


class TestTrain:
    PLAN = Plan(40, 4, steps=30, batch=32)

    def test_a_folder_that_is_read_again_and_fits_the_model(self, tiny, tmp_path):
        found, quality = train(tiny, TEXTS, tmp_path / "one", Hook(1), self.PLAN)
        read = load_dictionary(tmp_path / "one")
        assert torch.equal(read.rows, found.rows)
        assert read.k == 4
        assert component_ablation(tiny, {"prompt": "It", "completion": " opened"}, parts="features", dictionary=read)
        config = json.loads((tmp_path / "one" / "cfg.json").read_text())
        assert config["metadata"]["hook_name"] == "blocks.1.hook_resid_post"
        assert config["metadata"]["quality"] == pytest.approx(vars(quality))
        assert quality.fvu < judged(baseline(found, "random"), self.held_out(tiny, quality.tokens)).fvu
        assert [path.name for path in tmp_path.iterdir()] == ["one"]
        tiny[0].lm_head.weight.data += 1
        with pytest.raises(LlmattrError, match="was learnt from another model"):
            component_ablation(tiny, {"prompt": "It", "completion": " opened"}, parts="features", dictionary=read)

    def held_out(self, tiny, tokens):
        model, tokenizer = tiny
        states = []
        for row in TEXTS:
            with torch.no_grad():
                hidden = model(torch.tensor([tokenizer(row["text"])["input_ids"]]), output_hidden_states=True)
            states.append(hidden.hidden_states[1][0, 1:])
        return torch.cat(states).numpy()[-tokens:]

    @pytest.mark.parametrize("when", ["reading", "learning"])
    def test_a_run_that_was_killed_ends_at_the_same_bits(self, tiny, tmp_path, monkeypatch, when):
        module, work = {"reading": (reading, "standing"), "learning": (Learner, "step")}[when]
        done, calls = getattr(module, work), iter(range(1000))
        monkeypatch.setattr(module, work, lambda *given: (next(calls), done(*given))[1])
        whole, _ = train(tiny, TEXTS, tmp_path / "whole", Hook(0, "mlp"), self.PLAN, tokens=400, seed=3)
        needed, calls = next(calls), iter(range(1000))
        for name in ("learning", "activations"):
            monkeypatch.setattr(f"llmattr.components.features.{name}.EVERY", 0.0)

        def killed(*given):
            if next(calls) == 7:
                raise KeyboardInterrupt
            return done(*given)

        monkeypatch.setattr(module, work, killed)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, TEXTS, tmp_path / "killed", Hook(0, "mlp"), self.PLAN, tokens=400, seed=3)
        (kept,) = tmp_path.glob(".killed*")
        assert (kept / "state.safetensors").exists() == (when == "learning")
        monkeypatch.setattr(module, work, lambda *given: (next(calls), done(*given))[1])
        again, _ = train(tiny, TEXTS, tmp_path / "killed", Hook(0, "mlp"), self.PLAN, tokens=400, seed=3)
        assert next(calls) == needed + 1  # the one that was killed is the only one that is done twice
        assert torch.equal(again.rows, whole.rows)
        assert torch.equal(again.encoder_bias, whole.encoder_bias)

    def test_a_run_in_another_type_does_not_go_on_with_it(self, tiny, tmp_path, monkeypatch):
        """Activations in float32 are kept of a run that was killed; one in bfloat16 reads its own."""
        with monkeypatch.context() as during:
            during.setattr(Learner, "step", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                train(tiny, TEXTS, tmp_path / "d", Hook(1), self.PLAN, tokens=400)
        half = (tiny_models.llama().to(torch.bfloat16), tiny[1])
        found, _ = train(half, TEXTS, tmp_path / "d", Hook(1), self.PLAN, tokens=400)
        wanted, _ = train(half, TEXTS, tmp_path / "fresh", Hook(1), self.PLAN, tokens=400)
        assert torch.equal(found.rows, wanted.rows)

    def test_another_run_does_not_go_on_with_it(self, tiny, tmp_path, monkeypatch):
        done = Learner.step
        monkeypatch.setattr(Learner, "step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tiny, TEXTS, tmp_path / "one", Hook(1), self.PLAN, seed=1)
        monkeypatch.setattr(Learner, "step", done)
        found, _ = train(tiny, TEXTS, tmp_path / "one", Hook(1), self.PLAN, seed=2)
        whole, _ = train(tiny, TEXTS, tmp_path / "two", Hook(1), self.PLAN, seed=2)
        assert torch.equal(found.rows, whole.rows)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"hook": Hook(2)}, "layer 2 is asked for, and the model has layers 0 to 1"),
            ({"plan": Plan(40, None)}, "sparse by k, the largest of a token, or by an l1 above 0"),
            ({"plan": Plan(40, 4, 1.0)}, "sparse by k, the largest of a token, or by an l1 above 0"),
            ({"plan": Plan(40, 41)}, "k must"),
            ({"data": [{"text": "It."}]}, "too few tokens"),
            ({"tokens": 3}, "tokens must"),
        ],
    )
    def test_one_line_for_what_is_wrong(self, tiny, tmp_path, change, message):
        given = {"data": TEXTS, "out": tmp_path / "one", "hook": Hook(1), "plan": self.PLAN, **change}
        with pytest.raises(LlmattrError, match=message):
            train(tiny, **given)
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_is_there(self, tiny, tmp_path):
        with pytest.raises(LlmattrError, match="it is there already, and a dictionary is saved as a new folder"):
            train(tiny, TEXTS, tmp_path, Hook(1), self.PLAN)


def test_baselines_are_directions_of_length_1_around_the_same_bias():
    like = autoencoder(1)
    for kind, many in (("random", 48), ("neurons", 64)):
        made = baseline(like, kind)
        assert made.rows.shape == (many, 32)
        assert made.rows.norm(dim=1) == pytest.approx(torch.ones(many).double())
        assert (made.encode(like.bias[None]) < 1e-12).all()
        assert made.hook == like.hook
    every = baseline(autoencoder(1, k=64, size=64), "neurons")
    x = torch.randn(5, 32, dtype=torch.float64)
    assert torch.allclose(every.decode(every.encode(x)), x)  # all numbers are all that there is
