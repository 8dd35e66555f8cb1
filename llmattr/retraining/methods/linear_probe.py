"""A linear probe over a model's hidden states: its leave-one-out is known in closed form, so no model is trained again."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.core.progress import progress
from llmattr.errors import LlmattrError, note
from llmattr.retraining.contract import OF_RUNS
from llmattr.retraining.grouping import rows_of

if TYPE_CHECKING:
    from llmattr.model.lm import LM
    from llmattr.retraining.ablation import RetrainingAblation
    from llmattr.retraining.runs import CausalTrainer
    from llmattr.text.rows import Examples

Groups = list[Int[np.ndarray, " _"]]  # the rows of each source

MOST = 6000  # parameters of a softmax: their curvature is a matrix of so many rows and columns


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on the last hidden state, and what each row does to it: leave-one-out in closed form.

    Features are what the model's unembedding sees where it predicts the first counted token; classes are the rows' first
    counted tokens. "ridge" scores the query's class by least squares: its leave-one-out is exact. "softmax" gives the class's
    log-probability, by one Newton step (Rad and Maleki 2020, arXiv 1801.10243). Features are scaled to a mean squared length
    of 1; scale and penalty stay as they are when rows are left out.

    Cost: 0
    """

    name: ClassVar[str] = "linear-probe"
    family: ClassVar[str] = "game-theoretic"
    ignores: ClassVar[tuple[str, ...]] = OF_RUNS
    kind: Literal["ridge", "softmax"] = option("ridge", "ridge: exact, in class scores; softmax: one Newton step, in nats")
    penalty: float = option(0.1, "ridge penalty on the weights, with features of mean squared length 1", least=1e-9)
    classes: Literal["token", "completion"] = option("token", "what is predicted: the first counted token, or all of them")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """What each source does to each query's class: its score (ridge), or its log-probability or log-odds in nats (softmax).

        Raises `LlmattrError` for a query whose class no row has. Nothing is drawn with the seed.
        """
        trainer = _causal(ablation)
        measure = "value" if self.kind == "ridge" else ablation.targets.measure
        data = self._data(trainer)
        groups = rows_of(ablation.member, len(ablation.sources))
        effects = _ridge_effects if self.kind == "ridge" else _softmax_effects
        values = effects(data, self.penalty, groups, measure)
        return Attribution(
            values=values.mean(axis=0, keepdims=True) if trainer.mean else values,
            sources=ablation.sources,
            targets=dataclasses.replace(ablation.targets, measure=measure),
            unit="class scores" if self.kind == "ridge" else "nats of log-odds" if measure == "logit" else "nats",
            method=describe(self),
            run={**ablation.record(), "seed": seed, "classes": data.classes, "features": data.rows.shape[1]},
        )

    def _data(self, trainer: "CausalTrainer") -> "ProbeData":
        rows, queries = (features(trainer.lm, examples) for examples in (trainer.rows, trainer.queries))
        said, asked = (_said(examples, self.classes) for examples in (trainer.rows, trainer.queries))
        place = {name: number for number, name in enumerate(sorted(set(said)))}
        for number, name in enumerate(asked):
            if name not in place:
                text = trainer.lm.tokenizer.decode(list(name))
                raise LlmattrError(
                    f"query {number} begins with {text!r}, as no training row does, so a linear probe has no class for it: "
                    "leave it out, or take datamodel"
                )
        scale, labels = np.sqrt((rows**2).sum(axis=1).mean()), np.array([place[name] for name in said])
        return ProbeData(rows / scale, queries / scale, labels, np.array([place[name] for name in asked]), len(place))


class ProbeData(NamedTuple):
    """What a probe is fitted on: features of rows and queries, the class of each row and of each query, how many there are."""

    rows: Float[np.ndarray, "n d"]
    queries: Float[np.ndarray, "t d"]
    labels: Int[np.ndarray, " n"]
    asked: Int[np.ndarray, " t"]
    classes: int


