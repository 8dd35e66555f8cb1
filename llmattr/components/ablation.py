"""The components' ablation: what a completion is worth when only some parts of the model do their work."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from llmattr.ablation import check_masks
from llmattr.components.asked import Asked, counterfactual
from llmattr.components.fills import Fill, Way, dead, seen
from llmattr.components.sites import Site, changed, sources_of
from llmattr.core.progress import Progress
from llmattr.core.sources import Sources, Targets
from llmattr.model import inside
from llmattr.model.forward import evaluating
from llmattr.model.lm import LM
from llmattr.model.odds import log_odds_of_logprobs, logprobs_of_log_odds
from llmattr.model.padded import batches, odds_at, padded


@dataclass(frozen=True, eq=False)
class ComponentAblation:
    """An `Ablation` of the inside of a causal model. A removed component gives its fill in the place of what it computes.

    `fills[r]`: of each request. A batch has one request, so that nothing is padded, and a mask in each of its rows. The model
    is hooked for the time of a pass, neither copied nor changed. Every mask is run once.
    """

    lm: LM
    sites: Sequence[Site]
    asked: Asked
    fills: Sequence[Fill] = field(repr=False)
    way: Way = "zero"
    known: dict[bytes, Float[np.ndarray, " t"]] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> Sources:
        """The components."""
        return sources_of(self.sites)

    @property
    def targets(self) -> Targets:
        """The completions."""
        return self.asked.targets

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The value of each target under each mask, in nats."""
        check_masks(masks, sum(site.count for site in self.sites))
        new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in self.known}
        if new:
            self.known.update(zip(new, self._values(np.stack(list(new.values()))), strict=True))
        found = [self.known[mask.tobytes()] for mask in masks]
        return np.stack(found) if found else np.empty((0, len(self.targets)))

    def _values(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        requests, passes = self.asked.requests, self.asked.passes
        logprobs = np.empty((len(masks), len(requests)))
        with Progress(len(masks) * len(passes), "ablating", "passes") as bar:
            for together in passes:
                for rows in batches(self.lm, [requests[together[0]]] * len(masks)):
                    with evaluating(self.lm.model), self._kept(masks[rows], together[0]):
                        logprobs[np.ix_(rows, together)] = self._logprobs(together, len(rows))
                    bar.update(len(rows))
        values = log_odds_of_logprobs(logprobs) if self.asked.measure == "logit" else logprobs
        return values @ self.asked.weights.T

    def _logprobs(self, together: Sequence[int], rows: int) -> Float[np.ndarray, "b k"]:
        """What each of these requests is given in a pass of so many rows."""
        requests = [self.asked.requests[number] for number in together]
        if len(requests) > 1:
            one, tokens = requests[0], [request.ids[-1] for request in requests]
            return logprobs_of_log_odds(odds_at(self.lm, one.ids, one.response.start, tokens, rows))
        return logprobs_of_log_odds(np.stack(padded(self.lm, requests * rows))).sum(axis=1, keepdims=True)

    @contextmanager
    def _kept(self, masks: Bool[np.ndarray, "b n"], request: int) -> Iterator[None]:
        """Within, row k of a batch has the components of `masks[k]` and the request's fill in the place of the others."""
        gates = torch.tensor(masks, device=self.lm.device).split([site.count for site in self.sites], dim=1)

        def keep(number: int, pieces: torch.Tensor) -> torch.Tensor:
            kept = gates[number].to(pieces.device)[:, None, :, None]
            return torch.where(kept, pieces, self.fills[request][number].to(pieces))

        with changed(self.sites, keep, len(masks)):
            yield

    def gradients(self, gate: float = 1.0, prompt: float = 1.0) -> Float[np.ndarray, "t n"]:
        """`d target / d gate` of each component, where a gate g goes from its fill to what it computes: `fill + g (x - fill)`.

        At g = 1: `sum over tokens of (x - fill) . d target / dx`, one forward and backward pass for each request. Attribution
        patching: Nanda 2023; Syed, Rager and Conmy 2023, arXiv 2310.10348. `gate`: what all gates are, in the place of 1.
        `prompt`: the share of the prompt in the model's input embeddings, the rest is its counterfactual; x stays what the
        component computes on the prompt. Raises `LlmattrError` where there is none.
        """
        return self.asked.weights @ np.stack([self._gradient(r, gate, prompt) for r in range(len(self.asked.requests))])

    def _gradient(self, number: int, gate: float, prompt: float) -> Float[np.ndarray, " n"]:
        request = self.asked.requests[number]
        gates = torch.full((sum(site.count for site in self.sites),), gate, device=self.lm.device, requires_grad=True)
        opened = gates.split([site.count for site in self.sites])
        own = seen(self.lm, self.sites, request.ids) if prompt < 1 else None

        def open_(site: int, pieces: torch.Tensor) -> torch.Tensor:
            way = (pieces if own is None else own[site]) - self.fills[number][site].to(pieces)
            return pieces + (opened[site].to(pieces)[:, None] - 1) * way  # exactly the pieces where gates are 1

        span = np.array([[0, request.response.stop - request.response.start]])
        with inside.frozen(self.lm, len(request.ids)), changed(self.sites, open_), self._mixed(number, prompt):
            log_odds = inside.response_log_odds(self.lm, request)
            return inside.target_gradients(log_odds, span, self.asked.measure, gates, lambda gradient: gradient)[0]

    @contextmanager
    def _mixed(self, number: int, prompt: float) -> Iterator[None]:
        """Within, the model reads this share of its request's embeddings and the rest of those of its counterfactual."""
        if prompt == 1:
            yield
            return
        with torch.no_grad():
            other = self.lm.model.get_input_embeddings()(self._counterfactuals[number])
        with inside.embedded(self.lm, lambda x: prompt * x + (1 - prompt) * other):
            yield

    @cached_property
    def _counterfactuals(self) -> list[Int[torch.Tensor, "1 s"]]:
        return [torch.tensor([ids], device=self.lm.device) for ids in counterfactual(self.lm, self.asked)]

    def dead(self) -> Bool[np.ndarray, " n"]:
        """Which components make no difference when they are removed, by what the tokens of all requests show."""
        return np.all([self._dead(together[0]) for together in self.asked.passes], axis=0)

    def _dead(self, number: int) -> list[bool]:
        """The same by those of one request."""
        pieces = seen(self.lm, self.sites, self.asked.requests[number].ids)
        return [one for of_site in map(dead, self.sites, pieces, self.fills[number]) for one in of_site]

    def record(self) -> dict[str, Any]:
        """The model, how components are removed, and how many masks of how many requests were run."""
        parts = "+".join(dict.fromkeys(site.part for site in self.sites))
        passes = len(self.known) * len(self.asked.passes)
        splice = next((site.splice for site in self.sites if site.splice), None)
        more = {"dictionary": splice.record()} if splice else {}
        return {**self.lm.record(), "parts": parts, "way": self.way, **more, "forward_passes": passes}
