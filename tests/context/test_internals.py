"""The context methods that look inside the model: gates, gradients, attention, learnt heads."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import BloomConfig, BloomForCausalLM, Gemma2Config, Gemma2ForCausalLM, MambaConfig, MambaForCausalLM

from llmattr import cite
from llmattr.ablation import random_masks
from llmattr.context.methods.at2 import At2, HeadWeights, fit, fit_at2, fit_heads, seen_features
from llmattr.context.methods.attention import Attention, attention_mass
from llmattr.context.methods.gradients import GradientInput, IntegratedGradients, gauss_legendre
from llmattr.context.methods.lrp import AttnLrp, CpLrp
from llmattr.context.methods.rollout import Rollout, rollout
from llmattr.context.methods.source_gates import SourceGates, gate_gradients, gated
from llmattr.context.removal.ablation import ContextAblation, values
from llmattr.core.sources import Targets
from llmattr.errors import LlmattrError
from llmattr.model import inside
from llmattr.model.attention import attending, own_attention
from llmattr.model.heads import heads_at_work
from llmattr.model.lm import LM
from llmattr.report.quality import fit_quality
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests import tiny_models
from tests.context.test_cite import ANSWER, CONTEXT

METHODS = [SourceGates(), GradientInput(), GradientInput("l2"), IntegratedGradients(2),
           IntegratedGradients(2, "pad"), IntegratedGradients(2, "mean"), CpLrp(), AttnLrp(), Attention(), Attention("length"),
           Attention("rollout"), Rollout(), Rollout("length"), At2(iterations=20)]  # fmt: skip


def ablation_of(lm, context=CONTEXT):
    chat = conversation(context, "When?")
    prompt = Prompt(lm.tokenizer, chat, cut(chat, "sentences")).with_response(ANSWER)
    return ContextAblation(lm, prompt, prompt.targets())


@pytest.fixture(scope="module")
def ablation(lm):
    return ablation_of(lm)


@pytest.fixture(scope="module")
def gpt2():
    """GPT-2 computes in float64 throughout; Llama's norms are float32 whatever its dtype, too coarse for finite differences."""
    return ablation_of(LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2"))


def gemma2(window):
    """Sliding windows in every other layer, soft caps on attention logits and logits."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, sliding_window=window, initializer_range=0.2, bos_token_id=None, eos_token_id=2, pad_token_id=0,
        attn_logit_softcapping=5.0,
    )  # fmt: skip
    return LM(Gemma2ForCausalLM(config).eval(), tiny_models.tokenizer(), "gemma2")


def f(ablation, gates):
    """The targets' log-odds with these gates."""
    with torch.no_grad(), gated(ablation, torch.tensor(gates)):
        log_odds = inside.response_log_odds(ablation.lm, ablation.prompt.full()).numpy()
    return values(-np.logaddexp(0, -log_odds)[None], ablation.prompt.response_tokens(ablation.targets.spans))[0]


def everything(ablation):
    return np.ones((1, len(ablation.sources)), dtype=bool)


class TestGates:
    def test_open_gates_are_the_plain_model(self, ablation):
        np.testing.assert_allclose(f(ablation, np.ones(5)), ablation(everything(ablation))[0], atol=1e-9)

    @pytest.mark.parametrize("window", [8, 4096])
    def test_open_gates_keep_windows_and_soft_caps(self, window):
        ablation = ablation_of(gemma2(window))
        found = f(ablation, np.ones(5, dtype=np.float32))
        np.testing.assert_allclose(found, ablation(everything(ablation))[0], rtol=1e-4)  # float32, 80 nats
        assert np.isfinite(gate_gradients(ablation, 0.5)).all()

    def test_gradients_are_finite_differences(self, gpt2):
        step, at = 1e-5, np.full(5, 0.4)
        differences = [(f(gpt2, at + step * e) - f(gpt2, at - step * e)) / (2 * step) for e in np.eye(5)]
        # Rounding gives 1e-14 x 80 nats / step, the third derivative step^2.
        np.testing.assert_allclose(gate_gradients(gpt2, 0.4), np.transpose(differences), atol=1e-6)

    def test_a_closed_gate_hides_the_sources_keys(self, gpt2):
        """Against a mask written out by hand: nobody outside sees the source."""
        full = gpt2.prompt.full()
        owner = inside.source_of(full)
        seen = np.tri(len(owner), dtype=bool) & ~((owner[None] == 1) & (owner[:, None] != 1))
        mask = torch.tensor(np.where(seen, 0.0, -np.inf))[None, None]
        with torch.no_grad():
            logits = gpt2.lm.model(input_ids=torch.tensor([full.ids]), attention_mask=mask).logits[0].log_softmax(-1)
        said = range(full.response.start, full.response.stop)
        logprobs = np.array([[logits[k - 1, full.ids[k]] for k in said]])
        hidden = values(logprobs, gpt2.prompt.response_tokens(gpt2.targets.spans))[0]
        gates = np.ones(5)
        gates[1] = 1e-300
        np.testing.assert_allclose(f(gpt2, gates), hidden, atol=1e-9)

    def test_they_add_up_to_all_gates_opening(self, gpt2):
        whole = f(gpt2, np.ones(5)) - f(gpt2, np.full(5, 1e-12))
        errors = [np.abs(SourceGates(k).attribute(gpt2).values.sum(axis=1) - whole).max() for k in (2, 4, 8, 16)]
        assert errors[2] < errors[1] / 5 < errors[0] / 25  # Gauss-Legendre converges faster than any power of k
        assert errors[3] < 1e-3 * np.abs(whole).max()

    def test_they_predict_the_whole_prompt(self, gpt2):
        result = SourceGates().attribute(gpt2)
        np.testing.assert_allclose(result.predict(everything(gpt2)), gpt2(everything(gpt2)))

    def test_points(self):
        """k points integrate polynomials up to degree 2k - 1 exactly."""
        points, shares = np.transpose(gauss_legendre(3))
        np.testing.assert_allclose([(shares * points**d).sum() for d in range(6)], [1 / (d + 1) for d in range(6)])


class TestTargetGradients:
    def test_targets_alone_and_together(self, ablation):
        """The response is its sentences' sum: sharing backward passes changes nothing."""
        together = gate_gradients(ablation, 0.5)
        for row, target in zip(together, ablation.targets.texts, strict=True):
            start = ANSWER.find(target)
            alone = ablation.of(Targets([target], np.array([[start, start + len(target)]])))
            np.testing.assert_allclose(gate_gradients(alone, 0.5)[0], row, rtol=1e-5, atol=1e-8)

    def test_white_space_between_sentences_is_one_part(self):
        member = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]], dtype=bool)
        parts, shares = inside._parts(member)
        assert len(parts) == 4
        np.testing.assert_array_equal(shares @ parts, member)

    def test_logprob(self, ablation):
        """d log p = (1 - p) d logit p."""
        logprob = ablation.of(Targets(ablation.targets.texts, ablation.targets.spans, "logprob"))
        lp = np.log(1 / (1 + np.exp(-f(ablation, np.full(5, 0.5)))))
        np.testing.assert_allclose(
            gate_gradients(logprob, 0.5), gate_gradients(ablation, 0.5) * -np.expm1(lp)[:, None], rtol=1e-6
        )

    def test_sure_tokens_keep_their_digits(self):
        """f of a span with odds of 80 nats a token: `df = sum_k (1 - p_k) / (1 - P) d odds_k`, each share 1/2."""
        odds = torch.tensor([80.0, 80.0], requires_grad=True)
        ablation = SimpleNamespace(targets=Targets(["x"]), target_tokens=np.array([[0, 2]]))
        found = inside.target_gradients(odds, ablation.target_tokens, ablation.targets.measure, odds, lambda gradient: gradient)
        np.testing.assert_allclose(found, [[0.5, 0.5]], rtol=1e-6)

    def test_layers_run_again_give_the_same(self, ablation, monkeypatch):
        plain = SourceGates().attribute(ablation).values
        monkeypatch.setattr(inside, "MAX_KEPT", 0)
        np.testing.assert_allclose(SourceGates().attribute(ablation).values, plain, rtol=1e-6, atol=1e-9)
        monkeypatch.undo()
        np.testing.assert_array_equal(SourceGates().attribute(ablation).values, plain)


