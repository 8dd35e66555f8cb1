"""How a model is trained: everything but the data, the weights of its rows and the seed."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.method import option
from llmattr.core.seeded import generator
from llmattr.errors import LlmattrError


@dataclass(frozen=True)
class Recipe:
    """Training by AdamW with a fixed number of steps, whatever was removed; without dropout."""

    steps: int | Literal["auto"] = option(
        "auto", "optimizer steps of every run; auto: 20 passes over all rows from random weights, 3 from given ones", least=1
    )
    batch_size: int = option(32, "rows in a step", least=1)
    learning_rate: float | Literal["auto"] = option(
        "auto", "AdamW's step size at its height; auto: 0.003 from random weights, 0.00005 from given ones"
    )
    schedule: Literal["linear", "cosine", "constant"] = option("linear", "how the step size falls to 0 after the warm-up")
    warmup: float = option(0.05, "share of the steps in which the step size rises from 0", below=1)
    weight_decay: float = option(0.0, "AdamW's decay of weights (not of vectors such as norms and biases)")
    clip: float = option(1.0, "the largest norm of a step's gradient; 0 for none")
    start: Literal["given", "random"] = option("given", "given: start from the model's weights; random: from new ones")

    def for_rows(self, n: int) -> "Recipe":
        """The same with numbers in the place of "auto", for n rows."""
        passes, height = (20, 3e-3) if self.start == "random" else (3, 5e-5)
        steps = -(-passes * n // self.batch_size) if self.steps == "auto" else self.steps
        height = height if self.learning_rate == "auto" else self.learning_rate
        return dataclasses.replace(self, steps=steps, learning_rate=height)

    def rate(self, step: int) -> float:
        """The step size at this step, counted from 0."""
        steps, height = int(self.steps), float(self.learning_rate)
        warm = round(self.warmup * steps)
        if step < warm:
            return height * (step + 1) / warm
        left = (steps - step) / max(steps - warm, 1)
        shapes = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * np.cos(np.pi * left)}
        return float(height * shapes[self.schedule])

    def batches(self, kept: Bool[np.ndarray, " n"], seed: int) -> Int[np.ndarray, "steps b"]:
        """The rows of every step; of no kept row no step.

        Epoch after epoch all n rows come in an order drawn with the seed. Where a removed row would come, a kept one takes its
        place, each in turn. So every run makes as many full steps, and two runs with the same seed that differ by one row
        differ in the few steps alone in which it would have come.
        """
        if not kept.any():
            return np.zeros((0, self.batch_size), dtype=int)
        places = int(self.steps) * self.batch_size
        stream = _epochs(len(kept), places, seed, "order")
        holes = ~kept[stream]
        others = _epochs(len(kept), -(-int(holes.sum()) // int(kept.sum())) * len(kept), seed, "fill")
        stream[holes] = others[kept[others]][: holes.sum()]
        return stream.reshape(-1, self.batch_size)


def _epochs(n: int, count: int, seed: int, name: str) -> Int[np.ndarray, " count"]:
    rng = generator(seed, name)
    orders = [rng.permutation(n) for _ in range(-(-count // n))]
    return np.concatenate([*orders, np.zeros(0, dtype=int)])[:count]


def check_weights(weights: object, n: int) -> None:
    """Raise `LlmattrError` unless these are n finite numbers of 0 or more."""
    array = np.asarray(weights)
    if array.shape != (n,) or not np.isfinite(array).all() or (array < 0).any():
        raise LlmattrError(f"the rows' weights must be {n} numbers of 0 or more, not {array.shape}")


def named_run(weights: Float[np.ndarray, " n"], seed: int) -> str:
    """A run in words: its seed, and the rows that it was trained on or without, whichever are fewer."""
    kept, gone = np.flatnonzero(weights > 0), np.flatnonzero(weights == 0)
    if not len(kept) or not len(gone):
        return f"seed {seed}, {'all' if len(kept) else 'none of the'} {len(weights)} rows"
    word, rows = ("without", gone) if len(gone) < len(kept) else ("on", kept)
    some = ", ".join(map(str, rows[:8])) + (" ..." if len(rows) > 8 else "")
    return f"seed {seed}, {word} rows {some} of {len(weights)}"
