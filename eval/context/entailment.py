"""Citations judged by an entailment model, as ALCE does (Gao et al. 2023, arXiv 2305.14627)."""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Bool

from eval.context.data import Question
from llmattr import metrics
from llmattr.model.judge import Judge

Entails = Callable[[str, str], bool]


def entailed(cited: Bool[np.ndarray, " n"], question: Question, answer: str, entails: Entails) -> dict[str, float]:
    """ALCE's measures of one answer's citations."""
    passages = [f"{paper.title}: {one}" if paper.title else one for paper in question.papers for one in paper.sentences]
    found = metrics.entailed_citation(cited[None], [f"{question.question} {answer.strip()}"], passages, entails)
    return {f"entailed {name}": float(of[0]) for name, of in found._asdict().items()}


def entailment_model(name: str) -> Entails:
    """Whether an NLI model finds it likelier than not; raises `LlmattrError` for one that cannot say so."""
    judge = Judge.load(name)

    @cache
    def entails(premise: str, claim: str) -> bool:
        return judge.probability(premise, claim) > 0.5

    return entails
