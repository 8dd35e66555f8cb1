"""The prefix tree gives the plain path's numbers, with fewer tokens."""

import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from llmattr.errors import LlmattrNote
from llmattr.model import prefix_tree, scoring
from llmattr.model.lm import LM
from llmattr.text.prompt import Rendered
from tests import tiny_models


def ablated(m=20, n=8, seed=0):
    """Requests as ablations make them: a header, some of n parts of 5 tokens, a footer, the same response."""
    rng = np.random.default_rng(seed)
    header, footer, response = ([*rng.integers(3, 300, size=k)] for k in (6, 4, 7))
    parts = rng.integers(3, 300, size=(n, 5))
    made = []
    for mask in rng.random((m, n)) < 0.5:
        prompt = [*header, *parts[mask].ravel(), *footer]
        made.append(request(prompt, response))
    return made


def request(prompt, response):
    ids = [int(token) for token in (*prompt, *response)]
    return Rendered(ids, slice(len(prompt), len(ids)), np.zeros((0, 2), dtype=int))


def both(lm, requests):
    """Scores by the tree and by the plain path."""
    return [dataclasses.replace(lm, share_prefixes=share).logprobs(requests) for share in (True, False)]


def assert_same(lm, requests, atol=1e-10):
    for one, other in zip(*both(lm, requests), strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


@pytest.mark.parametrize("max_batch_tokens", [1, 40, 10_000])
def test_the_tree_gives_the_plain_numbers(lm, max_batch_tokens):
    assert scoring.shares_prefixes(lm, 100)
    assert_same(dataclasses.replace(lm, max_batch_tokens=max_batch_tokens), ablated())  # float64 all the way


@given(
    st.lists(
        st.tuples(st.lists(st.integers(5, 7), min_size=1, max_size=6), st.lists(st.integers(5, 7), min_size=1, max_size=4))
    )
)
@settings(max_examples=60, deadline=None)
def test_any_requests(drawn):
    """Three tokens only: equal requests, a prompt that begins another, a response that goes on like another's prompt."""
    lm = LM(TINY, tiny_models.tokenizer(), "tiny", max_batch_tokens=12)
    assert_same(lm, [request(*one) for one in drawn])


TINY = tiny_models.llama().double()


def test_a_shared_token_is_computed_once(lm):
    lm.logprobs(ablated(2))  # the first time the model is tried
    counted = []
    hook = lm.model.get_input_embeddings().register_forward_hook(lambda module, args, out: counted.append(args[0].numel()))
    requests = ablated(40)
    lm.logprobs(requests)
    hook.remove()
    prompts = {tuple(r.ids[: k + 1]) for r in requests for k in range(len(r.ids))}
    # Every distinct beginning once, and for each request the token that predicts its response.
    assert len(prompts) <= sum(counted) <= len(prompts) + len(requests)


def test_batches_hold_no_more_than_asked():
    requests = ablated(60)
    for pack in prefix_tree.packs(requests, 100, 30):
        new = sum(len(requests[leaf.number].ids) - leaf.shared for leaf in pack)
        assert len(pack) == 1 or (new <= 100 and 7 * len(pack) <= 30)
    assert sorted(leaf.number for pack in prefix_tree.packs(requests, 100, 30) for leaf in pack) == list(range(60))


def mamba():
    config = MambaConfig(vocab_size=400, hidden_size=16, state_size=4, num_hidden_layers=2, pad_token_id=0)
    return MambaForCausalLM(config).eval()


def opt():
    config = OPTConfig(vocab_size=400, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
                       word_embed_proj_dim=16, max_position_embeddings=256)  # fmt: skip
    return OPTForCausalLM(config).eval()


@pytest.mark.parametrize("make", [mamba, opt])
def test_what_the_tree_cannot_do_goes_the_plain_way_and_says_so_once(make):
    torch.manual_seed(0)
    lm = LM(make().double(), tiny_models.tokenizer(), make.__name__)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LlmattrNote)
        shares = scoring.shares_prefixes(lm, 20)
        assert_same(lm, ablated(6))
    assert sum("cannot share" in str(warning.message) for warning in said) == (0 if shares else 1)


def test_prompts_longer_than_an_attention_window_go_the_plain_way():
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        sliding_window=24, initializer_range=0.2,
    )  # fmt: skip
    lm = LM(MistralForCausalLM(config).eval().double(), tiny_models.tokenizer(), "windows")
    assert scoring.shares_prefixes(lm, 24)
    assert not scoring.shares_prefixes(lm, 25)
    assert_same(lm, ablated())
    assert_same(lm, ablated(n=2))


def test_bfloat16_is_off_by_its_rounding():
    """bfloat16 rounds to 1 part in 256; a log-probability of size L is off by a few L / 256, through two layers."""
    requests = ablated()
    exact = LM(tiny_models.llama().double(), tiny_models.tokenizer()).logprobs(requests)
    rough = LM(tiny_models.llama().bfloat16(), tiny_models.tokenizer()).logprobs(requests)
    errors = np.abs(np.stack(rough) - np.stack(exact))
    assert errors.max() < 8 * np.abs(np.stack(exact)).max() / 256


@pytest.mark.parametrize("share", [True, False])
def test_positions_that_depend_on_the_longest_prompt_of_a_pass(share):
    """Phi-3's long-context models turn all positions otherwise where a prompt is longer than those of their first training."""
    torch.manual_seed(0)
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4}
    rope |= {"original_max_position_embeddings": 36}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
    options = {"vocab_size": 400, "intermediate_size": 48, "initializer_range": 0.2, "max_position_embeddings": 160, **sizes}
    config = Phi3Config(**options, rope_parameters=rope, original_max_position_embeddings=36, pad_token_id=0)
    lm = LM(Phi3ForCausalLM(config).double().eval(), tiny_models.tokenizer(), "long", share_prefixes=share)
    requests = ablated(m=12)
    assert len({len(one.ids) > 36 for one in requests}) == 2
    alone = [dataclasses.replace(lm, share_prefixes=False).logprobs([one])[0] for one in requests]
    for one, other in zip(lm.logprobs(requests), alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)  # the rotary angles are float32 in any model


def test_threads_ask_one_model_and_two():
    """Attention of our own, a mode and hooks are the model's: one thread at a time, and no other is disturbed."""
    tokenizer, models = tiny_models.tokenizer(), [tiny_models.llama().double(), tiny_models.gpt2().double().train()]
    lms = [LM(model, tokenizer) for model in models]
    expected = [lm.logprobs(ablated()) for lm in lms]

    def ask(k):
        return lms[k % 2].logprobs(ablated())

    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(ask, range(24))):
            for one, other in zip(found, expected[k % 2], strict=True):
                np.testing.assert_allclose(one, other, atol=1e-10)
    assert models[1].training
