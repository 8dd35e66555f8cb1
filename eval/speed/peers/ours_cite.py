"""llmattr's context engine as a runner: token log-odds of a given response under given masks."""

from typing import Any

import numpy as np

from eval.speed.peers.common import Job, main
from llmattr import surrogate
from llmattr.ablation import Ablation, from_function
from llmattr.context.methods.surrogates import ContextCite
from llmattr.context.removal.ablation import ContextAblation
from llmattr.model.lm import LM
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut


def made(n: int) -> Ablation:
    """Outputs like those of a context: three sources that matter, a little interaction and noise."""
    weights = np.zeros(n)
    weights[: min(3, n)] = [5.0, 3.0, -2.0][: min(3, n)]

    def outputs(masks: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(size=len(masks))
        return (masks @ weights + masks[:, 0] * masks[:, -1] + noise / 2)[:, None]

    return from_function(outputs, n)


def work(job: Job) -> tuple[np.ndarray, dict[str, Any]]:
    """Token log-odds [m, r]; phases "score" and "span" (a later span on 64 ablations)."""
    sentences, response = job.options["sentences"], job.options["response"]
    lm = LM(job.model(), job.tokenizer(), share_prefixes=job.options["share"])
    chat = conversation(" ".join(sentences), job.options["query"])
    prompt = Prompt(lm.tokenizer, chat, cut(chat, lambda text: sentences)).with_response(response)
    ablation = ContextAblation(lm, prompt, prompt.targets()[:1])
    warm = ContextAblation(lm, prompt, prompt.targets()[:1])
    warm.token_logprobs(job.rows[:1])
    with job.clock("score"):
        logprobs = ablation.token_logprobs(job.rows)
    method = ContextCite(n_ablations=len(job.rows), alpha=0.01)
    values = method.attribute(ablation).values[0]
    with job.clock("span"):
        surrogate.lasso(made(len(sentences)), 64)
    tokens = sum(len(prompt.render(mask).ids) for mask in job.rows)
    size = sum(weight.numel() for weight in lm.model.parameters())
    log_odds = logprobs - np.log(-np.expm1(logprobs))
    return log_odds, {"tokens": tokens, "parameters": size, "values": values.tolist(), "prompt": len(prompt.full().ids)}


if __name__ == "__main__":
    main("llmattr", work)
