"""Citations judged by an entailment model, as ALCE does (Gao et al. 2023, arXiv 2305.14627)."""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Bool

from eval.context.data import Question
from eval.harness.command import plain_name
from llmattr import metrics
from llmattr.errors import LlmattrError
from llmattr.model import loading

Entails = Callable[[str, str], bool]


def entailed(cited: Bool[np.ndarray, " n"], question: Question, answer: str, entails: Entails) -> dict[str, float]:
    """ALCE's measures of one answer's citations."""
    passages = [f"{paper.title}: {one}" if paper.title else one for paper in question.papers for one in paper.sentences]
    found = metrics.entailed_citation(cited[None], [f"{question.question} {answer.strip()}"], passages, entails)
    return {f"entailed {name}": float(of[0]) for name, of in found._asdict().items()}


def entailment_model(name: str) -> Entails:
    """Whether an NLI model holds entailment for the likeliest; raises `LlmattrError` for one that cannot say so."""
    import torch
    from transformers import AutoModelForSequenceClassification

    what = f"the entailment model {plain_name(name)!r}"
    tokenizer = loading.load_tokenizer(name, what)
    with loading.told(what, name, "weights"):
        model = loading.complete(AutoModelForSequenceClassification, name).eval()
    labels = {int(i): str(label) for i, label in model.config.id2label.items()}
    told = [i for i, label in labels.items() if label.lower().startswith("entail")]
    if len(told) != 1:
        raise LlmattrError(f"the labels of {plain_name(name)!r} are {', '.join(labels.values())}: which of them is entailment?")
    longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or 512)

    @cache
    def entails(premise: str, claim: str) -> bool:
        inputs = tokenizer(premise, claim, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            return int(model(**inputs).logits[0].argmax()) == told[0]

    return entails