class TestInputGradients:
    def test_completeness(self, gpt2):
        """The sum of the scores tends to f(all) - f(blank)."""
        full, owner = gpt2.prompt.full(), inside.source_of(gpt2.prompt.full())
        of_sources = torch.tensor(owner >= 0)[:, None]
        with torch.no_grad(), inside.embedded(gpt2.lm, lambda x: torch.where(of_sources, 0.0, x)):
            log_odds = inside.response_log_odds(gpt2.lm, full).numpy()
        blank = values(-np.logaddexp(0, -log_odds)[None], gpt2.prompt.response_tokens(gpt2.targets.spans))[0]
        change = gpt2(everything(gpt2))[0] - blank
        errors = [np.abs(IntegratedGradients(k).attribute(gpt2).values.sum(axis=1) - change).max() for k in (2, 8, 32)]
        found = IntegratedGradients(8).attribute(gpt2)
        np.testing.assert_allclose(found.details["gap"], change - found.values.sum(axis=1), atol=1e-9)
        assert f"The scores lack {np.abs(found.details['gap']).max():.2g} nats at most" in "".join(fit_quality(found))
        # A small random model jumps near 0, where layer norm makes a direction of any length alike; then it converges.
        assert errors[2] < 0.02 * np.abs(change).max()
        assert errors[2] < errors[1] < errors[0]

    @pytest.mark.slow
    def test_more_steps_leave_less(self):
        """On a Llama in float64; the whole change is tens of nats."""
        ablation = ablation_of(LM(tiny_models.double_llama(), tiny_models.tokenizer(), "tiny"))
        methods = [IntegratedGradients(steps, rule="gauss-legendre") for steps in (16, 64, 256)]
        gaps = [np.abs(method.attribute(ablation).details["gap"]).max() for method in methods]
        assert gaps[0] > gaps[1] > gaps[2]
        assert gaps[2] < 1e-5

    @pytest.mark.parametrize("blank", ["zero", "mean", "pad"])
    def test_every_blank_has_its_own_whole(self, gpt2, blank):
        """What the gap is measured from: the model's own pass over the blank."""
        method = IntegratedGradients(1, blank)
        table = gpt2.lm.model.get_input_embeddings().weight
        x = {"zero": torch.zeros(32), "mean": table.mean(dim=0), "pad": table[gpt2.lm.pad_id]}[blank].double()
        of_sources = torch.tensor(inside.source_of(gpt2.prompt.full()) >= 0)[:, None]
        with torch.no_grad(), inside.embedded(gpt2.lm, lambda read: torch.where(of_sources, x, read)):
            log_odds = inside.response_log_odds(gpt2.lm, gpt2.prompt.full()).numpy()
        expected = values(-np.logaddexp(0, -log_odds)[None], gpt2.target_tokens)[0]
        np.testing.assert_allclose(method.of_blank(gpt2), expected, rtol=1e-12)

    def test_shares_of_a_product_and_of_a_sum(self):
        """f = xy on the way from 0 gives x and y a half each; of a linear f any number of points gives w (x - x')."""
        x, start, w = np.array([2.0, 3.0]), np.array([-1.0, 0.5]), np.array([0.7, -1.1])
        for rule in ("midpoint", "gauss-legendre"):
            halves = sum(share * x * (point * x[::-1]) for point, share in IntegratedGradients(2, rule=rule).path())
            np.testing.assert_allclose(halves, [3, 3], atol=1e-10)
            for steps in (1, 2, 7):
                linear = sum(share * w * (x - start) for _, share in IntegratedGradients(steps, rule=rule).path())
                np.testing.assert_allclose(linear, w * (x - start), atol=1e-10)

    def test_gradient_input_is_a_finite_difference(self, gpt2):
        """x . df/dx of a source is the derivative of f by that source's scale, at 1."""
        full, owner, step = gpt2.prompt.full(), inside.source_of(gpt2.prompt.full()), 1e-5

        def scaled(source, scale):
            factor = torch.tensor(np.where(owner == source, scale, 1.0))[:, None]
            with torch.no_grad(), inside.embedded(gpt2.lm, lambda x: x * factor):
                log_odds = inside.response_log_odds(gpt2.lm, full).numpy()
            return values(-np.logaddexp(0, -log_odds)[None], gpt2.prompt.response_tokens(gpt2.targets.spans))[0]

        differences = [(scaled(i, 1 + step) - scaled(i, 1 - step)) / (2 * step) for i in range(5)]
        np.testing.assert_allclose(GradientInput().attribute(gpt2).values, np.transpose(differences), atol=1e-6)

    def test_the_norm_bounds_every_direction(self, ablation):
        """|x . g| <= |x| |g| (Cauchy-Schwarz), source by source."""
        full = ablation.prompt.full()
        x = ablation.lm.model.get_input_embeddings()(torch.tensor(full.ids)).detach()
        size = inside.per_source((x**2).sum(dim=1), full).sqrt().numpy()
        dot, norm = GradientInput().attribute(ablation), GradientInput("l2").attribute(ablation)
        assert (np.abs(dot.values) <= norm.values * size + 1e-9).all()
        assert not norm.can_cite
        assert dot.can_cite


