"""The context's ablation: the log-odds of a response when only some of the sources are left in the prompt.

What was scored is kept by mask: in memory, and in a file so that a run that was killed, or asks for more, goes on.
"""

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.ablation import check_masks
from llmattr.context.removal.zoom import parts_of
from llmattr.core.files import alone, digest, read_arrays, write_arrays
from llmattr.core.processes import gathered, is_main, of_main, share
from llmattr.core.sources import Measure, Part, Sources, Targets
from llmattr.errors import LlmattrError, check_choice, note
from llmattr.model.contract import Scorer, Weights
from llmattr.model.odds import log_odds_of_logprobs
from llmattr.text.prompt import Prompt, Rendered

EVERY = 2.0  # seconds between two writes of the file, at least
_NONE = np.empty(0, str)

Row = Float[np.ndarray, " r"]
Other = Float[np.ndarray, " _"]  # of another response, which has its own number of tokens


class Store:
    """Token log-probabilities of a response [r] for each mask [n] that was scored, and of others behind all sources.

    `rows`: mask -> log-probabilities. `others`: another response -> those of its own tokens. `answers`: mask -> what was
    generated. `asked`: the masks that a method asked to be scored, in that order. `inside`: passes in which a method looked
    inside the model. `path`: a file (.npz) to go on from and to add to, whole or not at all, by any number of processes at
    once; None keeps them in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: dict[bytes, Row] = {}
        self.others: dict[str, Other] = {}
        self.answers: dict[bytes, str] = {}
        self.asked: dict[bytes, None] = {}
        self.inside = 0
        if path is not None:
            self.rows, self.others, self.answers = of_main(_read(path))
        self.resumed = len(self)  # that many were there before
        self._written, self._at = len(self), time.monotonic()

    def __len__(self) -> int:
        return len(self.rows) + len(self.others) + len(self.answers)

    @property
    def made(self) -> int:
        """How many passes (or answers) this run took, what an earlier one left in the file not among them."""
        return len(self) - self.resumed + self.inside

    def record(self, name: str = "forward_passes") -> dict[str, int]:
        """How many this run took, under this name, and how many an earlier one had kept."""
        return {name: self.made} | ({"resumed": self.resumed} if self.resumed else {})

    def add(self, mask: bytes, logprobs: Row) -> None:
        """Keep one more; now and then the file is written."""
        self.rows[mask] = logprobs
        self._save_at_times()

    def add_other(self, response: str, logprobs: Other) -> None:
        """Keep one of another response."""
        self.others[response] = logprobs
        self._save_at_times()

    def add_answer(self, mask: bytes, answer: str) -> None:
        """Keep what was generated."""
        self.answers[mask] = answer
        self._save_at_times()

    def _save_at_times(self) -> None:
        if time.monotonic() - self._at > EVERY:
            self.save()

    def save(self) -> None:
        """Add to the file, if there is one and something to add."""
        self._at = time.monotonic()
        if self.path is not None and is_main() and self._written < len(self):
            self._write(self.path)
            self._written = len(self)

    def _write(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path.parent):  # else of two that add to what is there one would be lost
                rows, others, answers = _read(path)
                write_arrays(path, **_arrays(self.rows | rows, self.others | others, self.answers | answers))
        except (OSError, LlmattrError) as error:
            note(f"cannot keep what was scored ({error}): a run that is stopped starts again")
            self.path = None


def _arrays(rows: dict[bytes, Row], others: dict[str, Other], answers: dict[bytes, str]) -> dict[str, np.ndarray]:
    """What a file holds; the other responses' tokens stand one behind the other, since each has its own number of them."""
    masks, tokens = [np.frombuffer(mask, dtype=bool) for mask in rows], list(others.values())
    found = {"masks": np.stack(masks), "logprobs": np.stack(list(rows.values()))} if rows else {}
    if others:
        lengths = np.array([len(row) for row in tokens])
        found |= {"others": np.array(list(others)), "lengths": lengths, "tokens": np.concatenate(tokens)}
    if answers:
        asked = np.stack([np.frombuffer(mask, dtype=bool) for mask in answers])
        found |= {"answered": asked, "answers": np.array(list(answers.values()))}
    return found


def _read(path: Path) -> tuple[dict[bytes, Row], dict[str, Other], dict[bytes, str]]:
    try:
        saved = read_arrays(path)
    except FileNotFoundError:
        return {}, {}, {}
    except LlmattrError as error:
        note(f"{error}: what was scored before is scored again")
        return {}, {}, {}
    with suppress(OSError):
        os.utime(path)  # what was used last is removed last
    masks, logprobs = saved.get("masks", ()), saved.get("logprobs", ())
    others = np.split(saved["tokens"], np.cumsum(saved["lengths"])[:-1]) if "others" in saved else ()
    answered, answers = saved.get("answered", ()), saved.get("answers", _NONE).tolist()
    return (
        {mask.tobytes(): row for mask, row in zip(masks, logprobs, strict=True)},
        dict(zip(saved.get("others", _NONE).tolist(), others, strict=True)),
        {mask.tobytes(): answer for mask, answer in zip(answered, answers, strict=True)},
    )


