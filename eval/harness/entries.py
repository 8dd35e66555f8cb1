"""Which lines a benchmark compares: every method at each budget, with what is there for comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.harness.contract import Entry
from llmattr.errors import LlmattrError

BASELINES = ("random", "length", "word-share")  # which every table has, whatever methods are asked for
KNOBS = ("n_ablations", "n_models")  # the options that say how much a method may ask
DRAWS = 8  # of random scores, whose measures are their mean

Settings = Mapping[str, Mapping[str, Mapping[str, Any]]]  # method -> label -> options; without one its defaults


def entries(
    methods: Mapping[str, type], wanted: Sequence[str], budgets: Sequence[int], settings: Settings | None = None
) -> list[Entry]:
    """The wanted methods (all without any), each at every budget where it has one."""
    names = named(methods, wanted)
    found = []
    for name in names:
        for label, options in (settings or {}).get(name, {name: {}}).items():
            found += at_budgets(label, methods[name], options, budgets)
    return found


def at_budgets(label: str, kind: type, options: Mapping[str, Any], budgets: Sequence[int]) -> list[Entry]:
    """A method at each budget; random scores several times, anything without a budget once."""
    if kind.name == "random":
        return [Entry(label, kind(), seed=seed) for seed in range(DRAWS)]
    knob = next((name for name in KNOBS if name in kind.__dataclass_fields__), None)
    if knob is None or knob in options:
        return [Entry(label, kind(**options))]
    return [Entry(label, kind(**{**options, knob: budget}), budget) for budget in budgets]


def named(methods: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """These methods with the baselines, all without any; raises `LlmattrError` for one that is not known."""
    if unknown := [name for name in wanted if name not in methods]:
        raise LlmattrError(f"there is no method {unknown[0]!r}; there are {', '.join(methods)}")
    return [name for name in methods if not wanted or name in (*wanted, *BASELINES)]
