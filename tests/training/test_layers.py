"""Norms and fused experts as layers: what they are found by, that nothing else changes, and what is made of them."""

import re

import numpy as np
import pytest
import torch
from torch.func import functional_call

from llmattr.errors import LlmattrNote
from llmattr.model.batches import make_batch
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.experts import Unfused, unfused
from llmattr.training.gradients.flat import split
from llmattr.training.gradients.gauss_newton import GaussNewton
from llmattr.training.gradients.layers import group_of, named_layers, tracked_layers
from llmattr.training.gradients.moments import scales
from llmattr.training.gradients.norms import Vector, norm_layers
from llmattr.training.gradients.project import fit_bases
from llmattr.training.gradients.untracked import left_out, track
from llmattr.training.methods.influence import Ekfac, Stream
from llmattr.training.methods.preconditioned import TrackStar
from llmattr.training.methods.products import GradCos
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, open_index, trace
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS

EXPERTS = {"mixtral": tiny_models.mixtral, "qwen_moe": tiny_models.qwen_moe, "gpt_oss": tiny_models.gpt_oss}
FEW = r"layers\.1\.(post_attention_layernorm|mlp\.experts\.\w+\.2)"


@pytest.fixture(scope="module", params=EXPERTS)
def lm(request):
    return LM(EXPERTS[request.param](), tiny_models.tokenizer(), request.param)


def exact(model, padding_side="left"):
    """In float64, of which grouped products know nothing."""
    model.double().set_experts_implementation("eager")
    return LM(model, tiny_models.tokenizer(), padding_side=padding_side)


class TestUnfused:
    def test_says_what_the_model_says(self, lm):
        """By its own grouped products, to their rounding."""
        batch = make_batch(lm, tokenize(ROWS[:4], lm.tokenizer), range(4))
        names, experts = [name for name, _ in lm.model.named_parameters()], lm.model.get_submodule("model.layers.0.mlp.experts")
        with torch.no_grad():
            fused = lm.model(**batch.inputs).logits
            with unfused(lm.model), unfused(lm.model):
                assert "model.layers.0.mlp.experts.down_proj.3" in lm.linears()
                one_by_one = lm.model(**batch.inputs).logits
        torch.testing.assert_close(one_by_one, fused, rtol=1e-4, atol=1e-5 * fused.abs().max().item())
        assert lm.model.get_submodule("model.layers.0.mlp.experts") is experts
        assert [name for name, _ in lm.model.named_parameters()] == names
        assert not lm.model.get_input_embeddings()._forward_pre_hooks

    def test_is_left_after_an_error(self, lm):
        with pytest.raises(ZeroDivisionError), unfused(lm.model):
            raise ZeroDivisionError
        assert not any("experts" in name for name in lm.linears())

    def test_has_the_memory_of_the_model(self, lm):
        layer = tracked_layers(lm, pattern=r"0.*experts\.down_proj\.1")["model.layers.0.mlp.experts.down_proj.1"]
        fused = lm.model.get_parameter("model.layers.0.mlp.experts.down_proj")
        assert layer.weight.untyped_storage().data_ptr() == fused.untyped_storage().data_ptr()

    def test_experts_without_a_gate(self):
        """`sum over choices of weight * down relu(up x)`, of a token alone."""
        whole = torch.nn.Module()
        whole.up_proj, whole.down_proj = (torch.nn.Parameter(torch.randn(3, *shape)) for shape in ((5, 4), (4, 5)))
        whole.act_fn, whole.is_transposed, whole.has_bias, whole._apply_gate = torch.nn.ReLU(), False, False, torch.relu
        one, x, index, weights = Unfused(whole), torch.randn(6, 4), torch.tensor([[0, 2]] * 3 + [[2, 0]] * 3), torch.rand(6, 2)
        one.renew()
        one.examples = 2
        choices = [
            [weights[row, k] * (whole.down_proj[e] @ (whole.up_proj[e] @ x[row]).relu()) for k, e in enumerate(index[row])]
            for row in range(6)
        ]
        torch.testing.assert_close(one(x, index, weights), torch.stack([first + second for first, second in choices]))

    def test_what_says_something_else_stays_as_it_is(self, monkeypatch):
        model = tiny_models.mixtral()
        monkeypatch.setattr(type(model.model.layers[0].mlp.experts), "_apply_gate", lambda _, both: both.chunk(2, -1)[0])
        model.set_experts_implementation("eager")  # which has its own way to write the gate
        lm = LM(model, tiny_models.tokenizer())
        with pytest.warns(LlmattrNote, match=r"not tracked.*: model.layers.\*.mlp.experts \(53% of the parameters\)"):
            assert not any("experts" in name for name in track(lm))


