"""Several checkpoints of one training run, as transformers' Trainer leaves them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llmattr.errors import LlmattrError
from llmattr.model.diagnosis import reason
from llmattr.model.lm import LM

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


def learning_rates_of(checkpoints: Sequence[Any], given: Sequence[float]) -> list[float | None]:
    """The learning rate of each checkpoint: as given, or the last one in its trainer_state.json, or None."""
    if not given:
        return [_saved_rate(checkpoint) for checkpoint in checkpoints]
    if len(given) != len(checkpoints):
        raise LlmattrError(f"there are {len(checkpoints)} checkpoints and {len(given)} learning rates")
    return list(given)


def _saved_rate(checkpoint: object) -> float | None:
    path = Path(checkpoint) / "trainer_state.json" if isinstance(checkpoint, (str, Path)) else None
    if path is None or not path.exists():
        return None
    try:
        log = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        return next((entry["learning_rate"] for entry in reversed(log) if "learning_rate" in entry), None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LlmattrError(f"cannot read {str(path)!r} ({reason(error)}): copy it again, or give --learning-rates") from error
