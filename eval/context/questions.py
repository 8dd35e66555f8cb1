"""The questions that a benchmark of context methods asks, as problems: of public sets, or of a file of one's own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from eval.context.case import Case, Model, Size
from eval.context.data import CHOSEN_ON, SETS, Question, drawn, fitting, questions
from eval.context.own import read_own
from eval.harness import choices
from eval.harness.command import plain_name
from eval.harness.run import split
from llmattr.errors import LlmattrError

EXAMPLES = 4  # that judge, of each set
USUAL, FULL = ("hotpotqa", "2wiki", "qed"), ("hotpotqa", "2wiki", "qed", "musique", "hotpotqa-train")
C = TypeVar("C", bound=Case)
SIZE = Size()
FEW = 6  # sentences: 64 subsets, as many as methods try
TINY = {"least": 3, "most": 12, "held_out": 16, "answer": 8}

OPTIONS = (
    click.option("--sets", default="", help=f"Some sets of questions, with commas between: {', '.join(SETS)}."),
    click.option("--examples", type=click.IntRange(min=1), help="Questions of each set that judge, beside two chosen on (4)."),
    click.option("--sentences", type=click.IntRange(min=2), help="Sentences of a question at most; other papers are left out."),
    click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, smollm2 or gemma3-270m."),
    click.option(
        "--data", help="Questions of your own: a JSON lines file, or a hub id (python -m eval data --example questions)."
    ),
)


def problems(
    given: Mapping[str, Any], folder: Path, gold_answer: bool, *, usual: Size = SIZE, make: Callable[..., C] = Case
) -> tuple[list[C], list[str]]:
    """The cases that the options ask for, those that judge first, set by set in turn; and notes. `make`: of which kind."""
    size, most = usual, given["sentences"]
    if given["tiny"]:
        size = Size(**TINY)
    if given["full"] or given["data"]:
        size = Size(most=60, answer=128 if given["full"] else 48, curves=given["full"])
    size = Size(**vars(size) | {"most": most or size.most, "least": min(size.least, most or size.least)})
    model = Model("tiny" if given["tiny"] else given["model"])
    _ = model.lm  # one that cannot be loaded is refused here, not left out question by question

    def cases(of: str, questions: Sequence[Question], judging: bool) -> list[C]:
        return [make(of, one, judging, model, size, gold_answer, folder) for one in questions]

    if given["data"]:
        found, notes = _own(given["data"], given["examples"] or 20, size.most)
        return cases(Path(given["data"]).stem, found, judging=True), notes
    names, count = _sets(given), given["examples"] or (1 if given["tiny"] else 20 if given["full"] else EXAMPLES)
    every = {name: list(questions(name)) for name in names}
    fit = {name: fitting(found, size.least, size.most, gold_answer) for name, found in every.items()}
    committed = {name: _ids(fitting(every[name], SIZE.least, SIZE.most)[:CHOSEN_ON]) for name in names}
    pairs = [drawn(fit[name], count, choices.seed("context"), committed[name]) for name in names]
    if not any(judging for _, judging in pairs):
        raise LlmattrError(
            f"no set has more than {CHOSEN_ON} questions of {size.least} to {size.most} sentences: see --sentences"
        )
    judging = [cases(name, judges, judging=True) for name, (_, judges) in zip(names, pairs, strict=True)]
    chosen = [cases(name, first, judging=False) for name, (first, _) in zip(names, pairs, strict=True)]
    note = f"Chosen on: the same on the first {CHOSEN_ON} questions of each set that have {size.least} to {size.most} sentences"
    others = [
        name for name, (first, _) in zip(names, pairs, strict=True) if name not in USUAL or _ids(first) != committed[name]
    ]
    note += f" (of {', '.join(others)} these are not the ones that eval/choices.json was made on)" if others else ""
    return [*_in_turn(judging), *_in_turn(chosen)], [f"{note}."]


def _ids(found: Sequence[Question]) -> list[str]:
    return [one.id for one in found]


def _sets(given: Mapping[str, Any]) -> list[str]:
    names = split(given["sets"]) or (["canal"] if given["tiny"] else list(FULL if given["full"] else USUAL))
    if unknown := [name for name in names if name not in SETS]:
        raise LlmattrError(f"there is no set {unknown[0]!r}; there are {', '.join(SETS)}")
    return names


def _in_turn(lists: Sequence[Sequence[C]]) -> list[C]:
    longest = max(map(len, lists), default=0)
    return [some[place] for place in range(longest) for some in lists if place < len(some)]


def _own(data: str, examples: int, most: int) -> tuple[list[Question], list[str]]:
    given = list(read_own(data))
    fit = fitting(given, 2, most)
    if not fit:
        raise LlmattrError(f"no question of {plain_name(data)} has 2 to {most} sentences: see --sentences")
    notes = []
    if len(fit) < len(given):
        notes.append(f"{len(given) - len(fit)} of {len(given)} rows have fewer than 2 sentences, or too many (--sentences).")
    if len(fit) > examples:
        notes.append(f"The first {examples} of {len(fit)} rows (--examples).")
    fit = fit[:examples]
    if few := sum(question.size <= FEW for question in fit):
        notes.append(
            f"{few} of {len(fit)} rows have {FEW} sentences or fewer: methods try most subsets of them, held-out ones too, so "
            "that their LDS (where there is one) is too high."
        )
    return fit, notes


def right_answers(cases: Sequence[Case]) -> list[str]:
    """How many answers of each set contain the true one."""
    told = []
    for name in dict.fromkeys(case.of for case in cases):
        known = [case.right for case in cases if case.of == name and case.right is not None]
        if known:
            told.append(f"{name}: {sum(known)} of {len(known)} answers contain the true one.")
    return told