@pytest.mark.parametrize("name", EXPERTS)
def test_gradients_do_not_depend_on_the_batch_and_its_padding(name):
    """But for the rounding of the norms, which compute in float32."""
    found = []
    for side, batch in (("left", 1), ("left", 4), ("right", 3)):
        lm = exact(EXPERTS[name](), side)
        examples = tokenize(ROWS[:4], lm.tokenizer)
        assert len({len(ids) for ids in examples.ids}) > 2
        found.append(exact_gradients(lm, examples, tracked_layers(lm, "all"), batch=batch))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=1e-6 * found[0].abs().max().item())


class Mean(torch.nn.Module):
    """Has one vector, and is no norm: it adds the vector's mean."""

    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(width))

    def forward(self, x):
        return x + self.weight.mean()


class TestNorms:
    def test_are_what_multiplies_and_adds_number_by_number(self):
        model = tiny_models.gpt2()
        model.transformer.h[0].ln_2 = Mean(32)
        found = norm_layers(LM(model, tiny_models.tokenizer()))
        assert sorted(name.removeprefix("transformer.") for name in found) == [
            "h.0.ln_1.bias", "h.0.ln_1.weight", "h.1.ln_1.bias", "h.1.ln_1.weight", "h.1.ln_2.bias", "h.1.ln_2.weight",
            "ln_f.bias", "ln_f.weight",
        ]  # fmt: skip

    def test_their_derivative_is_the_normalised_input(self):
        norm, x = torch.nn.LayerNorm(5, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
        expected = torch.nn.functional.layer_norm(x, (5,))
        torch.testing.assert_close(Vector(norm, "weight").derivative((x,), {}), expected, rtol=0, atol=1e-15)
        assert (Vector(norm, "bias").derivative((x,), {}) == 1).all()

    def test_are_of_all_and_of_nothing_else_that_has_no_norms_in_its_name(self):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        for parameters in ("blocks", "head", "embedding", "blocks+head", "head+embedding"):
            assert not any(isinstance(layer, Vector) for layer in tracked_layers(lm, parameters).values())
        both = tracked_layers(lm, "blocks+norms")
        assert sum(isinstance(layer, Vector) for layer in both.values()) == 5
        assert set(group_of(lm, both).values()) == {"blocks"}  # whose lengths they have: nothing is balanced
        assert scales("none", lm, tokenize(ROWS[:3], lm.tokenizer), both) == {}
        assert left_out(lm, tracked_layers(lm, "all")) == {}

    def test_of_an_adapter_are_those_that_it_saved(self):
        peft = pytest.importorskip("peft")
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["input_layernorm"], init_lora_weights=False)
        lm = LM(peft.get_peft_model(tiny_models.llama(), config), tiny_models.tokenizer())
        saved = [name for name, layer in tracked_layers(lm, "auto").items() if isinstance(layer, Vector)]
        assert [".".join(name.split(".")[-5:]) for name in saved] == [
            f"{layer}.input_layernorm.modules_to_save.default.weight" for layer in (0, 1)
        ]
        assert tracked_layers(lm, "norms").keys() == set(saved)
        assert left_out(lm, tracked_layers(lm, "auto")) == {}


