"""A prompt with a right and a wrong word: every method scores the model's components, held-out ablations and circuits judge."""

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.components.tasks import Row
from eval.context.case import Model
from eval.harness import choices
from eval.harness.contract import Costs, Entry, Judged, Scored
from llmattr import metrics
from llmattr.ablation import random_masks
from llmattr.components.ablation import ComponentAblation
from llmattr.components.build import component_ablation
from llmattr.components.features.dictionary import Dictionary
from llmattr.components.fills import Way
from llmattr.components.methods.ablating import LeaveOneOut
from llmattr.metrics import circuits

KEEP = 0.95  # of held-out masks: a model that lacks half of its parts says nothing (COAR, appendix)


@dataclass(frozen=True)
class Size:
    """How much is done: held-out masks, of which parts (features: of which dictionary), and what removed ones give."""

    held_out: int = 128
    parts: str = "heads"
    way: Way = "resample"
    dictionary: Dictionary | None = None

    def record(self) -> dict[str, Any]:
        """All of it; a dictionary by what its directions are."""
        of = self.dictionary and hashlib.sha256(self.dictionary.rows.numpy(force=True).tobytes()).hexdigest()[:16]
        return {**vars(self), "dictionary": of}


@dataclass(frozen=True, eq=False)
class Metered(ComponentAblation):
    """An ablation that keeps account of the masks and gradients that one method asks for, whether or not they were known."""

    masks: set[bytes] = field(default_factory=set)
    gradient_passes: list[float] = field(default_factory=list)  # the CPU seconds of each
    spent: list[float] = field(default_factory=list)  # CPU seconds inside
    each: list[float] = field(default_factory=list)  # CPU seconds of a mask, of every batch that was new

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """As the ablation."""
        before, started = len(self.known), time.process_time()
        found = super().__call__(masks)
        self.spent.append(time.process_time() - started)
        self.masks.update(mask.tobytes() for mask in masks)
        if len(self.known) > before:
            self.each.append(self.spent[-1] / (len(self.known) - before))
        return found

    def gradients(self, gate: float = 1.0, prompt: float = 1.0) -> Float[np.ndarray, "t n"]:
        """As the ablation."""
        started = time.process_time()
        found = super().gradients(gate, prompt)
        self.gradient_passes.append(time.process_time() - started)
        return found

    def costs(self, seconds: float) -> Costs:
        """Of a method that took so many CPU seconds with this ablation, as if it had run alone: a gradient is two passes."""
        requests, passes = self.asked.requests, self.asked.passes
        own = seconds - sum(self.spent) + len(self.masks) * float(np.median(self.each or [0.0]))
        back = 2 * len(self.gradient_passes)
        return {
            "passes": len(self.masks) * len(passes) + back * len(requests),
            "tokens": len(self.masks) * sum(len(requests[one[0]].ids) for one in passes)
            + back * sum(len(r.ids) for r in requests),
            "CPU s": own,
        }


@dataclass(frozen=True, eq=False)
class Case:
    """A `Problem`: a prompt of a task."""

    of: str
    row: Row
    judging: bool
    model: Model
    size: Size

    @property
    def name(self) -> str:
        """The task and the prompt."""
        return f"{self.of}: {self.row['prompt']}"

    def identity(self) -> Any:
        """The prompt, the model, which components and how they are removed."""
        return {"row": self.row, "model": self.model.identity, "size": self.size.record()}

    def groups(self) -> Sequence[str]:
        """One target a prompt."""
        return [self.name]

    @cached_property
    def ablation(self) -> ComponentAblation:
        """By how much the right word is likelier than the wrong one: the difference of their logits."""
        size = self.size
        return component_ablation(self.model.lm, self.row, parts=size.parts, way=size.way, dictionary=size.dictionary)

    @cached_property
    def each(self) -> list[float]:
        """The CPU seconds of a mask, as they come."""
        return []

    def seconds(self, entry: Entry) -> float:
        """About: by the masks that a method asks for."""
        n = len(self.ablation.sources)
        masks = entry.budget or (n if isinstance(entry.method, LeaveOneOut) else 0)
        return 0.01 * len(self.ablation.asked.requests[0].ids) * masks

    def score(self, entry: Entry) -> Scored:
        """What the method finds, and at what cost; random scores of the seed."""
        n = len(self.ablation.sources)
        if entry.method is None:
            return Scored(np.random.default_rng(entry.seed).normal(size=(1, n)), {"passes": 0, "tokens": 0, "CPU s": 0.0})
        parts = {one.name: getattr(self.ablation, one.name) for one in dataclasses.fields(ComponentAblation)}
        ablation = Metered(**parts, each=self.each)
        started = time.process_time()
        found = entry.method.attribute(ablation, entry.seed)
        return Scored(found.values, ablation.costs(time.process_time() - started), baseline=found.baseline)

    @cached_property
    def held_out(self) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, "m t"]]:
        """Masks that keep nearly all, by a seed that no method has, and the outputs under them."""
        masks = random_masks(self.size.held_out, len(self.ablation.sources), KEEP, seed=choices.seed("components"))
        return masks, self.ablation(masks)

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """LDS, and what circuits of the components with the best scores do."""
        return {name: self._judged(one) for name, one in found.items()}

    def _judged(self, scored: Scored) -> Judged:
        masks, outputs = self.held_out
        values = scored.values
        measures = {
            "LDS": metrics.lds(values, masks, outputs),
            "CPR": circuits.performance_ratio(circuits.faithfulness_curve(values, self.ablation)),
            "CMD": circuits.model_distance(circuits.faithfulness_curve(values, self.ablation, absolute=True)),
        }
        if (predicted := scored.predicted(masks)) is not None:
            measures["counterfactual error"] = metrics.counterfactual_error(predicted, outputs)
        return Judged(measures, scatter=np.stack([(values @ masks.T.astype(float))[0], outputs[:, 0]], axis=1))
