"""How a dictionary of features is learnt."""

from dataclasses import dataclass

from llmattr.errors import LlmattrError, check_number


@dataclass(frozen=True)
class Plan:
    """How a dictionary is learnt: `size` features, the `k` largest of a token or, with `l1` in the place of k, any number.

    The loss of a token is `|x - x'|^2 / d`, with L1 `+ l1 sum codes / d`, where x has mean 0 and mean square norm d, and rows
    have norm 1 (Bricken et al. 2023; l1 5 there). Adam; the learning rate falls to 0 over the last fifth of the steps.
    """

    size: int = 2048
    k: int | None = 32
    l1: float = 0.0
    steps: int = 2000
    batch: int = 1024
    learning_rate: float = 1e-3

    def check(self) -> None:
        """Raise `LlmattrError` for what is no plan."""
        for name, value in {"size": self.size, "steps": self.steps, "batch": self.batch}.items():
            check_number(name, value, 1, whole=True)
        check_number("learning_rate", self.learning_rate, 0)
        check_number("l1", self.l1, 0)
        if (self.k is None) == (self.l1 == 0):
            raise LlmattrError("features are sparse by k, the largest of a token, or by an l1 above 0: give one of both")
        if self.k is not None:
            check_number("k", self.k, 1, self.size, whole=True)
