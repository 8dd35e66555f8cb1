"""Conserving rules: what relevance adds up to, in every family; what published code for one family gives; what has no rule."""

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llama import modeling_llama

from llmattr.errors import LlmattrError
from llmattr.model import inside
from llmattr.model.conserving import Rules, conserving
from llmattr.model.lm import LM
from tests import tiny_models
from tests.tiny_models import SMALL

IDS = torch.tensor([[5, 61, 302, 7, 7, 118, 399, 23, 4, 88, 250, 31]])
FEW = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def neox():
    return GPTNeoXForCausalLM(GPTNeoXConfig(**FEW, intermediate_size=48, initializer_range=0.2, bos_token_id=0, eos_token_id=2))


def opt():
    sizes = {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.2, "max_position_embeddings": 64}
    return OPTForCausalLM(OPTConfig(**FEW, **sizes, pad_token_id=1))


def gemma2():
    sizes = {"head_dim": 8, "sliding_window": 8, "attn_logit_softcapping": 5.0}
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, **sizes, attn_implementation="eager"))  # 5.0's fused one leaves the cap out


FAMILIES = {  # and whether all of it computes in float64
    "llama": (tiny_models.llama, False),
    "gpt2": (tiny_models.gpt2, True),
    "opt": (opt, True),
    "neox": (neox, True),
    "gemma2": (gemma2, False),
    "qwen2": (lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)), False),
    "phi3": (lambda: Phi3ForCausalLM(Phi3Config(**SMALL)), False),
    "cohere": (lambda: CohereForCausalLM(CohereConfig(**SMALL)), False),
    "mixtral": (tiny_models.mixtral, False),
    "qwen_moe": (tiny_models.qwen_moe, False),
}


def relevances(model, rules, token=7):
    """Of each token for the last position's logit of one token, that logit, and whether all logits are the plain model's."""
    lm = LM(model, tiny_models.tokenizer(), "tiny")
    with torch.no_grad():
        plain = model(input_ids=IDS).logits
    with conserving(lm, rules) as within, inside.frozen(lm, IDS.shape[1], within), inside.embedded(lm, lambda x: x) as read:
        with within:
            logits = model(input_ids=IDS, use_cache=False).logits
        (gradient,) = torch.autograd.grad(logits[0, -1, token], read[0])
    return (gradient * read[0]).sum(dim=2)[0].detach(), logits[0, -1, token].item(), torch.equal(logits, plain)


