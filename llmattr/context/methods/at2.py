"""AT2: attention heads, weighted by how well each one foretells ablations."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.core.plain_json import json_text
from llmattr.core.progress import progress
from llmattr.errors import LlmattrError, check_number

if TYPE_CHECKING:
    from llmattr.context.removal.ablation import ContextAblation

RATE, BATCH = 0.01, 512


@dataclass(frozen=True)
class At2:
    """Attention with learnt head weights: fitted once for a model on ablations, then one pass a prompt.

    `values[t, i] = sum over layers and heads of weight[l, h] attention[t, i, l, h]` (see `attention_mass`; Cohen-Wang et al.
    2025, arXiv 2504.13752). Without a file of weights they are fitted on ablations of this very prompt, which costs as much as
    ContextCite. Scores rank sources; they are not in nats, and nothing is cited by them.

    Cost: 1; 33 to fit it on the prompt
    """

    name: ClassVar[str] = "at2"
    family: ClassVar[str] = "predictive"
    weights: str = option(
        "", "file of head weights (llmattr.context.methods.at2.fit); without it they are fitted on this prompt"
    )
    n_ablations: int = option(32, "ablations of this prompt to fit on when there is no file", least=2)
    iterations: int = option(1000, "steps of the fit when there is no file", least=1)

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        """Weighted attention, one row per target; no baseline."""
        from llmattr.context.methods.attention import attention_mass
        from llmattr.context.methods.retrieval import similarities

        heads = HeadWeights.load(self.weights) if self.weights else self._fitted_here(ablation, seed)
        mass = attention_mass(ablation)
        if mass.shape[2:] != heads.weights.shape:
            raise LlmattrError(
                f"{self.weights} has weights {heads.weights.shape} (layers, heads) of {heads.model or 'a model'}, and "
                f"{ablation.lm.name or 'this model'} has {mass.shape[2:]}: fit them for this model"
            )
        values = np.stack([(target * heads.weights).sum(axis=(1, 2)) for target in mass])
        result = similarities(self, ablation, values, "attention")
        return replace(result, run={**result.run, "seed": seed})

    def _fitted_here(self, ablation: "ContextAblation", seed: int) -> "HeadWeights":
        # The fit takes the prompt's own targets, so that a span gets the same scores whatever it is asked with.
        whole = ablation.of(ablation.prompt.targets(ablation.targets.measure))
        return fit_at2([whole], self.n_ablations, seed=seed, iterations=self.iterations)


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """A weight for every layer and head of a model, their absolute values adding up to 1, and how they were fitted."""

    weights: Float[np.ndarray, "l h"]
    model: str = ""
    fit: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write them as JSON `{weights, model, fit}`; return the path."""
        from llmattr.core.files import write

        return write(Path(path), json_text({**asdict(self), "weights": self.weights}))

    @staticmethod
    def load(path: str | Path) -> "HeadWeights":
        """Read what `save` wrote; raises `LlmattrError` for anything else."""
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            weights = np.array(saved["weights"], dtype=float)
            return HeadWeights(weights.reshape(len(weights), -1), saved["model"], saved["fit"])
        except OSError as error:
            raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LlmattrError(f"{str(path)!r} holds no head weights ({type(error).__name__}: {error})") from error


def fit(
    model: object,
    rows: Iterable[Mapping[str, Any]],
    *,
    n_ablations: int = 32,
    keep: float = 0.5,
    iterations: int = 1000,
    sources: str = "sentences",
    max_new_tokens: int = 256,
    seed: int = 0,
) -> HeadWeights:
    """Head weights for a model from rows `{"context", "query", "response"}`; a response that is missing is generated.

    `model`: as for `cite`. Every row costs `n_ablations` + 1 forward passes; some hundred rows serve any later prompt.
    """
    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.model.lm import LM
    from llmattr.text.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
    from llmattr.text.prompt import Prompt, cut

    lm = LM.load(model)
    template = TEMPLATE if lm.tokenizer.chat_template else PLAIN_TEMPLATE
    ablations = []
    for number, row in enumerate(progress(list(rows), "answering", "prompts"), 1):
        if not {"context", "query"} <= set(row):
            raise LlmattrError(f"row {number} has the fields {', '.join(row)}: context and query are needed")
        chat = conversation(row["context"], row["query"], None, template)
        prompt = Prompt(lm.tokenizer, chat, cut(chat, sources))
        given = row.get("response")
        prompt = prompt.with_response(given) if given else prompt.with_generated(lm.generate(prompt.full().ids, max_new_tokens))
        ablations.append(ContextAblation(lm, prompt, prompt.targets()))
    return fit_at2(ablations, n_ablations, keep, seed, iterations)


