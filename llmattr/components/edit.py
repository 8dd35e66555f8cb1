"""`edit`: a model without the components that carry some completions and spare others, saved, with what else it changed."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from llmattr.components.asked import Asked, asked_of
from llmattr.components.build import attributed, component_ablation
from llmattr.components.contract import Method
from llmattr.components.drift import Drift, check_drift, log_probabilities
from llmattr.components.fills import Way
from llmattr.components.folding import Changes, check_foldable, fold, folded
from llmattr.components.methods import METHODS
from llmattr.components.methods.patching import Verified
from llmattr.components.sites import FEATURES, sites_of
from llmattr.core.attribution import Attribution
from llmattr.core.files import write
from llmattr.core.method import find_method
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, check_choice, check_number
from llmattr.model.lm import LM
from llmattr.model.loading import own_dtype
from llmattr.text.questions import whole
from llmattr.text.reading import Queries, read_queries

Aim = Literal["lower", "raise"]
RECORD = "edit.json"  # beside the weights
TEXT = "text"  # the set that is no completions: its tokens count on average


@dataclass(frozen=True, eq=False)
class Edit:
    """What was removed, and what that does.

    `removed`: of each component its `id` and `text`, Welch's `t`, and its mean effects on the `targets` and the `reference`.
    `drift`: of the "targets", the "reference" and, where one was given, the "text". `run` is a record.
    """

    removed: Sequence[Mapping[str, Any]]
    drift: Mapping[str, Drift]
    run: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        drift = {name: found.record() for name, found in self.drift.items()}
        return {"removed": list(self.removed), "drift": drift, "run": dict(self.run)}


def edit(
    model: object,
    targets: Queries,
    reference: Queries,
    out: str | Path,
    method: object = Verified(),
    *,
    parts: str = "heads",
    way: Way = "zero",
    sample: Queries | None = None,
    count: int = 5,
    aim: Aim = "lower",
    text: Queries | None = None,
    max_drift: float | None = None,
    seed: int = 0,
    dtype: str | None = None,
    device: str | None = None,
) -> Edit:
    """Remove the components that move the targets and spare the reference, and save the model without them as `out`.

    Both are rows with `prompt` and `completion` (`rather_than`: a difference), whose effects `method` finds. Removed are the
    `count` components with the highest t of Welch between them that move the targets as `aim` says (COAR-Edit: Shah et al.
    2024, arXiv 2404.11534), by `way` "zero" or "mean" (of the `sample`). They are folded into the weights: `out` is an ordinary
    model folder, with a record, `edit.json`. The model given is left as it is. `text`: rows of other texts whose drift is
    measured, too. `dtype`, `device`: in which effects and drift of a named model are computed (`LM.load`); it is saved in its
    own type, and what is not removed as it is there, to the bit. Raises `LlmattrError`, and saves nothing, where nothing can
    be folded or moves the targets, and where the reference or the text drifts by more than `max_drift` nats on average.
    """
    chosen_method: Method = find_method(method, METHODS, Method)
    check_new(Path(out))
    _check(parts, way, count, aim, max_drift)
    given = {"targets": targets, "reference": reference, "text": text}
    rows = {name: read_queries(some) for name, some in given.items() if some is not None}
    ablation = component_ablation(
        LM.load(model, dtype, device), [*rows["targets"], *rows["reference"]], parts=parts, way=way, sample=sample
    )
    lm, fill = ablation.lm, ablation.fills[0]
    check_foldable(lm, ablation.sites, fill)
    rows = {name: [whole(row) for row in some] if name == TEXT else some for name, some in rows.items()}
    sets = {name: asked_of(lm, some, "logprob", mean=False) for name, some in rows.items()}
    found = attributed(ablation, chosen_method, seed)
    removed = chosen(found, len(rows["targets"]), count, aim)
    kept = ~np.isin(found.sources.ids, [one["id"] for one in removed])
    changes = fold(ablation.sites, fill, kept)
    drift = _drifts(lm, sets, changes)
    check_aim(drift["targets"], aim)
    check_drift(drift, max_drift)
    own = _own(model, lm)
    said = {"method": found.method, "aim": aim, "max_drift": max_drift, "of": found.model, **found.run}
    made = Edit(removed, drift, said | {"saved_in": own.record()["dtype"]})
    with folded(own, changes if own is lm else fold(sites_of(own, parts), fill, kept)):
        save(own, made, Path(out))
    return made


def _own(model: object, lm: LM) -> LM:
    """The model in the type that it has itself, where it was named and another is computed in: that would round all of it."""
    if not isinstance(model, str | Path) or own_dtype(str(model)) == lm.record()["dtype"]:
        return lm
    return LM.load(model, "auto", "cpu")


def _drifts(lm: LM, sets: Mapping[str, Asked], changes: Changes) -> dict[str, Drift]:
    """Of each set, from the model with these parameters."""
    before = {name: log_probabilities(lm, asked, per_token=name == TEXT) for name, asked in sets.items()}
    with folded(lm, changes):
        return {name: Drift(before[name], log_probabilities(lm, of, per_token=name == TEXT)) for name, of in sets.items()}


def _check(parts: str, way: Way, count: int, aim: Aim, max_drift: float | None) -> None:
    """Raise `LlmattrError` for what is no edit, before anything is loaded."""
    check_choice("way", way, ["zero", "mean"])  # what is computed on another prompt is in no weights
    check_choice("aim", aim, get_args(Aim))
    if FEATURES in parts.split("+"):
        raise LlmattrError("features are in no weights that could be edited: edit other parts, or steer by a feature")
    check_number("count", count, 1, whole=True)
    if max_drift is not None:
        check_number("max_drift", max_drift, 0)


def check_aim(drift: Drift, aim: Aim) -> None:
    """Raise `LlmattrError` where the targets move the other way: effects one by one are not what components do together."""
    change = float(drift.change.mean())
    if change * (1 if aim == "raise" else -1) <= 0:
        moved = f"together these components move the targets by {change:+.3g} nats, which is not to {aim} them"
        raise LlmattrError(f"{moved}: nothing is saved; take another method, count or parts, or more rows")


def check_new(out: Path) -> None:
    """Raise `LlmattrError` where there is something already."""
    if out.exists():
        raise LlmattrError(f"cannot write {str(out)!r}: it is there already, and an edited model is saved as a new folder")


def chosen(found: Attribution, many: int, count: int, aim: Aim) -> list[dict[str, Any]]:
    """At most `count` components, the highest t first; the first `many` rows are the targets, the others the reference.

    Only those that move the targets as `aim` says, and further than they move the reference either way: t alone is high, too,
    of what raises the reference. Raises `LlmattrError` where there are none.
    """
    targets, reference = found.values[:many], found.values[many:]
    if len(found) < 3:
        raise LlmattrError("a single row on either side says nothing of how effects vary: give several rows of the reference")
    t, sign = welch(targets, reference), 1 if aim == "lower" else -1
    able = sign * targets.mean(axis=0) > np.abs(reference.mean(axis=0))
    order = [int(i) for i in np.argsort(-sign * t, kind="stable") if able[i]][:count]
    if not order:
        raise LlmattrError(f"no component would {aim} the targets more than the reference: take other parts, or other rows")
    means = {"t": t, "targets": targets.mean(axis=0), "reference": reference.mean(axis=0)}
    named = [{"id": found.sources.ids[i], "text": found.sources.texts[i]} for i in order]
    return [{**one, **{name: float(of[i]) for name, of in means.items()}} for one, i in zip(named, order, strict=True)]


def welch(targets: Float[np.ndarray, "t n"], reference: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " n"]:
    """Welch's t of each component: `(mean_t - mean_r) / sqrt(s_t^2 / t + s_r^2 / r)`, where s^2 of a single row is 0.

    Infinite where neither set varies, and 0 where they are equal there.
    """
    difference = targets.mean(axis=0) - reference.mean(axis=0)
    error = np.sqrt(_square(targets) + _square(reference))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / error)


def _square(rows: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " n"]:
    """The squared error of the mean."""
    return rows.var(axis=0, ddof=1) / len(rows) if len(rows) > 1 else np.zeros(rows.shape[1])


def save(lm: LM, made: Edit, out: Path) -> None:
    """The model as it is, its tokenizer and the record: a folder that appears whole; what a killed run left is begun anew."""
    from safetensors import SafetensorError

    part = out.with_name(f".{out.name}.llmattr-edit")  # nobody's but ours
    try:
        shutil.rmtree(part, ignore_errors=True)
        lm.model.save_pretrained(part)
        lm.tokenizer.save_pretrained(part)
        write(part / RECORD, json_text(made.record()))
        part.replace(out)
    except (OSError, SafetensorError) as error:
        raise LlmattrError(f"cannot save the edited model in {str(out)!r}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
