"""Several checkpoints of one training run, as transformers' Trainer leaves them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmattr.errors import LlmattrError, check_number, note
from llmattr.model.diagnosis import reason
from llmattr.model.lm import LM
from llmattr.training.index.store import refuse_difference

Given = str | Path | LM | Sequence[Any]  # a model, several, or a folder of them


def checkpoints_of(given: Given) -> list[Any]:
    """The checkpoints: as they are given, or the `checkpoint-STEP` folders, by step, of the one folder that is given."""
    models = [given] if isinstance(given, (str, Path, LM)) or _is_pair(given) else list(given)
    if len(models) == 1 and isinstance(models[0], (str, Path)) and Path(models[0]).is_dir():
        found = [path for path in Path(models[0]).glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
        if found:
            return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))
    return models


def _is_pair(given: object) -> bool:
    """Whether it is one model with its tokenizer, and not two models."""
    return isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[0], torch.nn.Module)


def models_of(given: Given | None, several: int) -> list[Any]:
    """The models of an index of several checkpoints; None of each where nothing is given."""
    models = [None] * several if given is None else checkpoints_of(given)
    if len(models) != several:
        raise LlmattrError(
            f"the index has {several} checkpoints, and the model that is given is {len(models)}: give one for each, in their "
            "order, or the folder in which a Trainer left them"
        )
    return models


def refuse_other_run(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Raise `LlmattrError` where what is known of two checkpoints' indexes tells that they are not of one run."""
    known = {field: other[field] for field in ("tokenizer_hash", "layers")}
    refuse_difference(one, known, f"{one['model']!r} and {other['model']!r} are no checkpoints of one run")


def learning_rates_of(checkpoints: Sequence[Any], given: Sequence[float]) -> list[float | None]:
    """The learning rate of each checkpoint: as given, or the last one in its trainer_state.json, or None of each."""
    if not given:
        found = [_saved_rate(checkpoint) for checkpoint in checkpoints]
        if 0 < (known := sum(rate is not None for rate in found)) < len(found):
            note(f"learning rates are known of {known} of {len(found)} checkpoints, and none is used: give --learning-rates")
        return _of_all(found)
    for rate in given:
        check_number("a learning rate", rate, 0)
    if not any(given):
        raise LlmattrError("every learning rate is 0, so that no checkpoint counts: give those that its steps had")
    if len(given) != len(checkpoints):
        raise LlmattrError(f"there are {len(checkpoints)} checkpoints and {len(given)} learning rates")
    return list(given)


def spans_of(checkpoints: Sequence[Any], given: Sequence[float]) -> list[float | None]:
    """The learning rates of the steps from the checkpoint before (or the start) to each, added up; None where none are known.

    With rates that are `given`, each times its steps, where all folders tell them; where not, each is the sum itself.
    Without, as trainer_state.json logged them: those of steps that were not logged lie on a line between the ones that were.
    """
    ends = [_step_of(checkpoint) for checkpoint in checkpoints]
    steps = [(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    for start, end in steps:
        if start is not None and end is not None and not start < end:
            raise LlmattrError(
                f"the checkpoints of a run must come in the order of their steps: step {end} comes after {start}"
            )
    if not given:
        return _of_all([_logged_span(checkpoint, *step) for checkpoint, step in zip(checkpoints, steps, strict=True)])
    lengths = [None if start is None or end is None else end - start for start, end in steps]
    return list(given) if None in lengths else [rate * (length or 0) for rate, length in zip(given, lengths, strict=True)]


def _of_all(found: list[float | None]) -> list[float | None]:
    """What was found, where it was of every checkpoint: beside a rate of 0.001 one that is taken to be 1 would count alone."""
    return [None] * len(found) if None in found else found


def _logged_span(checkpoint: object, start: int | None, end: int | None) -> float | None:
    """The rates of the steps start + 1 to end, added up."""
    if start is None or end is None:
        return None
    logged = [(step, rate) for step, rate in _logged(checkpoint) if step is not None]
    if not logged:
        return None
    at, rates = zip(*logged, strict=True)
    return float(np.interp(np.arange(start + 1, end + 1), at, rates).sum())


def _step_of(checkpoint: object) -> int | None:
    """The step that the folder's name, checkpoint-STEP, tells."""
    name = Path(checkpoint).name if isinstance(checkpoint, (str, Path)) else ""
    step = name.removeprefix("checkpoint-")
    return int(step) if step != name and step.isdigit() else None


def _saved_rate(checkpoint: object) -> float | None:
    return next((rate for _, rate in reversed(_logged(checkpoint))), None)


def _logged(checkpoint: object) -> list[tuple[int | None, float]]:
    """The steps and learning rates in the folder's trainer_state.json; none where there is no such file."""
    path = Path(checkpoint) / "trainer_state.json" if isinstance(checkpoint, (str, Path)) else None
    if path is None or not path.exists():
        return []
    try:
        log = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        return [(entry.get("step"), float(entry["learning_rate"])) for entry in log if "learning_rate" in entry]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LlmattrError(f"cannot read {str(path)!r} ({reason(error)}): copy it again, or give --learning-rates") from error