def store_path(folder: str | Path, *identity: object) -> Path:
    """The file in the folder for what is identified by these: model, prompt and response."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise LlmattrError(f"the cache {str(folder)!r} is a file, not a folder")
    return folder / f"{digest([version('llmattr'), identity])[:32]}.npz"  # another version may read a prompt in another way


@dataclass(frozen=True, eq=False)
class ContextAblation:
    """An `Ablation` of a prompt. Every mask is scored once; its token log-probabilities serve any target afterwards."""

    lm: Scorer
    prompt: Prompt
    targets: Targets
    store: Store = field(default_factory=Store, repr=False)

    @property
    def sources(self) -> Sources:
        """The sources of the prompt."""
        return self.prompt.sources

    def __call__(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """The value of each target under each mask, in nats."""
        return values(self.token_logprobs(masks), self.target_tokens, self.targets.measure)

    def token_logprobs(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m r"]:
        """Log-probabilities of the response's r tokens under each mask; only masks not seen before are run.

        Several processes run a share each.
        """
        check_masks(masks, len(self.sources))
        self.store.asked = self.store.asked | dict.fromkeys(mask.tobytes() for mask in masks)
        new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in self.store.rows}
        mine = share(list(new))
        try:
            for i, logprobs in self.lm.score([self.prompt.render(new[key]) for key in mine]):
                if not np.isfinite(logprobs).all():
                    raise self._not_finite(new[mine[i]], logprobs)
                self.store.add(mine[i], logprobs)
            for key, logprobs in gathered([(key, self.store.rows[key]) for key in mine]) if new else ():
                self.store.add(key, logprobs)
        finally:
            self.store.save()  # also when it was stopped by Ctrl-C
        rows = [self.store.rows[mask.tobytes()] for mask in masks]
        return np.stack(rows) if rows else np.empty((0, len(self.prompt.response_ids)))

    def other_logprobs(self, others: Sequence[Prompt]) -> list[Other]:
        """Log-probabilities of the tokens of other responses, each behind all sources; only those not seen before are run.

        `others`: this prompt with another response. Several processes run a share each.
        """
        new = {one.response: one for one in others if one.response not in self.store.others}
        mine = share(list(new))
        try:
            for i, logprobs in self.lm.score([new[response].full() for response in mine]):
                self.store.add_other(mine[i], logprobs)
            for response, logprobs in gathered([(one, self.store.others[one]) for one in mine]) if new else ():
                self.store.add_other(response, logprobs)
        finally:
            self.store.save()
        return [self.store.others[one.response] for one in others]

    def _not_finite(self, mask: Bool[np.ndarray, " n"], logprobs: Float[np.ndarray, " r"]) -> LlmattrError:
        token = int(np.isfinite(logprobs).argmin())
        without = [repr(self.sources.ids[i]) for i in np.flatnonzero(~mask).tolist()]
        named = ", ".join([*without[:3], *(["..."] if len(without) > 3 else [])]) or "none"
        return LlmattrError(
            f"the model gives {logprobs[token]} as log-probability of token {token + 1} of the response where "
            f"{len(without)} of {len(mask)} sources are left out ({named}): try float32"
        )

    @property
    def weights(self) -> Weights:
        """The model itself, for methods that look inside; raises `LlmattrError` where a server keeps it."""
        if isinstance(self.lm, Weights):
            return self.lm
        raise LlmattrError(
            "the model is behind a server, which shows nothing of its inside: use context-cite or another method that asks for "
            "ablations"
        )

    def located(self) -> Rendered:
        """The whole prompt with the sources' tokens; raises `LlmattrError` where they are not to be found.

        A source that shares its only token with the one before has none of its own.
        """
        full, lost = self.prompt.full(), self.prompt.lost()
        if lost:
            raise LlmattrError(
                f"the chat template rewrites its messages, so {len(lost)} sources are not found among the tokens, the first is "
                f"{self.sources.texts[lost[0]]!r:.60}: use context-cite or another method that asks for ablations"
            )
        if not full.sources.any():
            raise LlmattrError(
                "the tokenizer does not say which characters its tokens have, so no source can be found among them: use a fast "
                "tokenizer, or context-cite or another method that asks for ablations"
            )
        return full

    def opened(self) -> tuple[Weights, Rendered]:
        """The model and the whole prompt, for one forward pass in which a method looks inside: it is counted."""
        self.store.inside += 1
        return self.weights, self.located()

    def of(self, targets: Targets) -> "ContextAblation":
        """The same ablation for other targets; what was scored is shared."""
        return dataclasses.replace(self, targets=targets)

    def of_parts(self, source: int, into: Part = "words") -> "ContextAblation":
        """The ablation of the words or sentences of one source, with all others kept."""
        return dataclasses.replace(self, prompt=parts_of(self.prompt, source, into), store=Store())

    def with_all_targets(self) -> "ContextAblation":
        """The same ablation for the whole response and each of its sentences."""
        return self.of(self.prompt.targets(self.targets.measure))

    @property
    def token_counts(self) -> Float[np.ndarray, " t"]:
        """The number of tokens of each target."""
        return np.diff(self.target_tokens)[:, 0].astype(float)

    @property
    def target_tokens(self) -> Int[np.ndarray, "t 2"]:
        """The response tokens of each target."""
        assert self.targets.spans is not None  # targets of a response always have them
        return self.prompt.response_tokens(self.targets.spans)

    def record(self) -> dict[str, Any]:
        """The model, how many forward passes this run took so far, and how many an earlier run had kept."""
        return {**self.lm.record(), **self.store.record(), "response_tokens": len(self.prompt.response_ids)}


def values(
    logprobs: Float[np.ndarray, "m r"], tokens: Int[np.ndarray, "t 2"], measure: str = "logit"
) -> Float[np.ndarray, "m t"]:
    """What a measure says of each token span in nats: "logprob" is lp, the sum of its log-probabilities, "logit" its log-odds.

    Log-odds are `lp - log(1 - exp(lp))`, finite for any span (the reference's `log1p(-exp(lp))` is infinite where exp(lp)
    rounds to 1). ContextCite, arXiv 2409.00729, equation 2.
    """
    check_choice("measure", measure, get_args(Measure))
    sums = np.stack([logprobs[:, first:last].sum(axis=1) for first, last in tokens], axis=1)
    return log_odds_of_logprobs(sums) if measure == "logit" else sums
