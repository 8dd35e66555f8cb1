"""Games of real questions: do the methods keep the axioms of a fair share? `python -m eval games`.

A question with few sentences is a game that can be enumerated: what the model says under every subset of them. On it each
method is held against the exact Shapley and Banzhaf values, and against the axioms that define them: efficiency (the scores add
up to what all sentences do), null player (a sentence that changes nothing has 0), symmetry (two alike have the same), linearity
(the scores of a sum of two answers are the sums of their scores).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval import RESULTS
from eval.context.case import Case, Size
from eval.context.questions import OPTIONS, problems
from eval.harness.command import plain_name
from eval.harness.contract import Entry, Judged, Scored
from eval.harness.entries import entries
from eval.harness.run import Plan, benchmark, budgets, split
from llmattr import metrics, surrogate
from llmattr.ablation import every_mask, from_function
from llmattr.context import METHODS
from llmattr.core.method import find_method

Table = Float[np.ndarray, "m t"]  # the outputs of every mask, in the order of `every_mask`

MOST = 10  # sentences: 1,024 subsets
ASKING = ("ridge", "blend", "interactions", "shapley", "banzhaf", "leave-one-out", "alone")  # ask masks alone
GAPS = ("error to shapley", "error to banzhaf", "efficiency", "null player", "symmetry", "linearity")
NOTES = (
    "All columns are shares of the range of the answer's log-odds over all subsets, 0 is best: the largest error of a score "
    "beside the exact Shapley (or Banzhaf) value; |sum of scores - what all sentences do|; the score of an added sentence that "
    "changes nothing; the difference between two that are made alike; the largest deviation of the scores of the whole answer "
    "and of its first sentence, added, from those of the sum of the two.",
    "A method that is no share (leave-one-out, regression) is not meant to keep them all: the table says which it keeps.",
)


@dataclass(frozen=True, eq=False)
class Game(Case):
    """A case of few sentences, whose every subset is scored once; methods then ask the table."""

    @cached_property
    def table(self) -> Table:
        """What the model says under every mask."""
        return self.ablation(every_mask(len(self.ablation.sources)))

    def seconds(self, entry: Entry) -> float:
        """The table's, which the first method pays."""
        return (
            2 ** len(self.ablation.sources) * self.seconds_a_token * len(self.ablation.prompt.full().ids)
            if entry.label == ASKING[0]
            else 0.0
        )

    def score(self, entry: Entry) -> Scored:
        """The method's scores of the question, and of the three games that the axioms speak of, one beside the other."""
        method, table = find_method(entry.method, METHODS), self.table
        asked: set[bytes] = set()

        def scores(game: Table) -> Float[np.ndarray, "t n"]:
            def outputs(masks: Bool[np.ndarray, "m n"]) -> Table:
                asked.update(mask.tobytes() for mask in masks)
                return game[masks @ (1 << np.arange(masks.shape[1]))]

            n = len(game).bit_length() - 1
            return method.attribute(from_function(outputs, n, game.shape[1]), entry.seed).values

        own, passes = scores(table), len(asked)
        more = [
            scores(metrics.games.with_null_player(table)),
            scores(metrics.games.with_twin(table)),
            scores(table + table[:, :1]),
        ]
        return Scored(np.concatenate([own, *more], axis=1), {"passes": passes})

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """The gaps of every axiom."""
        everything = len(self.table)
        game = from_function(lambda masks: self.table[masks @ (1 << np.arange(masks.shape[1]))], *self._shape)
        shapley = surrogate.shapley(game, everything, "exact").values
        banzhaf = surrogate.banzhaf(game, everything, "exact").values
        return {name: Judged(self._gaps(one.values, shapley, banzhaf)) for name, one in found.items()}

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.ablation.sources), len(self.ablation.targets)

    def _gaps(self, scores: Float[np.ndarray, "t k"], shapley: Any, banzhaf: Any) -> dict[str, Float[np.ndarray, " t"]]:
        n, games, table = self._shape[0], metrics.games, self.table
        own, null, twin, total = np.split(scores, np.cumsum([n, n + 1, n + 1]), axis=1)
        first = np.broadcast_to(own[:1], own.shape)
        return {
            "error to shapley": games.enumeration_error(own, shapley, table),
            "error to banzhaf": games.enumeration_error(own, banzhaf, table),
            "efficiency": games.efficiency_gap(own, table),
            "null player": games.null_player_gap(null, table),
            "symmetry": games.symmetry_gap(twin, table),
            "linearity": games.linearity_gap(total, own, first, table + table[:, :1]),
        }


def plan(given: Mapping[str, Any], folder: Path) -> Plan:
    """Short questions, and every method that asks masks alone."""
    asked = budgets(given["budget"], (16,) if given["tiny"] else (64, 256))
    sets = given["sets"] or ("canal" if given["tiny"] else "hotpotqa,2wiki,qed")
    usual = Size(least=4, most=MOST, held_out=4)
    methods = {name: METHODS[name] for name in ASKING}  # no baselines: they look at texts, which a game has not
    lines = entries(methods, split(given["methods"]), asked)
    cases, notes = problems(
        {**given, "sets": sets, "sentences": given["sentences"] or MOST}, folder, gold_answer=False, usual=usual, make=Game
    )
    return Plan(
        about=f"{'tiny' if given['tiny'] else plain_name(given['model'])} and its own answers, every subset of the sentences.",
        problems=[case for case in cases if case.question.size <= MOST],
        entries=lines,
        measures=GAPS,
        base="shapley",
        against=("error to shapley",),
        budgets=asked,
        notes=lambda measured: [*notes, *_sizes(measured), *NOTES],
    )


def _sizes(games: Sequence[Game]) -> list[str]:
    return [f"{len(games)} games of {', '.join(str(game.question.size) for game in games)} sentences."]


command = benchmark("games", __doc__ or "", plan, RESULTS / "games.json", *OPTIONS)
