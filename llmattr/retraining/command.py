"""A training of the user's own, as a command line: rows in a file -> a folder with a model -> what it says of the queries."""

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from llmattr.core.files import digest
from llmattr.core.sources import Measure
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.retraining.runs import CausalTrainer
from llmattr.text.rows import prompt_and_completion

PLACES = ("{rows}", "{out}")  # that a command must have; {seed} it may
SHOWN = 3  # last lines of a command that failed


@dataclass(frozen=True, eq=False)
class CommandTrainer:
    """Trains by a command such as `python train.py --rows {rows} --out {out} --seed {seed}`.

    `{rows}`: a file of JSON lines, the rows that are kept, as they were given and in their order. `{out}`: a folder into which
    the command writes the trained model and its tokenizer (`save_pretrained`). Outputs are those of a `CausalTrainer`. Raises
    `LlmattrError` where a place is missing in the command, where the command fails, and where it leaves no model.
    """

    command: str
    rows: Sequence[Mapping[str, Any]]
    queries: Sequence[Mapping[str, Any]]
    measure: Measure = "logprob"
    mean: bool = False
    together: int = 1

    def __post_init__(self) -> None:
        if missing := [place for place in PLACES if place not in self.command]:
            raise LlmattrError(
                f"the training command has no {missing[0]}: it must be as in 'train --rows {{rows}} --out {{out}}'"
            )
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise LlmattrError(f"the training command cannot be read as words: {error}") from error

    @property
    def asked(self) -> list[dict[str, str]]:
        """Each target's prompt and completion; none for the mean over all."""
        return [] if self.mean else [prompt_and_completion(row) for row in self.queries]

    def outputs(self, weights: Float[np.ndarray, "k n"], seeds: Sequence[int]) -> Float[np.ndarray, "k t"]:
        """The queries' values under the model of each run; a row with weight 0 is left out, all others are in."""
        return np.stack([self._output(row > 0, seed) for row, seed in zip(weights, seeds, strict=True)])

    def record(self) -> dict[str, Any]:
        """The command, the data and the targets."""
        given = {"data_hash": digest(self.rows), "queries_hash": digest(self.queries)}
        return {"trainer": "command", "command": self.command, **given, "measure": self.measure, "mean": self.mean}

    def _output(self, kept: Bool[np.ndarray, " n"], seed: int) -> Float[np.ndarray, " t"]:
        with TemporaryDirectory(prefix="llmattr-") as place:
            rows, out = Path(place) / "rows.jsonl", Path(place) / "out"
            lines = [json.dumps(row, ensure_ascii=False) for row, keep in zip(self.rows, kept, strict=True) if keep]
            rows.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            self._run({"{rows}": str(rows), "{out}": str(out), "{seed}": str(seed)})
            if not (out / "config.json").exists():
                raise LlmattrError("the training command left no model in its {out}: let it end with save_pretrained into it")
            lm = LM.load(out)
            asked = lm.tokenize(self.queries).called("query")
            return CausalTrainer(lm, asked, asked, measure=self.measure, mean=self.mean).measured(lm)  # nothing is trained

    def _run(self, places: Mapping[str, str]) -> None:
        words = shlex.split(self.command)
        for name, place in places.items():
            words = [word.replace(name, place) for word in words]
        try:
            subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise LlmattrError(f"the training command {words[0]!r} cannot be run: {error.strerror}") from error
        except subprocess.CalledProcessError as error:
            said = error.stdout.decode(errors="replace").strip().splitlines()[-SHOWN:]
            raise LlmattrError(
                f"the training command ended with {error.returncode}: {' / '.join(said) or 'it said nothing'}"
            ) from error
