"""Gradients of the targets with respect to the input embeddings of the whole prompt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr.ablation import ask
from llmattr.context.contract import Method
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.surrogate.sampling import attribution

if TYPE_CHECKING:
    from torch import Tensor

    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.conserving import RuleSet
    from llmattr.model.contract import Weights
    from llmattr.text.prompt import Rendered

    OfSources = Callable[[Tensor, Tensor, Rendered], Tensor]


Blank = Literal["zero", "mean", "pad"]


def in_nats(
    ablation: "ContextAblation",
    values: Float[np.ndarray, "t n"],
    method: Method,
    seed: int,
    *,
    details: Mapping[str, Sequence[float]] | None = None,
    **record: int,
) -> Attribution:
    """Values in the targets' own unit; `baseline` is what they leave of the whole prompt's f."""
    (full,) = ask(ablation, np.ones((1, len(ablation.sources)), dtype=bool))
    baseline = full - values.sum(axis=1)
    record = {**record, "seed": seed}
    return attribution(ablation, describe(method), record, values=values, baseline=baseline, details=details)


def of_input(
    ablation: "ContextAblation", reduce: "OfSources", rules: "RuleSet | None" = None, *, linear: bool = True
) -> Float[np.ndarray, "t n"]:
    """`reduce(df_t/dx, x, full)` of each target, x [1, s, d] the whole prompt's input embeddings; gradients by these rules."""
    from llmattr.model import inside
    from llmattr.model.conserving import conserving

    lm, full = ablation.opened()
    with (
        conserving(lm, rules) if rules else nullcontext(nullcontext()) as within,
        inside.frozen(lm, len(full.ids), within),
        inside.embedded(lm, lambda x: x) as read,
    ):
        with within:
            log_odds = inside.response_log_odds(lm, full)
        x = read[0]
        targets = ablation.target_tokens, ablation.targets.measure
        return inside.target_gradients(log_odds, *targets, x, lambda gradient: reduce(gradient, x, full), linear=linear)


def relevance(gradient: "Tensor", x: "Tensor", full: "Rendered") -> "Tensor":
    """`sum over the source's tokens of x . gradient` [n]."""
    from llmattr.model.inside import per_source

    return per_source((gradient * x)[0].sum(dim=1), full)


def length(gradient: "Tensor", _x: "Tensor", full: "Rendered") -> "Tensor":
    """`|gradient|` [n] over all of the source's tokens."""
    from llmattr.model.inside import per_source

    return per_source((gradient[0] ** 2).sum(dim=1), full).sqrt()


