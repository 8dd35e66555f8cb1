"""Data-OOB: how well models that did not see a row say its completion."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.core.sources import Targets
from llmattr.errors import LlmattrError
from llmattr.retraining.grouping import summed

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation

UNIT = "nats of its own completion's log-probability"
MEANING = "higher = models that were not trained on the row say its completion better; the lowest are odd or mislabelled"


@dataclass(frozen=True)
class DataOob:
    """Data-OOB (Kwon and Zou 2023, arXiv 2304.07718): what other data says of each row; low = an odd or mislabelled one.

    A value of the row itself, whatever is asked: the mean over bags without the row of its completion's log-probability; of a
    source of several rows their mean. Unlike scores it is no effect, so nothing is cited. A bag is a set: a row that is drawn
    twice for it counts once.

    Cost: 256
    """

    name: ClassVar[str] = "data-oob"
    family: ClassVar[str] = "game-theoretic"
    ignores: ClassVar[tuple[str, ...]] = ("measure", "mean")
    n_bags: int = option(256, "models to train, each on as many sources as there are, drawn with replacement", least=2)

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """One target, the row itself; values in nats for every source, with their errors over the bags."""
        own, n = of_own_rows(ablation), len(ablation.sources)
        masks = bags(self.n_bags, n, seed)
        check_left_out(masks)
        rows = np.bincount(ablation.member, minlength=n)
        values, stderr = out_of_bag(masks, summed(own(masks), ablation.member, n) / rows)
        return Attribution(
            values=values[None],
            sources=ablation.sources,
            targets=Targets(["each row's own completion"], measure="logprob"),
            unit=UNIT,
            method=describe(self),
            run={**own.record(), "seed": seed, "left_out": float((~masks).mean())},
            stderr=stderr[None],
            cites=False,
            meaning=MEANING,
        )


def of_own_rows(ablation: "RetrainingAblation") -> "RetrainingAblation":
    """The same training with the rows themselves as targets; its runs are kept beside the others."""
    from llmattr.retraining.store import RunStore

    trainer = ablation.causal(DataOob.name)
    trainer = dataclasses.replace(trainer, queries=trainer.rows, measure="logprob", mean=False)
    store = ablation.store
    if store is not None:
        store = RunStore.of(store.folder.parent, {**trainer.record(), "sources": ablation.member.tolist()})
    targets = Targets([f"row {number}" for number in range(len(trainer.rows))], measure="logprob")
    return dataclasses.replace(ablation, trainer=trainer, targets=targets, store=store, memory={})


def bags(m: int, n: int, seed: int) -> Bool[np.ndarray, "m n"]:
    """m bootstrap samples of n sources: which are in each. A source is left out with the chance `(1 - 1/n)^n`, near 0.37."""
    drawn = np.random.default_rng(seed).integers(n, size=(m, n))
    masks = np.zeros((m, n), dtype=bool)
    np.put_along_axis(masks, drawn, True, axis=1)
    return masks


def out_of_bag(
    masks: Bool[np.ndarray, "m n"], outputs: Float[np.ndarray, "m n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Each source's mean output over the models that did not see it, and the standard error of that mean.

    `outputs[m, i]`: of source i itself under mask m. Raises `LlmattrError` where a source was left out fewer than two times.
    """
    check_left_out(masks)
    out = (~masks).astype(float)
    count = out.sum(axis=0)
    means = (out * outputs).sum(axis=0) / count
    spread = (out * (outputs - means) ** 2).sum(axis=0) / (count - 1)
    return means, np.sqrt(spread / count)


def check_left_out(masks: Bool[np.ndarray, "m n"]) -> None:
    """Raise `LlmattrError` unless each source was left out twice."""
    few = np.flatnonzero((~masks).sum(axis=0) < 2)
    if len(few):
        raise LlmattrError(f"{len(masks)} bags are too few: source {few[0]} was left out of fewer than two of them; take more")