class TestWhatIsMadeOfThem:
    @pytest.mark.slow
    def test_a_row_finds_itself_in_an_index_that_is_opened(self, lm, tmp_path):
        for method in (TrackStar(parameters="all"), Stream(product="cosine", parameters="blocks")):
            index = build_index(lm, ROWS, tmp_path / method.name, method).index
            names = index.run["layers"]
            assert any("experts" in name for name in names)
            assert named_layers(lm, names).keys() == set(names)
            assert open_index(index.folder, lm).query(ROWS[3]).top(1)[0].id == "3"

    def test_products_of_whole_gradients(self, lm):
        """As rows pass, with queries whole and cut to all their directions; and of eigenvectors there are as many as needed."""
        layers = tracked_layers(lm, "blocks+norms")
        rows, asked = (exact_gradients(lm, tokenize(given, lm.tokenizer), layers) for given in (ROWS[:5], [ASKED]))
        expected = (asked @ rows.T).numpy()
        for rank in (0, 96):
            found = trace(lm, ROWS[:5], ASKED, Stream(rank=rank, parameters="blocks+norms"))
            values = {score.id: score.score for score in found.top(5)}
            ordered = np.array([[values[str(row)] for row in range(5)]])
            np.testing.assert_allclose(ordered, expected, rtol=0, atol=1e-4 * np.abs(expected).max())  # float32
        for eigenvalues in ("corrected", "kronecker"):
            assert np.isfinite(
                trace(lm, ROWS[:5], ASKED, Ekfac(parameters="blocks+norms", eigenvalues=eigenvalues)).values
            ).all()

    def test_products_with_the_gauss_newton_matrix(self):
        """`J' H J v` by autograd of the fused model."""
        lm = exact(tiny_models.mixtral())
        examples, layers = tokenize(ROWS[:2], lm.tokenizer), tracked_layers(lm, pattern=FEW)
        assert len(layers) == 3
        v = torch.randn(1, sum(layer.weight.numel() for layer in layers.values()), dtype=torch.float64)
        parts, expected = {name: part[0] for name, part in split(v, layers).items()}, 0.0
        for row in range(2):
            batch = make_batch(lm, examples, [row])

            def logits(up, down, norm, batch=batch):
                given = dict(lm.model.named_parameters())
                for name, change in zip(layers, (up.T, down.T, norm[0]), strict=True):
                    place, _, expert = name.rpartition(".")
                    if expert == "2":
                        turned = torch.zeros_like(given[place]).index_put((torch.tensor([2]),), change[None])
                        given[place] = given[place].detach() + turned
                    else:
                        given[name] = given[name].detach() + change
                return functional_call(lm.model, given, (), batch.inputs).logits[batch.at]

            at = tuple(torch.zeros_like(part, requires_grad=True) for part in parts.values())
            said, pushed = torch.autograd.functional.jvp(logits, at, tuple(parts.values()))
            p = said.softmax(-1)
            curved = p * (pushed - (p * pushed).sum(-1, keepdim=True))
            pulled = torch.autograd.grad(logits(*at), at, curved)
            expected = expected + torch.cat([part.flatten() for part in pulled]) / 2
        found = GaussNewton(lm, examples, layers)(v)[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())  # norms in float32

    def test_an_expert_that_no_row_has_reached_gets_the_moments_of_the_others(self):
        lm = LM(tiny_models.qwen_moe(), tiny_models.tokenizer())
        layers, examples = tracked_layers(lm, pattern=r"layers\.0\.mlp\.experts\.down_proj"), tokenize(ROWS[:1], lm.tokenizer)
        reached = {n for n, g in split(exact_gradients(lm, examples, layers), layers).items() if g.any()}
        (unreached, *_) = sorted(layers.keys() - reached)
        found = scales("data", lm, examples, layers)
        most = max(found[f"{name}/{side}"].max() for name in reached for side in ("in", "out"))
        assert all(0 < found[f"{unreached}/{side}"].max() <= most for side in ("in", "out"))
        _, bases = fit_bases(lm, examples, layers, Projection(width=4), [range(1)])
        assert bases[f"{unreached}/out"].shape == (32, 4)

    def test_an_optimisers_moments(self, tmp_path):
        """Those of the fused parameter, as each layer has its part."""
        model = tiny_models.gpt_oss()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
        ids = torch.arange(5, 60)[None]
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        model.save_pretrained(tmp_path)
        tiny_models.tokenizer().save_pretrained(tmp_path)
        torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
        lm = LM.load(tmp_path)
        found = scales("optimizer", lm, tokenize(ROWS, lm.tokenizer), tracked_layers(lm, pattern=FEW))
        at, norm = "model.layers.1.mlp.experts.gate_up_proj", "model.layers.1.post_attention_layernorm.weight"
        squares = {name: optimizer.state[model.get_parameter(name)]["exp_avg_sq"] for name in (at, norm)}
        for name, square in {f"{at}.2": squares[at][2], norm: squares[norm][None]}.items():
            expected = (square.sum(1)[:, None] * square.sum(0) / square.sum()).rsqrt()
            torch.testing.assert_close(torch.outer(found[f"{name}/in"], found[f"{name}/out"]), expected, rtol=1e-4, atol=0)


class TestWhatIsNot:
    def test_is_named_with_its_share(self):
        """Convolutions and what a state space has, which are no layers."""
        from transformers import MambaConfig, MambaForCausalLM

        torch.manual_seed(0)
        config = MambaConfig(vocab_size=400, hidden_size=32, state_size=8, num_hidden_layers=2, pad_token_id=0)
        lm = LM(MambaForCausalLM(config).eval(), tiny_models.tokenizer())
        total = sum(parameter.numel() for parameter in lm.model.parameters())
        with pytest.warns(LlmattrNote, match=re.escape("not tracked")) as notes:
            left = left_out(lm, track(lm, "all"))
        mixer = lm.model.backbone.layers[0].mixer
        shares = {
            "backbone.layers.*.mixer.conv1d": sum(one.numel() for one in mixer.conv1d.parameters()),
            "backbone.layers.*.mixer": mixer.A_log.numel() + mixer.D.numel(),
        }
        for place, numbers in shares.items():
            assert left[place] == round(2 * numbers / total, 4)
            assert f"{place} ({left[place]:.0%} of the parameters)" in str(notes[0].message)
        assert trace(lm, ROWS, ROWS[3], GradCos(parameters="all")).top(1)[0].id == "3"
        assert np.isfinite(trace(lm, ROWS, ASKED, GradCos(parameters="norms")).values).all()