def attention_of(ablation):
    """Every layer's attention [l, h, s, s] as transformers gives it."""
    model, before = ablation.lm.model, ablation.lm.model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ablation.prompt.full().ids]), output_attentions=True).attentions
    model.set_attn_implementation(before)
    return np.stack([layer[0].double().numpy() for layer in found])


@pytest.fixture(scope="module")
def weights(ablation):
    return attention_of(ablation)


class TestAttention:
    def rows(self, ablation):
        full = ablation.prompt.full()
        return [slice(full.response.start + a - 1, full.response.start + b - 1) for a, b in
                ablation.prompt.response_tokens(ablation.targets.spans)]  # fmt: skip

    def test_mass_is_what_transformers_gives(self, ablation, weights, monkeypatch):
        monkeypatch.setattr(inside, "ROWS", 3)
        mass = attention_mass(ablation)
        for t, rows in enumerate(self.rows(ablation)):
            for i, (first, last) in enumerate(ablation.prompt.full().sources):
                expected = weights[:, :, rows, first:last].sum(axis=3).mean(axis=2)
                np.testing.assert_allclose(mass[t, i], expected, atol=1e-6)  # Llama's softmax is float32
        np.testing.assert_allclose(Attention().attribute(ablation).values, mass.mean(axis=(2, 3)))

    def test_rollout_is_the_product(self, ablation, weights):
        product = np.eye(weights.shape[2])
        for layer in weights.mean(axis=1):
            product = (layer + np.eye(len(layer))) / 2 @ product
        found = rollout(ablation)
        for t, rows in enumerate(self.rows(ablation)):
            for i, (first, last) in enumerate(ablation.prompt.full().sources):
                np.testing.assert_allclose(found[t, i], product[rows, first:last].sum(axis=1).mean(), atol=1e-6)

    def test_nothing_is_cited(self, ablation):
        result = Attention().attribute(ablation)
        assert (result.unit, result.baseline, result.cited.any()) == ("attention", None, False)


