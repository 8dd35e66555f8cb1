"""What a method asks of a model: passes, tokens, and CPU seconds as if it had run alone."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float

from eval.harness.contract import Costs
from llmattr.context.removal.ablation import ContextAblation, Other
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.text.prompt import Prompt

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Timed(ContextAblation):
    """An ablation that keeps the CPU seconds that each mask (or other response) took, in memory and beside what was scored.

    Those that are scored together share prefixes; each has the share of their seconds that its tokens have of theirs.
    """

    tokens: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """As the ablation gives them."""
        for mask in masks:
            if short(mask) not in self.tokens:
                self.tokens[short(mask)] = len(self.prompt.render(mask).ids)
        new = {short(mask) for mask in masks if mask.tobytes() not in self.store.rows}
        return self._timed(new, lambda: super(Timed, self).token_logprobs(masks))

    def other_logprobs(self, others: Sequence[Prompt]) -> list[Other]:
        """As the ablation gives them."""
        self.tokens.update({named(one): len(one.full().ids) for one in others})
        new = {named(one) for one in others if one.response not in self.store.others}
        return self._timed(new, lambda: super(Timed, self).other_logprobs(others))

    def _timed(self, new: set[str], scored: Callable[[], T]) -> T:
        """What is scored, with the seconds that what is new in it takes."""
        started = time.process_time()
        found = scored()
        if new:
            rate = (time.process_time() - started) / sum(self.tokens[name] for name in new)
            self.seconds.update({name: rate * self.tokens[name] for name in new})
            if self.store.path:
                write(times_path(self.store.path), json_text(self.seconds, None))
        return found

    @property
    def rate(self) -> float:
        """Seconds a token, over all masks whose tokens and seconds are known; nan where there are none."""
        known = self.tokens.keys() & self.seconds.keys()
        return sum(self.seconds[name] for name in known) / sum(self.tokens[name] for name in known) if known else math.nan


def short(mask: Bool[np.ndarray, " n"]) -> str:
    """A mask as text."""
    return np.packbits(mask).tobytes().hex()


def named(other: Prompt) -> str:
    """Another response's name, as no mask has it."""
    return f"={other.response}"


def times_path(scored: Path) -> Path:
    """Where the seconds are kept of what was scored."""
    return scored.with_suffix(".seconds.json")


def times(scored: Path | None) -> dict[str, float]:
    """The seconds of what was scored before."""
    place = scored and times_path(scored)
    return json.loads(place.read_text()) if place and place.exists() else {}


@dataclass(frozen=True, eq=False)
class Metered(Timed):
    """An ablation that keeps account of what one method asks for, whether or not it was scored before.

    `asked`: its masks and other responses. `others`: the sizes of what a method sent through the model by itself, forward and
    backward. `spent`: CPU seconds inside this ablation.
    """

    asked: set[str] = field(default_factory=set)
    others: list[tuple[int, int]] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    scoring: list[bool] = field(default_factory=list)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """As the ablation gives them."""
        return self._counted({short(mask) for mask in masks}, lambda: super(Metered, self).token_logprobs(masks))

    def other_logprobs(self, others: Sequence[Prompt]) -> list[Other]:
        """As the ablation gives them."""
        return self._counted({named(one) for one in others}, lambda: super(Metered, self).other_logprobs(others))

    def _counted(self, asked: set[str], scored: Callable[[], T]) -> T:
        started = time.process_time()
        self.asked.update(asked)
        self.scoring.append(True)
        found = scored()
        self.scoring.pop()
        self.spent.append(time.process_time() - started)
        return found

    def costs(self, seconds: float) -> Costs:
        """Of a method that took so many CPU seconds with this ablation: as if it had run alone and nothing had been scored.

        What it took outside of the ablation, and what each of its masks took when it was first scored; a mask whose seconds are
        not known (a run was killed) counts by its tokens. A token of an ablation is of its prompt or of the answer.
        """
        rate = self.rate
        known = [self.seconds.get(name, rate * self.tokens[name]) for name in self.asked]
        return {
            "passes": float(len(self.asked) + sum(rows for rows, _ in self.others)),
            "tokens": float(sum(self.tokens[name] for name in self.asked) + sum(size for _, size in self.others)),
            "CPU s": seconds - sum(self.spent) + sum(known),
        }


@contextmanager
def metered(ablation: Timed) -> Iterator[Metered]:
    """The ablation with an account of its own; what is scored is shared."""
    view = Metered(**{part.name: getattr(ablation, part.name) for part in dataclasses.fields(ablation)})

    def count(_module: torch.nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        ids = given.get("input_ids", given.get("inputs_embeds", args[0] if args else None))
        if not view.scoring and ids is not None:
            view.others.append((ids.shape[0], ids.shape[0] * ids.shape[1]))

    def count_back(_module: torch.nn.Module, _gradients: object) -> None:
        view.others.append((1, view.others[-1][1]))  # a pass back through the activations costs about one forward

    hooks = [
        ablation.lm.model.register_forward_pre_hook(count, with_kwargs=True),
        ablation.lm.model.get_output_embeddings().register_full_backward_pre_hook(count_back),
    ]
    try:
        yield view
    finally:
        for hook in hooks:
            hook.remove()
