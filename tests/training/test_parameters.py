"""Groups of parameters: the gradients of a head, of an embedding, and of all, and what is made of them."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from llmattr.errors import LlmattrError
from llmattr.model.batches import make_batch
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training import METHODS
from llmattr.training.gradients import passes
from llmattr.training.gradients.capture import exact_gradients, record
from llmattr.training.gradients.layers import group_of, in_and_out, tracked_layers, vocabulary_sides
from llmattr.training.gradients.moments import SquaredSums, scales
from llmattr.training.gradients.project import SIGNS, sparse_signs
from llmattr.training.gradients.recorders import Scaled
from llmattr.training.methods.preconditioned import Trak
from llmattr.training.methods.products import GradCos, GradDot
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, open_index, trace
from llmattr.training.vectors.fill import project
from llmattr.training.vectors.projector import Projector, load_fitted
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS, gemma2


def opt():
    """A model whose feed-forward layers see batch and tokens as one dimension."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=400, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
        word_embed_proj_dim=32, dropout=0.0, init_std=0.2, pad_token_id=0, bos_token_id=None, eos_token_id=2,
    )  # fmt: skip
    return OPTForCausalLM(config).eval()


MODELS = {
    "llama": tiny_models.llama,
    "gpt2": tiny_models.gpt2,
    "gemma2": gemma2,
    "t5": tiny_models.t5,
    "bert": tiny_models.bert,
    "opt": opt,
    "mixtral": tiny_models.mixtral,
    "qwen_moe": tiny_models.qwen_moe,
    "gpt_oss": tiny_models.gpt_oss,
}


ALSO = {  # what is not where every other layer is
    "gpt2": ["transformer.h.1.attn.c_attn.bias", "transformer.h.0.mlp.c_proj.bias"],
    "opt": ["model.decoder.layers.1.fc2", "model.decoder.layers.1.final_layer_norm.bias", "model.decoder.layers.0.fc1.bias"],
    "mixtral": ["model.layers.1.mlp.experts.gate_up_proj.3", "model.layers.1.mlp.experts.down_proj.0"],
    "qwen_moe": ["model.layers.0.mlp.experts.down_proj.15", "model.layers.0.self_attn.k_norm.weight"],
    "gpt_oss": ["model.layers.0.mlp.experts.gate_up_proj.0", "model.norm.weight", "model.layers.1.self_attn.q_proj.bias"],
}


@pytest.fixture(scope="module", params=MODELS)
def lm(request):
    """Untied; tied; tied, with capped logits; of an encoder and a decoder; masked; of three kinds of experts. In float64."""
    tokenizer = tiny_models.tokenizer()
    if request.param == "bert":
        tokenizer.add_special_tokens({"mask_token": "<|im_start|>"})
    model = MODELS[request.param]().double()
    if request.param in ("mixtral", "qwen_moe", "gpt_oss"):
        model.set_experts_implementation("eager")  # the grouped product knows no float64
    return LM(model, tokenizer, request.param)


def by_autograd(lm, examples, layers, measure):
    """One call an example, each parameter that layers are of a leaf, so that tied ones are told apart: the definition."""
    rows = []
    fixed = {
        f"{place}.{name}".lstrip("."): tensor.detach()
        for place, module in lm.model.named_modules()
        for name, tensor in module.named_parameters(recurse=False)
    }
    of = {name: f"{name}.weight" if f"{name}.weight" in fixed else name for name in layers}
    of = {name: place if place in fixed else place.rpartition(".")[0] for name, place in of.items()}  # a fused one
    for row in range(len(examples)):
        leaves = {place: fixed[place].clone().requires_grad_() for place in of.values()}
        batch = make_batch(lm, examples, [row])
        out = functional_call(lm.model, fixed | leaves, (), batch.inputs, tie_weights=False)
        chosen = out.logits[batch.at].log_softmax(-1).gather(1, batch.labels[:, None])
        value = -chosen if measure == "loss" else chosen - torch.log(-torch.expm1(chosen))
        found = dict(zip(leaves, torch.autograd.grad(value.sum(), list(leaves.values())), strict=True))
        rows.append(torch.cat([_as_layer(name, layer, found[of[name]]).flatten() for name, layer in layers.items()]))
    return torch.stack(rows)


