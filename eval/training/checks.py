"""What the best rows of a method do to the model: one step on each (tail-patch), and training without them all (removal)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from eval.harness.record import Figure
from eval.training.measure import Bench, Found
from llmattr import metrics
from llmattr.model.lm import LM
from llmattr.retraining.runs import CausalTrainer
from llmattr.retraining.trainer import batch_loss, padded

TOP = 3  # rows of each query
PATCHED = 40  # queries
PATCH_AT = 0.3  # the checkpoint's share of the steps
PATCH_STEP = 0.003  # of plain gradient descent
REMOVED = 60  # queries whose best rows are removed together
KNOWN = float(np.log(0.5))  # a query is known when its completion is likelier than not


@dataclass(frozen=True, eq=False)
class Patch:
    """Single steps from a checkpoint on a row, of a plain gradient times `step`.

    `after[row, query]`: what was measured, since methods choose many rows in common.
    """

    trainer: CausalTrainer
    lm: LM
    step: float
    after: dict[tuple[int, int], float] = field(default_factory=dict)

    def before(self, queries: Sequence[int]) -> Float[np.ndarray, " t"]:
        """The queries' log-probabilities under the checkpoint."""
        return self._said(self.lm, queries)

    def __call__(self, chosen: Int[np.ndarray, "t k"], queries: Sequence[int]) -> Float[np.ndarray, "t k"]:
        """Those of each query after one step on each of its rows alone."""
        pairs = [(int(row), query) for query, rows in zip(queries, chosen, strict=True) for row in rows]
        wanted: dict[int, list[int]] = {}
        for row, query in pairs:
            if (row, query) not in self.after:
                wanted.setdefault(row, []).append(query)
        for row, asked in wanted.items():
            said = self._said(self._stepped(row), asked)
            self.after.update({(row, query): float(one) for query, one in zip(asked, said, strict=True)})
        return np.array([self.after[pair] for pair in pairs]).reshape(chosen.shape)

    def _stepped(self, row: int) -> LM:
        model = copy.deepcopy(self.lm.model)
        rows = self.trainer.rows
        ids, counted = padded([rows.ids[row]], [rows.counted[row]], model.device)
        batch_loss(model(input_ids=ids, use_cache=False).logits, ids, counted, torch.ones(1)).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= self.step * parameter.grad
        return LM(model, self.lm.tokenizer, self.lm.name)

    def _said(self, lm: LM, queries: Sequence[int]) -> Float[np.ndarray, " t"]:
        part = CausalTrainer(self.trainer.model, self.trainer.rows, self.trainer.queries.subset(queries), self.trainer.recipe)
        return part.measured(lm)


def tail_patches(bench: Bench, lines: Mapping[str, Found | str]) -> dict[str, Figure]:
    """The percentage points that a step on one of the highest rows adds to a query's probability, the mean over rows."""
    queries = list(range(min(PATCHED, len(bench.queries))))
    lm = LM.load(bench.checkpoints(shares=[PATCH_AT])[0])
    patch = Patch(bench.ablation.causal("tail-patch"), lm, PATCH_STEP)
    before = patch.before(queries)
    found = {}
    for name, scores in lines.items():
        if isinstance(scores, Found):
            after = patch(metrics.top_k(scores.values[queries], TOP), queries)
            found[name] = {"tail-patch": 100 * float(metrics.tail_patch(before, after).mean())}
    return found


def removals(bench: Bench, lines: Mapping[str, Found | str]) -> dict[str, Figure]:
    """Each line's nats lost and known queries forgotten when the highest rows of some known queries go, all at once.

    With the error of what the scores foretold of it, for methods whose scores are in nats.
    """
    queries = np.flatnonzero(bench.whole >= KNOWN)[:REMOVED]
    scores = {name: found for name, found in lines.items() if isinstance(found, Found)}
    if not len(queries) or not scores:
        return {}
    masks = np.stack([_without(found.values[queries]) for found in scores.values()])
    seen = bench.ablation(masks)
    found = {}
    for (name, one), mask, after in zip(scores.items(), masks, seen, strict=True):
        found[name] = {
            "rows removed": int((~mask).sum()),
            "removal drop": float((bench.whole - after)[queries].mean()),
            "forgotten": float(np.nanmean(metrics.brittleness_hits(bench.whole[queries], after[queries], KNOWN))),
        }
        predicted = one.predicted(mask[None])
        if predicted is not None:
            found[name]["counterfactual error"] = float(metrics.counterfactual_error(predicted, after[None])[queries].mean())
    return found


def _without(values: Float[np.ndarray, "t n"]) -> Bool[np.ndarray, " n"]:
    mask = np.ones(values.shape[1], dtype=bool)
    mask[metrics.top_k(values, TOP).ravel()] = False
    return mask
