"""What a benchmark is made of: entries (a method with its options), problems that they score, and the scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.files import read_arrays, write_arrays
from llmattr.core.method import describe
from llmattr.metrics.shapes import Scores

PerUnit = Float[np.ndarray, " t"]
Costs = dict[str, float]  # "passes", "tokens", "models", "bytes", "CPU s": what a method took, as if it had run alone


@dataclass(frozen=True, eq=False)
class Entry:
    """A line of a table: a method at a budget, or (without a method) a reference that the problem knows by its label.

    `budget`: ablations or models that it may ask for; None where it has no such option. `how` is what is done besides the
    method's own fields; `is_reference`: it is there for comparison. Entries that differ by their seed alone are one line, the
    mean over them.
    """

    label: str
    method: Any = None
    budget: int | None = None
    seed: int = 0
    how: Mapping[str, Any] = field(default_factory=dict)
    is_reference: bool = False

    @property
    def name(self) -> str:
        """The label with what else tells it from others of the label."""
        return "-".join([self.label, *(str(one) for one in (self.budget, self.seed or None) if one is not None)])

    @property
    def family(self) -> str:
        """The method's kind."""
        return "reference" if self.method is None or self.is_reference else self.method.family

    def record(self) -> dict[str, Any]:
        """What its scores depend on besides the problem."""
        fields = {} if self.method is None else describe(self.method)
        return {"label": self.label, "seed": self.seed, "method": fields, **self.how}


@dataclass(frozen=True)
class Scored:
    """Scores [t, n] and what they cost; which are cited [t, n] and the baseline [t], where the method says so.

    `code`: the digest of the library's own files that made them.
    """

    values: Scores
    costs: Costs = field(default_factory=dict)
    cited: Bool[np.ndarray, "t n"] | None = None
    baseline: Float[np.ndarray, " t"] | None = None
    code: str = ""

    def predicted(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"] | None:
        """The outputs that it foretells in their unit; None where scores have none."""
        return None if self.baseline is None else self.baseline + masks @ self.values.T

    def save(self, path: Path) -> None:
        """Keep it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.asarray(value) for name, value in vars(self).items() if name != "costs" and value is not None}
        write_arrays(path, **arrays, **{f"cost {name}": np.float64(value) for name, value in self.costs.items()})

    @staticmethod
    def load(path: Path) -> "Scored":
        """As it was kept; raises `LlmattrError` for a damaged file, FileNotFoundError without one."""
        arrays = read_arrays(path)
        code = str(arrays.pop("code", ""))
        costs = {name.removeprefix("cost "): value.item() for name, value in arrays.items() if name.startswith("cost ")}
        return Scored(**{name: value for name, value in arrays.items() if not name.startswith("cost ")}, costs=costs, code=code)


@dataclass(frozen=True)
class Judged:
    """Measures of each unit (a target, a query), nan where one is not defined; `judges` [d, t]: the same by other judges.

    The d rows are the measure by d resamplings of what all units are judged by (held-out models), the same for every entry.
    `scatter` [m, 2]: what the scores foretell of the first unit under m ablations, and what came.
    """

    measures: Mapping[str, PerUnit]
    judges: Mapping[str, Float[np.ndarray, "d t"]] = field(default_factory=dict)
    scatter: Float[np.ndarray, "m 2"] | None = None


@runtime_checkable
class Problem(Protocol):
    """Something that every entry scores and that judges the scores: a question with its documents, a model's training set."""

    @property
    def name(self) -> str:
        """What it is called, as no other problem of the benchmark."""
        ...

    @property
    def of(self) -> str:
        """The set that it is from."""
        ...

    @property
    def judging(self) -> bool:
        """False where choices were made on it."""
        ...

    def identity(self) -> Any:
        """All that scores of it depend on, besides the entry: model, data, sizes."""
        ...

    def groups(self) -> Sequence[str]:
        """For each unit what it depends on together with others: these are drawn together."""
        ...

    def seconds(self, entry: Entry) -> float:
        """About how long the entry will take."""
        ...

    def score(self, entry: Entry) -> Scored:
        """The entry's scores; raises `LlmattrError` where it cannot score this problem."""
        ...

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """What scores are worth, by the entries' names; all at once, so that what judges them is computed together."""
        ...


def replaced(method: Any, **fields: Any) -> Any:
    """The method with those of these fields that it has."""
    return dataclasses.replace(method, **{name: value for name, value in fields.items() if name in vars(method)})