def _as_layer(name, layer, gradient):
    """A layer's [i, o] of its parameter's gradient."""
    if gradient.dim() == 3:  # of experts, as [i, o] or [o, i], which are not the same number here
        part = gradient[int(name.rpartition(".")[2])]
        return part if part.shape == in_and_out(layer) else part.T
    return gradient.T if isinstance(layer, torch.nn.Linear) else gradient


@pytest.mark.parametrize("measure", ["loss", "margin"])
@pytest.mark.parametrize("parameters", ["head", "embedding", "norms", "all"])
def test_gradients_are_autograds(lm, parameters, measure):
    examples = tokenize(ROWS[:4], lm.tokenizer, model=lm.kind)
    layers = tracked_layers(lm, parameters)
    assert parameters != "all" or set(ALSO.get(lm.name, ())) <= layers.keys()
    expected = by_autograd(lm, examples, layers, measure)
    assert (expected.abs().sum(0) > 0).any()
    found = exact_gradients(lm, examples, layers, measure, batch=3)
    # The norms of T5 and Gemma compute in float32, also in a float64 model: there sums in another order differ by its rounding.
    rounding = 1e-4 if lm.name in ("llama", "gemma2", "t5") else 1e-10
    torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding * expected.abs().max().item())


def test_a_product_of_the_heads_gradients_is_one_of_hidden_states_and_doubts():
    """`sum_ab (h_a . h_b) ((p - y)_a . (p - y)_b)` over the counted places of both, of a tied head too."""
    lm = LM(tiny_models.gpt2().double(), tiny_models.tokenizer())
    examples = tokenize([ROWS[1], ASKED], lm.tokenizer)
    hidden, doubts = [], []
    for row in range(2):
        batch = make_batch(lm, examples, [row])
        with torch.no_grad():
            hidden.append(lm.model.base_model(**batch.inputs)[0][batch.at])
            p = lm.model.lm_head(hidden[-1]).softmax(-1)
        doubts.append(p - torch.nn.functional.one_hot(batch.labels, p.shape[1]))
    one, other = exact_gradients(lm, examples, tracked_layers(lm, "head"))
    expected = ((hidden[0] @ hidden[1].T) * (doubts[0] @ doubts[1].T)).sum()
    torch.testing.assert_close(one @ other, expected, rtol=1e-10, atol=0)


class TestGroups:
    def test_every_layer_is_of_one(self, lm):
        every = tracked_layers(lm, "all")
        parts = [tracked_layers(lm, group) for group in ("blocks", "head", "embedding", "norms")]
        assert list(every) == [name for part in parts for name in part]
        assert tracked_layers(lm, "head+embedding").keys() == parts[1].keys() | parts[2].keys()
        assert tracked_layers(lm, "auto").keys() == parts[1].keys()
        groups = set(group_of(lm, every).values())
        assert groups in ({"blocks", "head", "embedding"}, {"blocks", "tied"})
        assert len(vocabulary_sides(lm, every)) == (3 if lm.kind == "seq2seq" else 2)  # an encoder's and a decoder's embedding

    def test_names_are_looked_for_in_all_of_them(self):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        assert list(tracked_layers(lm, "head", "embed|0.*up_proj")) == ["model.layers.0.mlp.up_proj", "model.embed_tokens"]

    def test_what_there_is_not(self):
        lm, unknown = LM(tiny_models.llama(), tiny_models.tokenizer()), GradCos()
        object.__setattr__(unknown, "parameters", "heads")
        with pytest.raises(LlmattrError, match=r"parameters must be one of .*, not 'heads'"):
            trace(lm, ROWS, ASKED, unknown)
        lm.model.set_output_embeddings(torch.nn.Identity())
        with pytest.raises(LlmattrError, match="the model has no head that can be tracked: take other --parameters"):
            tracked_layers(lm, "head+embedding")

    def test_damping_is_refused_with_what_to_write(self):
        for name in ("trak", "logra", "trackstar"):
            with pytest.raises(LlmattrError, match=r"damping is ridge now, .*: write --ridge"):
                METHODS[name](damping=0.1)


