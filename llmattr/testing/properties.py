"""What a method keeps, one property a function; each failure says what was got and why it matters."""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from llmattr.components.contract import Method as ComponentMethod
from llmattr.context.contract import Method as ContextMethod
from llmattr.core.attribution import Attribution
from llmattr.core.fields import accepted, types_of
from llmattr.core.kinds import Kind
from llmattr.core.method import FAMILIES, Named, check_described, check_name, check_options, describe
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError
from llmattr.retraining.contract import Method as RetrainingMethod
from llmattr.testing.worlds import Sums
from llmattr.training.contract import KeepingMethod, TextMethod

if TYPE_CHECKING:
    import torch

AskingMethod = ContextMethod | RetrainingMethod | ComponentMethod  # they ask an ablation
ALIKE = ("corroborative", "reference")  # families that never ask what would have happened


# What the commands that take a method have themselves, by its kind: no method has an option of such a name.
RESERVED: dict[Kind, str] = {
    "context": """agree_ablations agree_with cache concurrency device dtype files heads help html index json judge language
        max_new_tokens measure messages model no_cache no_verify paraphrase prune query questions quick rather_than replicates
        response seed served_api served_model sources step target template timeout tokenizer top verbatim verbose verify
        zoom""",
    "training": """append checkpoints columns complement data device dim dtype help kind learning_rates model modules out
        row_type rows seed split strict unknown width""",
    "retraining": """batch_size clip columns completion data group_by help html jobs json learning_rate mean measure model out
        prompt queries replicates schedule seed split start steps top train verify warmup weight_decay""",
    "components": """aim circuits completion count counterfactual data device dictionary dtype help html json max_drift mean
        measure model out parts prompt rather_than reference sample seed targets text top unknown way""",
}


@runtime_checkable
class Method(Named, Protocol):
    """What methods of every family have: a name and a kind."""

    family: ClassVar[str]


def require(holds: object, otherwise: str) -> None:
    """Raise `AssertionError` with this message unless it holds."""
    if not holds:
        raise AssertionError(otherwise)


def check_contract(method: object) -> Method:
    """Name, family, docstring and options, which the command line, records and tables show; returns the method."""
    kind = type(method)
    require(dataclasses.is_dataclass(method), f"{kind.__name__} is no dataclass: its fields are its options and its record")
    frozen = kind.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]: dataclasses says it nowhere else
    require(frozen, f"{kind.__name__} is not frozen: a result must say what it was made with")
    if not isinstance(method, Method):
        raise AssertionError(f"{kind.__name__} needs a name and a family, both ClassVar[str]")
    check_name(method)
    require(method.family in FAMILIES, f"{method.name} is of the family {method.family!r}; there are {', '.join(FAMILIES)}")
    said = (kind.__doc__ or "").strip()
    made = said.startswith(f"{kind.__name__}(")  # by dataclass, where there was none
    require(said and not made, f"{method.name} has no docstring, whose first line is what --help and the tables say of it")
    check_options(method)
    check_described(kind)
    for field in dataclasses.fields(method):
        check_option(method, field)
    record = describe(method)
    require(json.loads(json.dumps(record)) == record, f"{method.name}: the record {record} is another one after JSON")
    return method


def check_option(method: Named, field: "dataclasses.Field[Any]") -> None:
    """One option: refused where it is nonsense."""
    what, (other, words) = f"{method.name}'s option {field.name}", accepted(types_of(type(method))[field.name])
    if other not in (int, float) and not words:
        return
    try:
        check_options(dataclasses.replace(method, **{field.name: "no such word"}))
    except (LlmattrError, TypeError):  # a type checker's error is one, too
        return
    raise AssertionError(f"{what} took 'no such word': its type is not checked, and a slip of the pen would be run for hours")


def check_names(method: Named, kind: Kind) -> None:
    """No option is called as one of the command's own, which could not tell them apart."""
    both = [field.name for field in dataclasses.fields(method) if field.name in RESERVED[kind].split()]
    require(not both, f"{method.name}'s option {' and '.join(both)} is one of the command's own: give it another name")


def check_shape(name: str, found: object, shape: tuple[int, int]) -> None:
    """An attribution with one row of scores for each target."""
    if not isinstance(found, Attribution):
        raise AssertionError(f"{name}: attribute returned a {type(found).__name__} and no Attribution")
    got = found.values.shape
    require(got == shape, f"{name}: values are {got} for {shape[0]} targets and {shape[1]} sources: one row for each target")


def check_retrieved(method: TextMethod, rows: list[str], queries: list[str]) -> None:
    """One row of scores for each query."""
    with unchanged(method.name, lambda: {"rows": list(rows), "queries": list(queries)}, AssertionError):
        got = returned(method, "retrieve", method.retrieve(rows, queries), np.ndarray).shape
    many = f"{len(queries)} queries and {len(rows)} rows"
    require(got == (len(queries), len(rows)), f"{method.name}: retrieve gave {got} for {many}: one row for each query")
    if isinstance(method, KeepingMethod):
        with tempfile.TemporaryDirectory() as folder:
            method.keep(iter(rows), Path(folder))
            kept = method.retrieve_kept(Path(folder), len(rows), queries)
            foreign = [path.name for path in Path(folder).iterdir() if not path.name.startswith("kept.")]
        require(not foreign, f"{method.name}: keep wrote {', '.join(foreign)}: the names of its files begin with kept.")
        check_near(method.name, method.retrieve(rows, queries), kept, 0.0, "what it kept has other scores than the rows")