def heads_of(model, ids):
    """What each head of a Llama carries from each token [l, h, s, d], and what each layer reads [l, s, d], written out."""
    with torch.no_grad():
        read = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[:-1]
        carried = []
        for x, layer in zip(read, model.model.layers, strict=True):
            attention = layer.self_attn
            values = attention.v_proj(layer.input_layernorm(x))[0].view(len(ids), 2, 8)
            written = attention.o_proj.weight.view(32, 4, 8)
            carried.append(torch.einsum("shk,dhk->hsd", values.repeat_interleave(2, dim=1), written))
    return torch.stack(carried).double().numpy(), torch.cat(read).double().numpy()


@pytest.fixture(scope="module")
def llama():
    """The ablation, each layer's attention, and what its heads carry and what it reads."""
    ablation = ablation_of(LM(tiny_models.llama(), tiny_models.tokenizer(), "tiny"))
    return ablation, attention_of(ablation), *heads_of(ablation.lm.model, ablation.prompt.full().ids)


class TestRollout:
    def product(self, layers, ablation):
        """The rows of `prod_l M_l` that the targets' tokens are predicted at, summed over sources' tokens."""
        flow = np.eye(layers[0].shape[1])
        for layer in layers:
            flow = layer / layer.sum(axis=1, keepdims=True) @ flow
        full = ablation.prompt.full()
        rows = [flow[full.response.start + a - 1 : full.response.start + b - 1] for a, b in ablation.target_tokens]
        return [[row[:, first:last].sum(axis=1).mean() for first, last in full.sources] for row in rows]

    def test_by_lengths(self, llama):
        ablation, weights, carried, read = llama
        lengths = np.linalg.norm(carried, axis=-1)
        passed = np.einsum("lhij,lhj->lij", weights, lengths)
        layers = [each + np.diag(np.linalg.norm(x, axis=1)) for each, x in zip(passed, read, strict=True)]
        found = Rollout("length").attribute(ablation).values
        np.testing.assert_allclose(found, self.product(layers, ablation), atol=1e-6)  # Llama's softmax is float32
        mass = passed.mean(axis=0)
        full = ablation.prompt.full()
        rows = [mass[full.response.start + a - 1 : full.response.start + b - 1] for a, b in ablation.target_tokens]
        expected = [[row[:, first:last].sum(axis=1).mean() for first, last in full.sources] for row in rows]
        np.testing.assert_allclose(Attention("length").attribute(ablation).values, expected, rtol=1e-5)

    def test_by_projections(self, llama):
        (ablation, *parts), layers = llama, []
        for attention, carried, x in zip(*parts, strict=True):
            each = np.einsum("hij,hjd->ijd", attention, carried)
            met = each.sum(axis=1) + x
            layers.append(np.einsum("ijd,id->ij", each, met).clip(0) + np.diag((x * met).sum(axis=1).clip(0)))
        found = Rollout().attribute(ablation).values
        np.testing.assert_allclose(found, self.product(layers, ablation), atol=1e-6)

    def test_a_few_rows_at_a_time(self, ablation, monkeypatch):
        whole = Rollout().attribute(ablation).values
        monkeypatch.setattr(inside, "ROWS", 3)
        np.testing.assert_allclose(Rollout().attribute(ablation).values, whole, atol=1e-6)

    def test_windows_and_soft_caps(self):
        """Layer by layer what transformers gives: each layer reads what the one before it wrote, block by block."""
        ablation = ablation_of(gemma2(8))
        means = attention_of(ablation).mean(axis=1)
        expected = self.product([mean + np.eye(len(mean)) for mean in means], ablation)
        np.testing.assert_allclose(rollout(ablation), expected, atol=1e-6)

    @pytest.mark.parametrize("by", ["projection", "length"])
    def test_heads_that_carry_nothing_count_nothing(self, by):
        """However much attention there is: values of 0 leave every token what it was; the response has nothing of sources."""
        model = tiny_models.llama()
        for layer in model.model.layers:
            torch.nn.init.zeros_(layer.self_attn.v_proj.weight)
        ablation = ablation_of(LM(model, tiny_models.tokenizer(), "tiny"))
        assert (Rollout(by).attribute(ablation).values == 0).all()
        assert (Attention("length").attribute(ablation).values == 0).all()
        assert (Attention().attribute(ablation).values > 0).all()

    def test_they_are_shares(self, ablation):
        for by in ("projection", "length"):
            found = Rollout(by).attribute(ablation)
            assert (found.values > 0).all()
            assert (found.values.sum(axis=1) <= 1).all()
            assert not found.can_cite

    def test_output_matrices_of_another_kind(self, gpt2):
        """GPT-2's stand the other way round and have biases."""
        seen = []

        def attend(module, query, key, value, mask, **options):
            output = own_attention(module, query, key, value, mask, **options)
            heads = at(value, query.shape[1])
            written = torch.einsum("shk,hkd->sd", output[0][0], heads.written) + module.c_proj.bias
            seen.append(torch.allclose(written, module.c_proj(output[0].flatten(2))[0]))
            return output

        with heads_at_work(gpt2.lm) as at, torch.no_grad(), attending(gpt2.lm, attend):
            gpt2.lm.model(input_ids=torch.tensor([gpt2.prompt.full().ids]))
        assert seen == [True, True]