def features(lm: "LM", examples: "Examples") -> Float[np.ndarray, "n d"]:
    """What the unembedding sees where it predicts each example's first counted token: the base model's last output there."""
    import torch

    from llmattr.model.forward import evaluating

    prompts = [ids[: int(np.argmax(counted))] for ids, counted in zip(examples.ids, examples.counted, strict=True)]
    found = np.zeros((len(prompts), 0))
    for batch in progress(_batches([len(prompt) for prompt in prompts], lm.max_batch_tokens), "reading", "batches"):
        length = len(prompts[batch[-1]])
        padded = [prompts[i] + [lm.pad_id] * (length - len(prompts[i])) for i in batch]  # behind: it is not seen
        with evaluating(lm.model), torch.no_grad():
            states = lm.model.base_model(input_ids=torch.tensor(padded, device=lm.device), use_cache=False)[0]
        last = states[torch.arange(len(batch)), [len(prompts[i]) - 1 for i in batch]].double().cpu().numpy()
        found = found if found.shape[1] else np.zeros((len(prompts), last.shape[1]))
        if not (finite := np.isfinite(last).all(axis=1)).all():
            name = examples.name(batch[int(finite.argmin())])
            raise LlmattrError(f"the hidden state of {name} is not finite: load the model in float32, or leave it out")
        found[batch] = last
    return found


def _batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """The numbers of the texts, short ones first, so many together that they hold at most so many tokens with their padding."""
    batches: list[list[int]] = []
    for i in np.argsort(lengths, kind="stable").tolist():
        if not batches or lengths[i] * (len(batches[-1]) + 1) > most:
            batches.append([])
        batches[-1].append(i)
    return batches


def _causal(ablation: "RetrainingAblation") -> "CausalTrainer":
    trainer = ablation.causal("linear-probe")
    if trainer.recipe.start == "random":
        note("the probe reads the hidden states of a model with random weights, which know only which tokens they saw")
    return trainer


def _said(examples: "Examples", classes: str) -> list[tuple[int, ...]]:
    """The counted tokens of each example, or the first of them."""
    said = [np.asarray(ids)[counted].tolist() for ids, counted in zip(examples.ids, examples.counted, strict=True)]
    return [tuple(one if classes == "completion" else one[:1]) for one in said]


def _ridge_effects(data: ProbeData, penalty: float, groups: Groups, measure: str) -> Float[np.ndarray, "t sources"]:
    from llmattr.retraining.linear import LeastSquares

    rows, queries, labels, asked, _ = data
    fit = LeastSquares(rows, (labels[:, None] == asked).astype(float), penalty)  # one output for each query: its class
    near = queries @ fit.solved.T  # q' (B - B_-S) = q' A x_S' times S's residuals without S
    effects = [np.einsum("ts,st->t", near[:, group], fit.residuals_without(group)) for group in groups]
    return np.stack(effects, axis=1)


def _softmax_effects(data: ProbeData, penalty: float, groups: Groups, measure: str) -> Float[np.ndarray, "t sources"]:
    from llmattr.model.odds import log_odds_of_logprobs
    from llmattr.retraining.linear import log_softmax, softmax

    rows, queries, labels, asked, classes = data
    if len(rows) < rows.shape[1]:  # the weights lie in the space that the rows span
        basis = np.linalg.svd(rows, full_matrices=False)[2].T
        rows, queries = rows @ basis, queries @ basis
    if rows.shape[1] * classes > MOST:
        raise LlmattrError(
            f"a softmax over {classes} classes of {rows.shape[1]} features has more than {MOST} parameters: take kind ridge"
        )
    fit = softmax(rows, labels, classes, penalty)

    def said(coefficients: Float[np.ndarray, "d k"]) -> Float[np.ndarray, " t"]:
        logprobs = log_softmax(queries @ coefficients)[np.arange(len(asked)), asked]
        return log_odds_of_logprobs(logprobs) if measure == "logit" else logprobs

    everything = said(fit.coefficients)
    left_out = progress(groups, "leaving out", "sources")
    return np.stack([everything - said(fit.without(group)) for group in left_out], axis=1)
