"""What else an edit changes: the log-probabilities of texts before and after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.components.asked import Asked
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM


@dataclass(frozen=True, eq=False)
class Drift:
    """Log-probabilities of rows before and after an edit, in nats: of a query's completion, or of a text's token on average."""

    before: Float[np.ndarray, " r"]
    after: Float[np.ndarray, " r"]

    @property
    def change(self) -> Float[np.ndarray, " r"]:
        """What the edit adds."""
        return self.after - self.before

    @property
    def apart(self) -> float:
        """How far rows are off on average, whichever way: `mean |after - before|`."""
        return float(np.abs(self.change).mean())

    def record(self) -> dict[str, Any]:
        """Means over the rows with their standard errors, and the rows themselves."""
        values = {"before": self.before, "after": self.after, "change": self.change}
        means = {name: dict(zip(("mean", "stderr"), mean_and_error(rows), strict=True)) for name, rows in values.items()}
        return {**means, "apart": self.apart, "rows": {"before": self.before.tolist(), "after": self.after.tolist()}}


def mean_and_error(rows: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """The mean, and its standard error `s / sqrt(r)`; nan of one row."""
    return float(rows.mean()), float(rows.std(ddof=1) / len(rows) ** 0.5) if len(rows) > 1 else float("nan")


def log_probabilities(lm: LM, asked: Asked, *, per_token: bool = False) -> Float[np.ndarray, " t"]:
    """Of each target, in nats; or of its tokens, on average."""
    found = lm.logprobs(asked.requests)
    return asked.weights @ np.array([one.mean() if per_token else one.sum() for one in found])


def check_drift(drift: Mapping[str, Drift], most: float | None) -> None:
    """Raise `LlmattrError` where what should stay as it is is further off than `most` nats on average."""
    for name, found in drift.items():
        if most is not None and name != "targets" and not found.apart <= most:
            moved = f"the {name} drifts by {found.apart:.3g} nats on average, and {most:g} is the bound"
            raise LlmattrError(f"{moved}: nothing is saved; remove fewer components, or allow more")