class TestAt2:
    def test_the_planted_head_is_found(self):
        """Outputs that follow one head's attention exactly: the other 15 heads look anywhere."""
        rng = np.random.default_rng(0)
        mass = rng.dirichlet(np.ones(10), size=(20, 16)).transpose(0, 2, 1)  # [e, n, f]: a head's shares over 10 sources
        masks = random_masks(32, 10)
        features = np.stack([seen_features(masks, example) for example in mass])
        outputs = 3.0 * masks @ mass[:, :, 5].T - 7.0
        weights = fit_heads(features, outputs.T, iterations=400)
        assert np.abs(weights).sum() == pytest.approx(1)
        assert weights[5] > 0.8
        assert weights.argmax() == 5

    def test_the_whole_fit_finds_it_too(self, tiny):
        """The model's own attention, and outputs that follow head (1, 2) of it."""

        class Planted(ContextAblation):
            def __call__(self, masks):
                return 5.0 * masks @ attention_mass(self)[:, :, 1, 2].T - 3.0

        contexts = [". ".join(np.roll(CONTEXT.rstrip(".").split(". "), k)) + "." for k in range(5)]
        plain = [ablation_of(tiny, context) for context in contexts]
        heads = fit_at2([Planted(a.lm, a.prompt, a.targets) for a in plain], iterations=400)
        assert np.unravel_index(heads.weights.argmax(), heads.weights.shape) == (1, 2)
        assert heads.weights[1, 2] > 0.5
        mass = attention_mass(plain[0])
        found = (mass * heads.weights).sum(axis=(2, 3))
        assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(found, mass[:, :, 1, 2], strict=True)) > 0.95

    def test_saved_loaded_used(self, tiny, ablation, tmp_path):
        rows = [{"context": CONTEXT, "query": "When?", "response": ANSWER}, {"context": "One. Two.", "query": "What?"}]
        with pytest.warns(UserWarning, match="cut off"):
            heads = fit(tiny, rows, n_ablations=4, iterations=5, max_new_tokens=4)
        path = heads.save(tmp_path / "heads.json")
        assert json.loads(path.read_text())["fit"]["prompts"] == 2
        np.testing.assert_array_equal(HeadWeights.load(path).weights, heads.weights)
        result = At2(str(path)).attribute(ablation_of(tiny))
        assert result.run["forward_passes"] == 1  # its own, in which it sees the attention
        mass = attention_mass(ablation_of(tiny))
        np.testing.assert_allclose(result.values, (mass * heads.weights).sum(axis=(2, 3)))

    def test_bad_files_and_rows(self, tiny, tmp_path):
        (tmp_path / "a.json").write_text("{}")
        HeadWeights(np.ones((3, 3)) / 9, "other").save(tmp_path / "b.json")
        for name, message in (("a.json", "no head weights"), ("b.json", r"\(3, 3\).*fit them for"), ("c.json", "cannot read")):
            with pytest.raises(LlmattrError, match=message):
                cite(tiny, CONTEXT, "When?", response=ANSWER, method=At2(str(tmp_path / name)))
        with pytest.raises(LlmattrError, match="row 1 has the fields text"):
            fit(tiny, [{"text": "a"}])
        with pytest.raises(LlmattrError, match="nothing to fit"):
            fit_at2([])
        with pytest.raises(LlmattrError, match="no ablation changes"):
            fit_heads(np.ones((1, 3, 2)), np.ones((1, 3)))