def state_of(model: "torch.nn.Module") -> dict[str, Any]:
    """What a method may not change of a model: how it runs, what hooks on to it, and its weights."""
    modules, weights = list(model.modules()), list(model.parameters())
    return {
        "training": [module.training for module in modules],
        "hooks": [len(some) for module in modules for name, some in vars(module).items() if name.endswith("_hooks")],
        "requires_grad": [one.requires_grad for one in weights],
        "weights": [float(one.detach().double().sum()) for one in weights],
    }


def check_supports(name: str, scores: Float[np.ndarray, "n n"]) -> None:
    """Rows that are asked for again: the mean of a row's score for itself is at least the mean of all scores.

    So it is of products with any positive H, by Cauchy and Schwarz: `sum_i g_i' H g_i >= sum_i g_i' H sum_j g_j / n`. Rounding
    may leave 2^-11 of the largest, as of rows in float16.
    """
    own, every = float(np.diag(scores).mean()), float(scores.mean())
    holds = own >= every - 2**-11 * float(np.abs(scores).max())
    why = "positive is support: is the sign turned round?"
    require(holds, f"{name}: rows score {own:.2g} for themselves and {every:.2g} for any, in the mean: {why}")


def check_scores(method: Method, found: Attribution, again: Attribution, shape: tuple[int, int]) -> None:
    """One row of scores for each target, the same for the same seed, cited only where something was asked, fit for JSON."""
    name = method.name
    check_shape(name, found, shape)
    gap = np.abs(found.values - again.values).max()
    require(gap == 0, f"{name}: the same seed gave scores {gap:.2g} apart: is something drawn from a global state?")
    require(found.method == describe(method), f"{name}: the result says that it was made by {found.method}")
    cites = method.family in ALIKE and found.can_cite and not found.run.get("forward_passes")
    require(not cites, f"{name}: {method.family} scores may cite, though nothing was asked: their measure is 'similarity'")
    with tempfile.TemporaryDirectory() as folder:
        loaded = Attribution.load(found.save(Path(folder) / "saved.json"))
    same = loaded.to_frame().equals(found.to_frame()) and np.array_equal(_numbers(loaded), _numbers(found), equal_nan=True)
    require(same, f"{name}: the result is another one after it was saved as JSON and loaded")
    require(loaded.html() == found.html(), f"{name}: the result's page is another one after it was saved as JSON and loaded")


def _numbers(found: Attribution) -> np.ndarray:
    """What is said of each target beside its scores."""
    return np.array([column for column in (found.baseline, found.lds, found.ceiling) if column is not None])


def check_near(name: str, one: Float[np.ndarray, "t n"], other: Float[np.ndarray, "t n"], tolerance: float, why: str) -> None:
    """The same scores another way, to within a tolerance."""
    gap = np.abs(one - other).max()
    require(gap <= tolerance, f"{name}: {why} (scores are {gap:.2g} apart, {tolerance:.2g} is rounding)")


def check_sums(method: Method, found: Attribution, world: Sums) -> None:
    """Where sources only add up, a score is what its source adds, to within 5 standard errors or a tenth of the largest.

    The baseline is what is there without any of them, to within all that the scores may be off.
    """
    effects = world.effects
    error = np.zeros_like(found.values) if found.stderr is None else np.nan_to_num(found.stderr)
    allowed = np.maximum(5 * error, 0.1 * np.abs(effects).max(axis=1, keepdims=True))
    for t, i in np.argwhere(np.abs(found.values - effects) > allowed).tolist():
        effect, score = effects[t, i], found.values[t, i]
        turned = abs(score + effect) <= allowed[t, i]
        why = "positive is support: is the sign turned round?" if turned else "does column i stand for source i, in its unit?"
        raise AssertionError(
            f"{method.name}: source {i} adds {effect:+.2f} to target {t}, whatever else is there, and its score is "
            f"{score:+.2f} with an error of {error[t, i]:.2g}: {why}"
        )
    if found.baseline is not None:
        nothing = world.ablation(np.zeros((1, effects.shape[1]), dtype=bool))[0]
        t = int(np.argmax(np.abs(found.baseline - nothing) - allowed.sum(axis=1)))
        near = abs(found.baseline[t] - nothing[t]) <= allowed[t].sum()
        said = f"target {t} is {nothing[t]:+.2f} without any source, and its baseline {found.baseline[t]:+.2f}"
        require(near, f"{method.name}: {said}: a baseline is what is left with every source removed")


def check_worlds_of_sums(method: AskingMethod, forwards: Sums, backwards: Sums) -> None:
    """Scores are what sources add, of what asks ablations, and go with the source when the order is turned round."""
    answers = [method.attribute(world.ablation, 0) for world in (forwards, backwards)]
    if method.family not in ALIKE:
        for world, found in zip((forwards, backwards), answers, strict=True):
            check_sums(method, found, world)
    if method.family in ALIKE:
        values: Sequence[np.ndarray] = [found.values for found in answers]
        check_near(method.name, values[0], values[1][:, ::-1], 1e-9, "in another order sources have other scores")
