"""Products of a model's Gauss-Newton matrix with vectors, in its tracked layers, without ever forming the matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmattr.core.progress import progress
from llmattr.model.batches import make_batch, plan
from llmattr.model.forward import abilities
from llmattr.model.lm import LM
from llmattr.text.rows import Examples
from llmattr.training.gradients.experts import unfused
from llmattr.training.gradients.flat import join, split
from llmattr.training.gradients.layers import Layers, weight
from llmattr.training.gradients.norms import Vector
from llmattr.training.gradients.passes import HEAD_LOGITS
from llmattr.training.gradients.recorders import not_finite


@dataclass(frozen=True, eq=False)
class GaussNewton:
    """`v -> (1/n) sum over n examples of J' H J v`, for each row v of [t, d] (Schraudolph 2002; Martens 2010, section 4.2).

    J is the Jacobian of an example's logits at its counted tokens by the d tracked weights, and H = diag(p) - p p' the Hessian
    of their summed cross-entropy, "loss" in `run_backward`. This is the Fisher matrix of the model's own answers, in nats per
    squared weight. Weights lie as in `exact_gradients`: layer after layer, each flattened from [i, o]. A batch holds at most
    `tokens` tokens with their padding.
    """

    lm: LM
    examples: Examples
    layers: Layers
    tokens: int = 1024

    def __call__(self, v: Float[torch.Tensor, "t d"]) -> Float[torch.Tensor, "t d"]:
        """The products, in the type of v: a forward pass over the examples, and about three backward passes for each row."""
        total = torch.zeros_like(v)
        with unfused(self.lm.model, self.layers):
            for rows in progress(plan(self.examples, self.tokens), "curvature", "batches"):
                self._add(total, rows, v)
                if not torch.isfinite(total).all():
                    raise not_finite(f"the curvature of {' or '.join(self.examples.name(row) for row in rows[:5])}")
        return total / len(self.examples)

    def _add(self, total: Float[torch.Tensor, "t d"], rows: Sequence[int], v: Float[torch.Tensor, "t d"]) -> None:
        """Add a batch's `sum of J' H J v`; `J v` is the derivative by u of `(J' u) . v`."""
        weights = [weight(module).detach().requires_grad_() for module in self.layers.values()]
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused kernels cannot be differentiated twice
            logits = self._logits(weights, rows)
            u = torch.zeros_like(logits, requires_grad=True)
            pulled = torch.autograd.grad(logits, weights, u, create_graph=True)
        p, size = logits.detach().softmax(-1), max(1, HEAD_LOGITS // max(logits.numel(), v.shape[1]))
        for part, sums in zip(v.split(size), total.split(size), strict=True):
            pushed = torch.autograd.grad(pulled, u, self._split(part), retain_graph=True, is_grads_batched=True)[0]
            curved = p * (pushed - (p * pushed).sum(-1, keepdim=True))
            sums += self._join(torch.autograd.grad(logits, weights, curved, retain_graph=True, is_grads_batched=True), v)

    def _logits(self, weights: Sequence[torch.Tensor], rows: Sequence[int]) -> Float[torch.Tensor, "k v"]:
        """The logits that predict the batch's counted tokens, as a function of the tracked weights alone."""
        batch, model = make_batch(self.lm, self.examples, rows), self.lm.model
        fixed = {  # by one name for each module: a layer that stands in several places is the tracked one in all
            f"{place}.{name}".lstrip("."): parameter.detach()
            for place, module in model.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
        }
        layers = zip(self.layers.items(), weights, strict=True)
        tracked = dict(self._parameter(name, module, value) for (name, module), value in layers)
        places = batch.at.any(0).nonzero()[:, 0]
        cuts = abilities(model).keeps_logits
        inputs = batch.inputs | ({"logits_to_keep": places} if cuts else {})
        logits = functional_call(model, fixed | tracked, (), inputs, tie_weights=False).logits
        logits = (logits if cuts else logits[:, places])[batch.at[:, places]]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @staticmethod
    def _parameter(name: str, module: torch.nn.Module, value: torch.Tensor) -> tuple[str, torch.Tensor]:
        """The model's own name for a layer's weight, and the weight as it has it there."""
        return (name, value.view(-1)) if isinstance(module, Vector) else (f"{name}.weight", value)

    def _split(self, v: Float[torch.Tensor, "t d"]) -> list[torch.Tensor]:
        """Rows as tensors [t, ...] of the layers' weights: a `torch.nn.Linear` keeps [o, i]."""
        return [self._turned(name, part).to(weight(self.layers[name])) for name, part in split(v, self.layers).items()]

    def _join(self, parts: Sequence[torch.Tensor], like: torch.Tensor) -> Float[torch.Tensor, "t d"]:
        """The inverse of `_split`."""
        return join({name: self._turned(name, part).to(like) for name, part in zip(self.layers, parts, strict=True)})

    def _turned(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """From [t, i, o] to how the layer keeps its weight, and back."""
        return part.mT if isinstance(self.layers[name], torch.nn.Linear) else part
