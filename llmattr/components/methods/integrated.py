"""Gradients along a way, from components that are removed, or from another prompt, to the model as it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from llmattr.ablation import ask
from llmattr.core.attribution import Attribution
from llmattr.core.method import describe, option
from llmattr.errors import LlmattrError
from llmattr.surrogate.sampling import attribution

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients by gates on the components, the mean along a way to the model as it is; a step is one backward pass.

    `values = mean over a of df/dg at a`, a = the midpoints of `steps` equal parts of [0, 1]. Along the `gates`, all of them are
    a: the values tend to f(all) - f(none) in sum (Sundararajan et al. 2017, arXiv 1703.01365, equation 3; Aumann and Shapley).
    Along the `prompt`, the embeddings go from the counterfactual's to the prompt's, and the gate of each component from what it
    computes there to what it computes here: EAP-IG (Hanna, Pezzelle and Belinkov 2024, arXiv 2403.17806) of nodes. `details`:
    `gap`, what the values lack of f(all) - f(none), of the way along the gates.

    Cost: 2 steps + 2
    """

    name: ClassVar[str] = "integrated-gradients"
    family: ClassVar[str] = "predictive"
    steps: int = option(8, "points on the way; one forward and backward pass each", least=1)
    path: Literal["gates", "prompt"] = option("gates", "from removed components, or from the counterfactual (EAP-IG)")

    def attribute(self, ablation: "ComponentAblation", seed: int = 0) -> Attribution:
        """Nats, one row for each target of the ablation; `baseline` = f(all) - sum of values."""
        if self.path == "prompt" and ablation.way != "resample":
            raise LlmattrError("the path 'prompt' comes from the counterfactual: remove components by 'resample'")
        points = (np.arange(self.steps) + 0.5) / self.steps
        values = np.mean([ablation.gradients(**{self._way: point}) for point in points.tolist()], axis=0)
        none, full = ask(ablation, np.repeat([[False], [True]], len(ablation.sources), axis=1))
        baseline, gap = full - values.sum(axis=1), full - none - values.sum(axis=1)
        details = {"gap": gap.tolist()} if self.path == "gates" else {}
        record = {"seed": seed, "gradient_passes": self.steps}  # of each completion
        return attribution(ablation, describe(self), record, values=values, baseline=baseline, details=details)

    @property
    def _way(self) -> Literal["gate", "prompt"]:
        return "gate" if self.path == "gates" else "prompt"