class TestRows:
    """Rows of an index."""

    @pytest.mark.parametrize("parameters", ["head", "embedding", "all"])
    def test_with_room_for_everything_keep_everything(self, parameters):
        lm = LM(tiny_models.gpt2(), tiny_models.tokenizer())
        examples, layers = tokenize(ROWS[:6], lm.tokenizer), tracked_layers(lm, parameters)
        projector = Projector.fit(lm, Projection(dim=10**9, width=512), "", examples, parameters=parameters)
        rows = project(projector, examples, "loss")
        exact, start, products = exact_gradients(lm, examples, layers), 0, 0
        factors = scales("none", lm, examples, layers)
        for name, module in layers.items():
            size = module.weight.numel()
            part = exact[:, start : start + size].view(6, *in_and_out(module))
            part = (part * factors[f"{name}/out"] if factors else part).flatten(1)
            products, start = products + part @ part.T, start + size
        np.testing.assert_allclose(rows @ rows.T, products, rtol=1e-3, atol=1e-4 * products.abs().max())  # float32

    @pytest.mark.parametrize("parameters", ["head", "all"])
    def test_are_the_same_in_small_batches(self, monkeypatch, parameters):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        options = {"projection": Projection(dim=128, kind="random"), "row_type": "float32"}  # which nothing is fitted for
        whole = trace(lm, ROWS, ASKED, GradDot(parameters=parameters), **options).values
        monkeypatch.setattr(passes, "WIDE", 400 * 60)  # 60 tokens of 400 words: two rows
        assert max(map(len, passes.batches(lm.tokenize(ROWS), tracked_layers(lm, parameters)))) == 2
        small = trace(lm, ROWS, ASKED, GradDot(parameters=parameters), **options).values
        np.testing.assert_allclose(small, whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())  # float32

    def test_what_was_fitted_comes_back_as_it_was(self, tmp_path):
        """The tokens' signs are kept without the zeros between them."""
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        index = build_index(lm, ROWS, tmp_path / "i", GradCos(parameters="all"), projection=Projection(width=8)).index
        projector = Projector.fit(lm, Projection(width=8), "", lm.tokenize(ROWS), parameters="all")
        found = load_fitted(lm, index.folder)
        assert found.keys() == projector.fitted.keys()
        for name, tensor in projector.fitted.items():
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
        assert (index.folder / "fitted.safetensors").stat().st_size < 4 * sum(t.numel() for t in found.values())
        again = open_index(tmp_path / "i", lm).query(ROWS[3]).top(1)[0]
        assert again.id == "3"


class TestSparseSigns:
    def test_are_unbiased(self):
        """`E[Q Q'] = I`: of 400 draws the mean product of two rows is 0 within five standard errors, `1 / sqrt(400 w)`."""
        draws = [sparse_signs(30, 16, seed, "x") for seed in range(400)]
        assert all((one.square().sum(1) == 1).all() for one in draws)  # SIGNS places of 1 / SIGNS
        assert all(((one != 0).sum(1) == SIGNS).all() for one in draws)
        mean = torch.stack([one @ one.T for one in draws]).mean(0) - torch.eye(30)
        assert mean.abs().max() < 5 / (400 * 16) ** 0.5

    def test_with_room_they_are_exact(self):
        assert (sparse_signs(30, 32, 0, "x") == torch.eye(30)).all()


class TestScales:
    def test_groups_have_the_same_mean_square(self, lm):
        model = LM(lm.model.float(), lm.tokenizer, lm.name)
        try:
            examples, layers = tokenize(ROWS[:6], lm.tokenizer, model=lm.kind), tracked_layers(model, "all")
            recorder, groups = SquaredSums(), group_of(model, layers)
            record(model, examples, layers, Scaled(recorder, scales("none", model, examples, layers)), [range(6)])
            found = dict.fromkeys(groups.values(), 0.0)
            for name, group in groups.items():
                found[group] += float(recorder.sums[f"{name}/in"].sum()) / 6
            assert list(found.values()) == pytest.approx([1.0] * len(found), rel=1e-3)
        finally:
            lm.model.double()

    def test_one_group_is_left_as_it_is(self):
        lm = LM(tiny_models.gpt2(), tiny_models.tokenizer())
        for parameters in ("head", "blocks", "head+embedding"):  # tied: one matrix
            assert scales("none", lm, tokenize(ROWS[:3], lm.tokenizer), tracked_layers(lm, parameters)) == {}

    def test_a_tied_matrix_has_one_second_moment(self):
        lm = LM(tiny_models.gpt2(), tiny_models.tokenizer())
        found = scales("data", lm, tokenize(ROWS[:6], lm.tokenizer), tracked_layers(lm, "head+embedding"))
        torch.testing.assert_close(found["lm_head/out"], found["transformer.wte/in"])
        torch.testing.assert_close(found["lm_head/in"], found["transformer.wte/out"])
        assert found["lm_head/out"].max() <= found["lm_head/out"].median() * 1.001  # a word without gradients is not blown up