@dataclass(frozen=True)
class GradientInput:
    """Input embeddings times their gradient, summed over each source: one pass, often with the wrong sign (see cp-lrp).

    `values[t, i] = sum over the source's tokens of x . df_t/dx` (dot, in nats of log-odds, Shrikumar et al. 2016, arXiv
    1605.01713), or the norm `|df_t/dx|` over all of the source's tokens (l2: how much it matters, without a sign or a unit).
    x . df/dx is the derivative by the length of x, which the norms of a transformer undo: what is left is not what x gives.

    Cost: 2
    """

    name: ClassVar[str] = "gradient-input"
    family: ClassVar[str] = "predictive"
    norm: Literal["dot", "l2"] = option("dot", "embedding times gradient, or the length of the gradient")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """One row of scores per target; `baseline` = f(all) - sum of values for dot, None for l2."""
        from llmattr.context.methods.retrieval import similarities

        if self.norm == "l2":
            return similarities(self, ablation, of_input(ablation, length, linear=False), "gradient norm")
        return in_nats(ablation, of_input(ablation, relevance), self, seed)


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients along the straight line from blank source embeddings to the real ones; they add up to the whole change.

    `values[t, i] = sum over the source's tokens of (x - x') . integral of df_t/dx at x' + a (x - x') over a in [0, 1]`, x' =
    the blank; query, template and response stay as they are (Sundararajan et al. 2017, arXiv 1703.01365, equation 3). The sum
    tends to f(all) - f(blank) as the steps grow; `details`: `gap`, what it lacks of that. The points are the middles of equal
    parts, or Gauss-Legendre's in the root of a: closer together near the blank, where norms make f jump, for many steps.

    Cost: about 20
    """

    name: ClassVar[str] = "integrated-gradients"
    family: ClassVar[str] = "predictive"
    steps: int = option(8, "points on the way from blank to real sources; one forward and backward pass each", least=1)
    blank: Blank = option("zero", "what stands for a blank token: no embedding, the mean of all, or the padding token's")

    rule: Literal["midpoint", "gauss-legendre"] = option("midpoint", "where the points lie: even, or for many steps")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Scores in nats of log-odds, one row per target; `baseline` = f(all) - sum of values."""
        from llmattr.model import inside

        (full,) = ask(ablation, np.ones((1, len(ablation.sources)), dtype=bool))
        with inside.frozen(ablation.weights, len(ablation.located().ids)):
            values = np.asarray(sum(share * self.at(ablation, point) for point, share in self.path()))
            gap = full - self.of_blank(ablation) - values.sum(axis=1)
        return in_nats(ablation, values, self, seed, details={"gap": gap.tolist()}, gradient_passes=self.steps)

    def path(self) -> list[tuple[float, float]]:
        """The points on (0, 1) and their shares, which add up to 1; by Gauss-Legendre a = r^2, so that da = 2 r dr."""
        if self.rule == "midpoint":
            return [((part + 0.5) / self.steps, 1 / self.steps) for part in range(self.steps)]
        return [(root**2, 2 * root * share) for root, share in gauss_legendre(self.steps)]

    def at(self, ablation: "ContextAblation", point: float) -> Float[np.ndarray, "t n"]:
        """`(x - x') . df/dx` of each source at one point of the way."""
        from llmattr.model import inside

        lm, full = ablation.opened()
        with self._on_the_way(ablation, point) as (read, way):
            log_odds = inside.response_log_odds(lm, full)
        targets = ablation.target_tokens, ablation.targets.measure
        return inside.target_gradients(log_odds, *targets, read[0], lambda gradient: relevance(gradient, way[0], full))

    def of_blank(self, ablation: "ContextAblation") -> Float[np.ndarray, " t"]:
        """f(blank) of each target."""
        import torch

        from llmattr.context.removal.ablation import values
        from llmattr.model.inside import response_log_odds
        from llmattr.model.odds import logprobs_of_log_odds

        with torch.no_grad(), self._on_the_way(ablation, 0.0):
            log_odds = response_log_odds(*ablation.opened()).double().cpu().numpy()
        return values(logprobs_of_log_odds(log_odds)[None], ablation.target_tokens, ablation.targets.measure)[0]

    @contextmanager
    def _on_the_way(self, ablation: "ContextAblation", point: float) -> "Iterator[tuple[list[Tensor], list[Tensor]]]":
        """Within, the model reads the sources at this point of their way; the lists hold what it read, and the whole way."""
        import torch

        from llmattr.model.inside import embedded, source_of

        blank = _blank(ablation.weights, self.blank)
        of_sources = torch.tensor(source_of(ablation.located()) >= 0, device=blank.device)[:, None]
        way: list[Tensor] = []

        def step(x: "Tensor") -> "Tensor":
            way.append(torch.where(of_sources, x - blank.to(x), 0.0))
            return x - (1 - point) * way[0]

        with embedded(ablation.weights, step) as read:
            yield read, way


def gauss_legendre(points: int) -> list[tuple[float, float]]:
    """Points on (0, 1) and their shares, which add up to 1: exact for polynomials up to degree 2 points - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return list(zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _blank(lm: "Weights", kind: Blank) -> "Tensor":
    """The embedding [d] of a blank token."""
    import torch

    table = lm.model.get_input_embeddings()
    weight = table.get_parameter("weight")
    if kind == "zero":
        return torch.zeros(weight.shape[1], dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        if kind == "mean":
            return table(torch.arange(weight.shape[0], device=weight.device)).mean(dim=0)
        return table(torch.tensor(lm.pad_id, device=weight.device)).clone()