def fit_at2(
    ablations: Sequence["ContextAblation"], n_ablations: int = 32, keep: float = 0.5, seed: int = 0, iterations: int = 1000
) -> HeadWeights:
    """Head weights whose attention best foretells these ablations (see `fit_heads`), all of one model.

    Each one is asked `n_ablations` random masks; every target of it is an example.
    """
    from llmattr.ablation import ask, random_masks
    from llmattr.context.methods.attention import attention_mass

    check_number("n_ablations", n_ablations, 2, whole=True)
    if not ablations:
        raise LlmattrError("there is nothing to fit head weights on: give at least one prompt")
    features, outputs, shape = [], [], (0, 0)
    for number, ablation in enumerate(progress(ablations, "scoring", "prompts")):
        masks, mass = random_masks(n_ablations, len(ablation.sources), keep, seed + number), attention_mass(ablation)
        shape = mass.shape[2:]
        features += [seen_features(masks, target.reshape(len(target), -1)) for target in mass]
        outputs += list(ask(ablation, masks).T)
    weights = fit_heads(np.stack(features), np.stack(outputs), iterations, seed)
    options = {"prompts": len(ablations), "n_ablations": n_ablations, "keep": keep, "iterations": iterations, "seed": seed}
    return HeadWeights(weights.reshape(shape), ablations[0].lm.name, options)


def seen_features(masks: Bool[np.ndarray, "m n"], mass: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "m f"]:
    """`(2 mask - 1) @ mass`: each head's attention on what is kept, less that on what is removed."""
    return (2.0 * masks - 1.0) @ mass


def fit_heads(
    features: Float[np.ndarray, "e m f"], outputs: Float[np.ndarray, "e m"], iterations: int = 1000, seed: int = 0
) -> Float[np.ndarray, " f"]:
    """Weights w that maximise the mean over examples of the Pearson correlation of `features[e] @ w` with `outputs[e]`.

    Adam at 0.01 with a cosine to 0, batches of 512 examples, from all ones; L1-normalised at the end. (Correlation does not see
    the scale of w; from the paper's `1 / f` at 1e-3 the steps are so long that rounding grows into other weights.) An
    example whose outputs do not differ says nothing and is left out.
    """
    y = outputs - outputs.mean(axis=1, keepdims=True)
    told = np.linalg.norm(y, axis=1) > 1e-9 * (1 + np.linalg.norm(outputs, axis=1))
    if not told.any():
        raise LlmattrError("no ablation changes any target: there is nothing to fit head weights on")
    y = y[told] / np.linalg.norm(y[told], axis=1, keepdims=True)
    x = (features - features.mean(axis=1, keepdims=True))[told]
    draw = np.random.default_rng(seed)
    weights = np.ones(x.shape[2])
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, iterations + 1):
        batch = draw.choice(len(y), BATCH, replace=False) if len(y) > BATCH else slice(None)
        gradient = _uncorrelation_gradient(x[batch], y[batch], weights)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = RATE * (1 + np.cos(np.pi * (step - 1) / iterations)) / 2
        weights -= rate * (mean / (1 - 0.9**step)) / np.sqrt(square / (1 - 0.999**step) + 1e-24)
    return weights / np.abs(weights).sum()


def _uncorrelation_gradient(
    x: Float[np.ndarray, "e m f"], y: Float[np.ndarray, "e m"], weights: Float[np.ndarray, " f"]
) -> Float[np.ndarray, " f"]:
    """The gradient of minus the mean correlation, for centred x and y of length 1: `-X^T (y - r p / |p|) / |p|`, p = X w."""
    p = x @ weights
    size = np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-12)
    correlation = (p * y).sum(axis=1, keepdims=True) / size
    return -np.einsum("em,emf->f", (y - correlation * p / size) / size, x) / len(x)