@pytest.mark.parametrize("method", METHODS[:-1], ids=str)  # the last fits its heads on ablations, many in one row of tokens
def test_every_pass_over_the_prompt_is_counted(tiny, method):
    ablation, lengths = ablation_of(tiny), []

    def look(_model, _args, options):
        lengths.extend([options["input_ids"].shape[1]] * len(options["input_ids"]))

    hook = tiny.model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        run = method.attribute(ablation).run
    finally:
        hook.remove()
    assert run["forward_passes"] == lengths.count(len(ablation.located().ids)) > 0


@pytest.mark.parametrize("method", METHODS, ids=str)
class TestAll:
    def test_the_model_is_left_as_it_was(self, ablation, method):
        model = ablation.lm.model
        learning = [parameter.requires_grad for parameter in model.parameters()]
        hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
        for implementation in ("sdpa", "eager"):
            model.set_attn_implementation(implementation)
            method.attribute(ablation)
            assert model.config._attn_implementation == implementation
        model.set_attn_implementation("sdpa")
        assert [parameter.requires_grad for parameter in model.parameters()] == learning
        assert all(parameter.grad is None for parameter in model.parameters())
        assert [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()] == hooks

    def test_a_source_without_tokens_scores_nothing(self, ablation, method):
        class Lost(Prompt):
            def render(self, mask):
                done = super().render(mask)
                return done._replace(sources=done.sources * (np.arange(5) != 2)[:, None])

        lost = Lost(**{name: getattr(ablation.prompt, name) for name in Prompt.__dataclass_fields__})
        values = method.attribute(ContextAblation(ablation.lm, lost, ablation.targets)).values
        assert (values[:, 2] == 0).all()
        assert (values[:, [0, 1, 3, 4]] != 0).all()

    def test_bfloat16(self, method):
        lm = LM(tiny_models.llama().bfloat16(), tiny_models.tokenizer(), "half")
        assert np.isfinite(method.attribute(ablation_of(lm)).values).all()


