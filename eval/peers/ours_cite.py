"""llmattr's context engine as a runner: token log-odds of a given response under given masks."""

import re
from typing import Any

import numpy as np

from eval.peers.common import Job, main
from llmattr.context.ablation import ContextAblation
from llmattr.context.context_cite import ContextCite
from llmattr.lm import LM
from llmattr.messages import conversation
from llmattr.prompt import Prompt, cut
from llmattr.types import Targets


def work(job: Job) -> tuple[np.ndarray, dict[str, Any]]:
    """Token log-odds [m, r]; phases "score", "fit" and "span" (a later span)."""
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
    first = re.match(r".*?[.!?](\s|$)|.*", response, re.DOTALL)
    span = Targets([response], np.array([[0, first.end() if first else len(response)]]))
    with job.clock("span"):
        ContextCite(n_ablations=len(job.rows)).attribute(ablation.of(span))
    tokens = sum(len(prompt.render(mask).ids) for mask in job.rows)
    size = sum(weight.numel() for weight in lm.model.parameters())
    log_odds = logprobs - np.log(-np.expm1(logprobs))
    return log_odds, {"tokens": tokens, "parameters": size, "values": values.tolist(), "prompt": len(prompt.full().ids)}


if __name__ == "__main__":
    main("llmattr", work)