def without_biases(model):
    """What biases and positions give belongs to no token."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "wpe" in name or "embed_positions" in name:
            torch.nn.init.zeros_(parameter)
    return model.eval()


class TestConservation:
    def test_all_tokens_add_up_to_the_logit(self):
        """A bias-free Llama in float64: only rounding is left, of numbers about 1."""
        found, logit, _ = relevances(tiny_models.double_llama(), "cp")
        assert found.sum().item() == pytest.approx(logit, abs=1e-10)
        assert found.abs().min() > 1e-6  # each has its part

    @pytest.mark.parametrize("family", FAMILIES)
    def test_in_every_family(self, family):
        make, double = FAMILIES[family]
        torch.manual_seed(0)
        model = without_biases(make())
        found, logit, same = relevances(model.double() if double else model, "cp")
        # Rounding of float32, in some hundred steps one behind the other.
        assert found.sum().item() == pytest.approx(logit, abs=1e-10 if double else 1e-5 * found.abs().sum().item())
        assert same

    @pytest.mark.parametrize("family", FAMILIES)
    def test_values_stay_to_the_bit(self, family):
        _, _, same = relevances(FAMILIES[family][0]().eval(), "attn")
        assert same

    def test_biases_have_a_part_of_their_own(self):
        model = without_biases(tiny_models.gpt2())
        torch.nn.init.normal_(model.transformer.h[0].mlp.c_proj.bias)
        found, logit, _ = relevances(model, "cp")
        assert abs(found.sum().item() - logit) > 0.01

    def test_a_norm_hides_what_passes_it(self):
        """x . d(w . norm(x)) / dx = 0 for any x and w: a norm makes vectors of any length alike. Relevance is w . norm(x)."""
        x, w = torch.randn(8, dtype=torch.float64, requires_grad=True), torch.randn(8, dtype=torch.float64)
        said = (torch.nn.functional.rms_norm(x, (8,), eps=0.0) * w).sum()
        (plain,) = torch.autograd.grad(said, x)
        with Rules("cp", "tiny"):
            again = (torch.nn.functional.rms_norm(x, (8,), eps=0.0) * w).sum()
        (ruled,) = torch.autograd.grad(again, x)
        assert (x * plain).sum().item() == pytest.approx(0, abs=1e-14)  # rounding
        assert (x * ruled).sum().item() == pytest.approx(said.item())


def published(monkeypatch, rules):
    """Llama as the published code of both rules changes it (lxt 2, `lxt.efficient`), class by class."""

    def norm(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).detach()

    def mlp(self, x):
        gate, up = self.gate_proj(x), self.up_proj(x)
        if rules == "cp":
            return self.down_proj(self.act_fn(gate.detach()) * up)
        weighed = gate * (self.act_fn(gate) / gate).detach() * up
        return self.down_proj(weighed / 2 + (weighed / 2).detach())

    def attention(module, query, key, value, mask, **options):
        def part(x, share):
            return x * share + (x * (1 - share)).detach()

        shares = (0, 0, 1) if rules == "cp" else (1 / 4, 1 / 4, 1 / 2)
        given = [part(x, share) for x, share in zip((query, key, value), shares, strict=True)]
        return sdpa_attention_forward(module, *given, mask, **options)

    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", norm)
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", mlp)
    monkeypatch.setitem(modeling_llama.ALL_ATTENTION_FUNCTIONS, "sdpa", attention)


@pytest.mark.parametrize("rules", ["cp", "attn"])
def test_as_published_code_for_one_family(rules, monkeypatch):
    found, _, _ = relevances(tiny_models.double_llama(), rules)
    published(monkeypatch, rules)
    model = tiny_models.llama().double()
    x = model.get_input_embeddings()(IDS).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs_embeds=x).logits[0, -1, 7], x)
    torch.testing.assert_close(found, (gradient * x).sum(dim=2)[0].detach(), rtol=0, atol=1e-10)  # rounding of numbers about 1


@pytest.mark.parametrize("rules", ["cp", "attn"])
def test_layers_run_again_have_the_same_rules(rules, monkeypatch):
    kept, _, _ = relevances(tiny_models.llama(), rules)
    monkeypatch.setattr(inside, "MAX_KEPT", 0)
    again, _, _ = relevances(tiny_models.llama(), rules)
    torch.testing.assert_close(again, kept)


class Mixing(torch.nn.Module):
    """Multiplies what it reads with itself."""

    def forward(self, x):
        return x @ (x.mT @ x)


def test_a_step_without_a_rule_is_refused():
    model = tiny_models.llama()
    model.model.layers[1].mlp = torch.nn.Sequential(Mixing(), torch.nn.Linear(32, 32))
    model.model.layers[1].mlp[0].weight = torch.nn.Parameter(torch.ones(1))  # else it would be an activation
    with pytest.raises(LlmattrError, match=r"tiny has a step \(matmul\) for which there is no conserving rule"):
        relevances(model, "cp")


def test_a_pass_that_is_killed_leaves_the_model_as_it_was():
    model = tiny_models.llama()

    def killed(_module, _given, _output):
        raise KeyboardInterrupt

    handle = model.model.layers[1].register_forward_hook(killed)
    lm = LM(model, tiny_models.tokenizer(), "tiny")
    with pytest.raises(KeyboardInterrupt), conserving(lm, "cp") as within, inside.frozen(lm, 12, within), within:
        model(input_ids=IDS)
    handle.remove()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.config._attn_implementation == "sdpa"
    assert all(parameter.requires_grad for parameter in model.parameters())
    x = torch.ones(2, requires_grad=True)
    torch.sigmoid(x).sum().backward()  # the rules are no more
    assert (x.grad > 0).all()