@pytest.mark.parametrize("method", [SourceGates(), Attention(), Attention("rollout")], ids=str)
def test_a_model_whose_attention_cannot_be_reached(method):
    """BLOOM adds its own bias for positions and takes no other attention; Mamba has none."""
    bloom = BloomForCausalLM(BloomConfig(vocab_size=400, hidden_size=32, n_layer=1, n_head=2))
    mamba = MambaForCausalLM(MambaConfig(vocab_size=400, hidden_size=32, num_hidden_layers=1))
    for name, model in (("bloom", bloom), ("mamba", mamba)):
        lm = LM(model.eval(), tiny_models.tokenizer(), name)
        with pytest.raises(LlmattrError, match=f"the attention of {name} cannot be reached: use context-cite"):
            method.attribute(ablation_of(lm))
        with pytest.raises(LlmattrError, match=f"the attention of {name} cannot be reached"):
            Rollout().attribute(ablation_of(lm))
        with pytest.raises(LlmattrError, match=f"{name} cannot be reached|{name} has a step .matmul. for which there is no"):
            CpLrp().attribute(ablation_of(lm))
        assert np.isfinite(GradientInput().attribute(ablation_of(lm)).values).all()


@pytest.mark.slow
def test_gates_foretell_removals_of_a_real_model(smollm2):
    """The rank correlation with 24 random removals: far above what random scores reach (a deviation of 1 / sqrt(23) = .21)."""
    chat = conversation(tiny_models.CORPUS, "Who runs the Panama Canal today?")
    prompt = Prompt(smollm2.tokenizer, chat, cut(chat, "sentences"))
    prompt = prompt.with_generated(smollm2.generate(prompt.full().ids))
    ablation = ContextAblation(smollm2, prompt, prompt.targets()[:1])
    masks = random_masks(24, len(prompt.sources), seed=7)
    result = SourceGates().attribute(ablation)
    assert "Authority" in result.top(1)[0].text
    assert spearmanr(masks @ result.values[0], ablation(masks)[:, 0]).statistic > 0.6


class NoPlaces(Prompt):
    """As a slow tokenizer makes it: tokens without their characters."""

    def render(self, mask):
        done = super().render(mask)
        return done._replace(sources=np.zeros_like(done.sources))


@pytest.mark.parametrize("name", ["source-gates", "integrated-gradients", "gradient-input", "attention", "ridge"])
def test_a_tokenizer_that_says_no_places_is_refused(tiny, name):
    """Without offsets no source is found among the tokens; all scores would silently be 0."""
    from llmattr.context import METHODS

    known = ablation_of(tiny)
    prompt = NoPlaces(**{field.name: getattr(known.prompt, field.name) for field in dataclasses.fields(Prompt)})
    ablation = ContextAblation(tiny, prompt, known.targets)
    method = METHODS[name](prior="hidden", n_ablations=4) if name == "ridge" else METHODS[name]()
    with pytest.raises(LlmattrError, match="does not say which characters its tokens have"):
        method.attribute(ablation)


def test_a_source_that_a_template_rewrites_inside_is_not_looked_into():
    """It begins where it should, and ends where another one stands."""
    without = tiny_models.CHATML.replace("m['content']", "m['content'] | replace('Rome', '')")
    lm = LM(tiny_models.llama(), tiny_models.tokenizer(without), "tiny")
    with pytest.raises(LlmattrError, match="1 sources are not found among the tokens, the first is 'Rome and Rome are big"):
        cite(lm, "It is old. Rome and Rome are big. It is far.", "Where?", response="There.", method="attention")


def test_sources_that_a_template_rewrites_are_not_looked_into():
    """Half a prompt's sources without tokens would be half a prompt's scores of 0."""
    longer = tiny_models.CHATML.replace("m['content']", "(m['content'] if loop.last else m['content'].split(' ')[-1])")
    lm = LM(tiny_models.llama(), tiny_models.tokenizer(longer), "tiny")
    chat = [{"role": "user", "content": "It is long. It"}, {"role": "user", "content": "How long?"}]
    with pytest.raises(LlmattrError, match=r"1 sources are not found among the tokens, the first is 'It is long\.'"):
        cite(lm, messages=chat, response="Long.", method="attention")
