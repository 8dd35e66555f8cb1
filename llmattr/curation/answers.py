"""Signals of wrong answers: by how much a model doubts what each row says."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from llmattr.core.files import digest
from llmattr.curation.kept import Kept
from llmattr.errors import LlmattrError, note
from llmattr.model.lm import LM
from llmattr.training.gradients.passes import token_losses, token_measures

if TYPE_CHECKING:
    from llmattr.retraining.recipe import Recipe

MOST_LABELS = 20  # different completions that are labels
EACH = 5  # rows that each of them has, on average, at least


@dataclass(frozen=True, eq=False)
class Doubts:
    """By name how suspect each row's answer is [n], high = suspect; how unsure the model is of each row [n], in nats.

    `wrong`: which rows confident learning calls wrong; None where completions are no labels.
    """

    signals: Mapping[str, Float[np.ndarray, " n"]]
    uncertainty: Float[np.ndarray, " n"]
    wrong: Bool[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class Retraining:
    """Data-OOB's models: what each starts from ("scratch", a hub id, a folder), how many, and how they are trained."""

    model: str
    bags: int
    recipe: "Recipe"


def doubts(lms: Sequence[LM], rows: Sequence[Mapping[str, Any]], kept: Kept) -> Doubts:
    """What the last model finds of the rows, and the checkpoints together: the more a row is doubted, the more suspect.

    "loss": `-log p` of a token of the completion, the mean, in nats. "margin": minus the area under the margin (Pleiss et al.
    2020, arXiv 2001.10528), the mean over checkpoints and tokens of the token's logit less the highest other. "confident
    learning" (Northcutt et al. 2021, arXiv 1911.00068), where completions are a few labels: minus their normalised margin by
    cleanlab. "self-influence": the squared gradient of the row's own loss (`trace self`).
    """
    measures = np.stack([_measures(lm, rows, _of(kept, lm)) for lm in lms])  # [c, n, 3]
    last, own = lms[-1], _of(kept, lms[-1])
    loss, _, entropy = measures[-1].T
    signals = {"loss": loss, "margin": -measures[:, :, 1].mean(axis=0)}
    labels = label_numbers([_answer(row) for row in rows])
    wrong = None
    if labels is not None:
        probabilities = _probabilities(last, rows, own)
        entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1)
        signals["confident learning"], wrong = confident_learning(labels, probabilities)
    signals["self-influence"] = own.part("self-influence", lambda: _self_influence(last, rows))
    return Doubts(signals, entropy, wrong)


def _answer(row: Mapping[str, Any]) -> object:
    """A row's completion, of a chat what its last turn says; None of a text."""
    return row["messages"][-1].get("content") if row.get("messages") else row.get("completion")


def _answered(row: Mapping[str, Any], said: str) -> Mapping[str, Any]:
    """The row with another answer."""
    if not row.get("messages"):
        return {**row, "completion": said}
    *before, last = row["messages"]
    return {**row, "messages": [*before, {**last, "content": said}]}


def label_numbers(completions: Sequence[object]) -> Int[np.ndarray, " n"] | None:
    """The number of each row's label, in their alphabetical order; None where completions are no labels.

    Raises `LlmattrError` where all are the same.
    """
    if not all(isinstance(said, str) for said in completions):
        return None
    labels, numbers = np.unique(np.array(completions), return_inverse=True)
    if len(labels) == 1:
        raise LlmattrError(
            f"all rows have the completion {str(labels[0])!r:.60}: nothing tells a wrong answer from a right one"
        )
    return numbers if len(labels) <= MOST_LABELS and len(numbers) >= EACH * len(labels) else None


def confident_learning(
    labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """How suspect each label is, and which ones are called wrong: by cleanlab, of the model's probabilities.

    Raises `LlmattrError` where cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise LlmattrError("confident learning needs cleanlab: pip install 'llmattr[curate]'") from None
    quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    wrong = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    return -np.asarray(quality, dtype=float), np.asarray(wrong, dtype=bool)


def out_of_bag(rows: Sequence[Mapping[str, Any]], how: Retraining, out: Path | None) -> Float[np.ndarray, " n"]:
    """Minus Data-OOB's value a token: how badly models say each row's completion that were trained without it, in nats."""
    from llmattr.retraining.build import attributed, retraining_ablation
    from llmattr.retraining.methods.data_oob import DataOob

    ablation = retraining_ablation(how.model, list(rows), list(rows[:1]), recipe=how.recipe, out=out)
    tokens = [counted.sum() for counted in ablation.causal(DataOob.name).rows.counted]
    return -attributed(ablation, DataOob(n_bags=how.bags)).values[0] / np.array(tokens)


def mean_rank(signals: Mapping[str, Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """The mean over the signals of the share of the rows that are less suspect, ties by half."""
    from scipy.stats import rankdata

    return np.mean([rankdata(values) / len(values) for values in signals.values()], axis=0)


def _of(kept: Kept, lm: LM) -> Kept:
    return Kept(kept.folder, digest([kept.identity, lm.record(), lm.fingerprint()]))


def _measures(lm: LM, rows: Sequence[Mapping[str, Any]], kept: Kept) -> Float[np.ndarray, "n 3"]:
    """Of each row the means over its counted tokens of the loss, the margin and the entropy of what the model expects."""
    examples = lm.tokenize(rows)

    def block(start: int, stop: int) -> np.ndarray:
        found = token_measures(lm, examples.subset(range(start, stop)), _loss_margin_entropy)
        return np.stack([tokens.mean(axis=0) for tokens in found])

    return kept.blocks("measures", len(rows), block, "asking the model")


def _loss_margin_entropy(logits: Float[torch.Tensor, "k v"], labels: Int[torch.Tensor, " k"]) -> Float[torch.Tensor, "k 3"]:
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(1, labels[:, None])[:, 0]
    others = logprobs.scatter(1, labels[:, None], -torch.inf).amax(-1)  # a margin of logits is one of log-probabilities
    return torch.stack([-own, own - others, -(logprobs.exp() * logprobs).sum(-1)], dim=1)


def _probabilities(lm: LM, rows: Sequence[Mapping[str, Any]], kept: Kept) -> Float[np.ndarray, "n k"]:
    """Of each row those of all labels after its prompt, which add up to 1."""
    labels = sorted({str(_answer(row)) for row in rows})
    note(f"completions are {len(labels)} labels: where the model was trained on these rows, it doubts them too little")

    def block(start: int, stop: int) -> np.ndarray:
        asked = [_answered(row, said) for row in rows[start:stop] for said in labels]
        losses = [tokens.sum() for tokens in token_losses(lm, lm.tokenize(asked))]
        logprobs = -np.reshape(losses, (stop - start, len(labels)))
        odds = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return kept.blocks("labels", len(rows), block, "asking for each label")


def _self_influence(lm: LM, rows: Sequence[Mapping[str, Any]]) -> Float[np.ndarray, " n"]:
    from llmattr.training.methods import GradDot
    from llmattr.training.trace import build_index

    with tempfile.TemporaryDirectory() as folder:
        found = build_index(lm, list(rows), Path(folder) / "index", GradDot()).self_influence()
    scores = np.zeros(len(rows))
    for one in found.top(None):
        scores[int(one.id)] = one.score
    return scores