@pytest.mark.slow
@pytest.mark.parametrize("parameters", ["head", "embedding", "all"])
def test_a_row_finds_itself(lm, parameters):
    """Asked for a row, that row is first, by every kind of model."""
    model = LM(lm.model.float(), lm.tokenizer, lm.name)
    try:
        assert trace(model, ROWS, ROWS[3], GradCos(parameters=parameters)).top(1)[0].id == "3"
        assert np.isfinite(trace(model, ROWS, ROWS[3], Trak(parameters=parameters)).values).all()
    finally:
        lm.model.double()


class TestAdapters:
    """What an adapter has at the ends of a model: layers around a head and an embedding, or others in their places."""

    @pytest.fixture(params=["around", "instead"])
    def adapted(self, request, tmp_path):
        peft = pytest.importorskip("peft")
        ends = ["lm_head", "embed_tokens"]
        options = {"target_modules": ["q_proj", *ends]} if request.param == "around" else {"modules_to_save": ends}
        config = peft.LoraConfig(r=2, **{"target_modules": ["q_proj"], **options}, init_lora_weights=False)
        tiny_models.save(tmp_path / "base")
        base = type(tiny_models.llama()).from_pretrained(tmp_path / "base")
        model = peft.get_peft_model(base, config)
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.data.mul_(1.5)  # no longer what it was
        model.save_pretrained(tmp_path / "adapter")
        tiny_models.tokenizer().save_pretrained(tmp_path / "adapter")
        return request.param, tmp_path / "adapter"

    @pytest.mark.parametrize("parameters", ["auto", "head", "embedding", "all"])
    def test_gradients_are_autograds(self, adapted, parameters):
        lm = LM.load(adapted[1])
        lm.model.double()
        examples, layers = tokenize(ROWS[:4], lm.tokenizer), tracked_layers(lm, parameters)
        expected = by_autograd(lm, examples, layers, "loss")
        assert (expected.abs().sum(0) > 0).any()
        torch.testing.assert_close(exact_gradients(lm, examples, layers), expected, rtol=1e-10, atol=1e-10)

    @pytest.mark.slow
    @pytest.mark.parametrize("parameters", ["auto", "blocks", "head+embedding", "all"])
    def test_a_row_finds_itself_in_an_index_that_is_opened(self, adapted, tmp_path, parameters):
        for method in (GradCos(parameters=parameters), Trak(parameters=parameters)):
            made = build_index(adapted[1], ROWS, tmp_path / method.name, method)
            assert open_index(made.index.folder).query(ROWS[3]).top(1)[0].id == "3"

    def test_auto_takes_what_it_trained(self, adapted):
        kind, folder = adapted
        lm = LM.load(folder)
        groups = set(group_of(lm, tracked_layers(lm, "auto")).values())
        assert groups == ({"blocks"} if kind == "around" else {"blocks", "head", "embedding"})
        logits = "lm_head.lora_B.default/out" if kind == "around" else "lm_head.modules_to_save.default/out"
        assert logits in vocabulary_sides(lm, tracked_layers(lm, "auto"))


def test_an_index_of_a_model_without_a_head_is_opened(tmp_path):
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    lm.model.get_output_embeddings = lambda: None
    index = build_index(lm, ROWS, tmp_path / "i", GradCos(parameters="embedding")).index
    assert open_index(index.folder, lm).query(ROWS[3]).top(1)[0].id == "3"
