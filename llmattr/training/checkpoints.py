"""Several checkpoints of one training run, as transformers' Trainer leaves them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmattr.diagnosis import reason
from llmattr.errors import LlmattrError


def checkpoints_of(given: Any) -> list[Any]:
    """The checkpoints: as they are given, or the `checkpoint-STEP` folders, by step, of the one folder that is given."""
    one = given if isinstance(given, (str, Path)) else given[0] if len(given) == 1 else None
    if isinstance(one, (str, Path)) and Path(one).is_dir():
        found = [path for path in Path(one).glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
        if found:
            return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))
    return [given] if isinstance(given, (str, Path)) else list(given)


def learning_rates_of(checkpoints: Sequence[Any], given: Sequence[float]) -> list[float | None]:
    """The learning rate of each checkpoint: as given, or the last one in its trainer_state.json, or None."""
    if not given:
        return [_saved_rate(checkpoint) for checkpoint in checkpoints]
    if len(given) != len(checkpoints):
        raise LlmattrError(f"there are {len(checkpoints)} checkpoints and {len(given)} learning rates")
    return list(given)


def _saved_rate(checkpoint: Any) -> float | None:
    path = Path(checkpoint) / "trainer_state.json" if isinstance(checkpoint, (str, Path)) else None
    if path is None or not path.exists():
        return None
    try:
        log = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        return next((entry["learning_rate"] for entry in reversed(log) if "learning_rate" in entry), None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LlmattrError(f"cannot read {str(path)!r} ({reason(error)}): copy it again, or give --learning-rates") from error
