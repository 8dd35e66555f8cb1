"""The same numbers as context-cite 0.0.4, from what it stored for a real document and SmolLM2-135M-Instruct."""

import json

import numpy as np
import pytest

from llmattr.ablation import random_masks
from llmattr.context.cite import cite
from llmattr.context.methods.surrogates import ContextCite
from llmattr.context.removal.ablation import ContextAblation, values
from llmattr.surrogate import fit_lasso
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests.conftest import SHARED

FILES = sorted((SHARED / "reference" / "parity" / "context_cite").glob("*.json"))
pytestmark = pytest.mark.skipif(not FILES, reason="the reference's outputs (shared/reference/parity) are not here")


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def reference(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_masks(reference):
    masks = np.array(reference["masks_0_255"], dtype=bool)
    assert (random_masks(256, masks.shape[1], reference["ablation_keep_prob"]) == masks).all()


def test_surrogate_from_stored_outputs(reference):
    masks = np.array(reference["masks_0_255"], dtype=bool)
    logprobs = -np.logaddexp(0, -np.array(reference["logit_probs_256xT"]))
    for span in reference["spans"]:
        tokens = np.array([span["tokens"]])
        for expected in span["results"]:
            m = expected["num_ablations"]
            outputs = values(logprobs[:m], tokens)
            scale = np.diff(tokens).astype(float)[0]
            weights, intercept = fit_lasso(masks[:m], outputs, reference["lasso_alpha"], scale)
            largest = np.abs(expected["weights"]).max()
            np.testing.assert_allclose(weights[0], expected["weights"], atol=1e-5 * largest)
            np.testing.assert_allclose(intercept[0], expected["bias"], rtol=1e-5)


def test_log_odds_of_the_whole_and_empty_context(reference):
    for span in reference["spans"]:
        for stored in ("full", "empty"):
            logprobs = -np.logaddexp(0, -np.array(reference[f"{stored}_logit_probs"]))
            total = logprobs[slice(*span["tokens"])].sum()
            np.testing.assert_allclose(total, span[f"{stored}_logprob"], rtol=1e-5)


@pytest.fixture(scope="module")
def prompt(reference, smollm2):
    chat = conversation(reference["context"], reference["query"], template=reference["prompt_template"])
    return Prompt(smollm2.tokenizer, chat, cut(chat, "sentences")).with_response(reference["response"])


@pytest.mark.slow
def test_sources_and_tokens(reference, prompt):
    assert list(prompt.sources.texts) == reference["sources"]
    assert list(prompt.response_ids) == reference["response_ids"]
    for mask, expected in zip(random_masks(16, len(prompt.sources)), reference["ablated_prompt_ids_first16"], strict=True):
        ids, response, _ = prompt.render(mask)
        assert ids[: response.start] == expected
    spans = np.array([span["char"] for span in reference["spans"]])
    assert prompt.response_tokens(spans).tolist() == [span["tokens"] for span in reference["spans"]]


# What float32 forward passes of one model and text may differ by, per token: context.md 9.1 measured 6.7e-5 between the
# reference's own batch sizes.
FORWARD_NOISE = 1e-4


@pytest.mark.slow
def test_token_log_odds_end_to_end(reference, prompt, smollm2):
    ablation = ContextAblation(smollm2, prompt, prompt.targets())
    logprobs = ablation.token_logprobs(random_masks(16, len(prompt.sources)))
    log_odds = logprobs - np.log(-np.expm1(logprobs))
    np.testing.assert_allclose(log_odds, np.array(reference["logit_probs_256xT"])[:16], atol=FORWARD_NOISE)


@pytest.mark.slow
def test_scores_end_to_end(reference, smollm2):
    """32 ablations: the noise of T token log-odds adds up to T * FORWARD_NOISE in a span, and so in a score."""
    result = cite(
        smollm2,
        reference["context"],
        reference["query"],
        response=reference["response"],
        method=ContextCite(n_ablations=32, alpha=reference["lasso_alpha"]),
    )
    for span in reference["spans"]:
        found = result.span(tuple(span["char"]))
        expected = next(r for r in span["results"] if r["num_ablations"] == 32)
        noise = FORWARD_NOISE * (span["tokens"][1] - span["tokens"][0])
        np.testing.assert_allclose(found.values[0], expected["weights"], atol=noise)


@pytest.mark.slow
def test_generation_without_the_end_of_text(reference, prompt, smollm2):
    ids, response, _ = prompt.full()
    answered = prompt.with_generated(smollm2.generate(ids[: response.start], reference["generate_kwargs"]["max_new_tokens"]))
    assert answered.response == reference["response"].removesuffix("<|im_end|>")
