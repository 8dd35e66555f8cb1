"""Runs a benchmark: every entry scores every problem, the scores are judged and compared, and the tables are published."""

import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np

from eval.harness import choices
from eval.harness.command import Section, beside, check, publish, refusing, said, with_options
from eval.harness.compare import Line, agreement, figures, real
from eval.harness.contract import Entry, Judged, PerUnit, Problem, Scored
from eval.harness.kept import Kept
from eval.harness.parts import quiet_thread
from eval.harness.record import circumstances, of_world
from llmattr.errors import LlmattrError, LlmattrNote

PRINTED = 5  # measures without comparison that are printed; the files have all
OPTIONS = (
    click.option("--tiny", is_flag=True, help="Small and random: does everything run? Needs --out."),
    click.option("--full", is_flag=True, help="Many problems: hours."),
    click.option("--methods", default="", help="Some methods, with commas between; all without it."),
    click.option(
        "--budget", default="", help="Ablations (or models) that a method may ask for; several, with commas, for a curve."
    ),
    click.option(
        "--minutes", type=click.FloatRange(min=0, min_open=True), help="As many problems as fit; says beforehand which."
    ),
    click.option("--again", is_flag=True, help="Score anew; answers, scored ablations and trained models stay."),
    click.option("--out", type=click.Path(path_type=Path), help="The JSON file; Markdown and all scores go beside it."),
)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a benchmark compares: problems and entries, the measures of its table, and the base that others are held against."""

    about: str
    problems: Sequence[Problem]
    entries: Sequence[Entry]
    measures: Sequence[str]
    base: str
    against: Sequence[str]  # the measures whose differences from the base are told
    unit: str = "questions"  # what units are drawn by
    budgets: Sequence[int] = ()
    called: str = ""  # what its tables are called beside those of the usual run, "SET with MODEL"; that one's have no name
    notes: Callable[[Sequence[Any]], Sequence[str]] = lambda problems: ()  # of the problems that were measured
    parts: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)  # tables of some problems alone
    # Measures of an entry's scores that need all problems, for each problem.
    across: Callable[[Sequence[Any], Sequence[Scored | None]], Sequence[Mapping[str, PerUnit]]] | None = None

    @property
    def columns(self) -> list[str]:
        """What is printed: what is compared, with interval and number; the first other measures; what it took."""
        compared = [f"{name}{more}" for name in self.against for more in ("", " 95 %", " n")]
        others = [name for name in self.measures if name not in self.against][:PRINTED]
        return ["method", "budget", *compared, *others, "needs at least", "tokens", "models", "CPU s", "not measured"]


def split(given: str) -> list[str]:
    """Words with commas between."""
    return [word.strip() for word in given.split(",") if word.strip()]


def budgets(given: str, usual: Sequence[int]) -> list[int]:
    """The budgets, of which the first is that of the table; raises `BadParameter` for what is no number."""
    words = split(given)
    if not all(word.isdigit() and int(word) >= 2 for word in words):
        raise click.BadParameter(f"--budget is one number or several with commas, each 2 or more, not {given!r}")
    return [int(word) for word in words] or list(usual)


@dataclass(eq=False)
class Run:
    """A plan at work: its scores as they come."""

    plan: Plan
    kept: Kept
    minutes: float | None = None
    found: dict[tuple[str, str], Scored | str] = field(default_factory=dict)  # by problem and entry; what went wrong is words
    notes: list[str] = field(default_factory=list)
    from_before: int = 0  # scores that an earlier run kept

    @cached_property
    def problems(self) -> list[Problem]:
        """Those that fit the minutes, by what is not measured yet."""
        every = [problem for problem in self.plan.problems if self._can_be_asked(problem)]
        if self.minutes is None:
            return every
        each = [self._left(problem) for problem in every]
        fits = int(np.searchsorted(np.cumsum(each), 60 * self.minutes, side="right"))
        said = f"{self.minutes:g} minutes: {fits} of {len(every)} problems fit, all would take about {sum(each) / 60:.0f}"
        click.echo(said, err=True)
        if not fits:
            raise LlmattrError(f"{said}: give more --minutes, a smaller --budget or fewer --methods")
        if fits < len(every):
            self.notes.append(f"{said}.")
        return every[:fits]

    def _left(self, problem: Problem) -> float:
        return sum(problem.seconds(entry) for entry in self.fit if not self.kept.has(problem, entry))

    @cached_property
    def unfit(self) -> dict[str, str]:
        """What is wrong with an entry itself, by its name: a budget that is too small for the method, say."""
        wrong = {}
        for entry in self.plan.entries:
            try:
                entry.record()
            except LlmattrError as error:
                wrong[entry.name] = str(error)
        return wrong

    @property
    def fit(self) -> list[Entry]:
        """The entries that can be asked for."""
        return [entry for entry in self.plan.entries if entry.name not in self.unfit]

    def measure(self) -> None:
        """Score whatever is not scored; what fails is a cell of the table, not the end of the benchmark."""
        for number, problem in enumerate(self.problems, 1):
            self.found |= {(problem.name, name): wrong for name, wrong in self.unfit.items()}
            for entry in self.fit:
                self.from_before += self.kept.has(problem, entry)
                if not self.kept.has(problem, entry):
                    click.echo(f"{number}/{len(self.problems)} {problem.name}: {entry.name} ...", err=True)
                self.found[problem.name, entry.name] = self._scored(problem, entry)
        if self.from_before:
            self.notes.append(f"{self.from_before} of {len(self.found)} scores were kept by a run before this one.")
        self.notes += self.kept.stale(self.problems, self.fit) + self.kept.of_other_code(self.problems, self.fit)

    def _can_be_asked(self, problem: Problem) -> bool:
        try:
            return bool(problem.groups())
        except LlmattrError as error:
            self.notes.append(f"{problem.name} is left out: {error}")
            return False

    def _scored(self, problem: Problem, entry: Entry) -> Scored | str:
        try:
            return self.kept.scored(problem, entry)
        except Exception as error:
            click.echo(f"    failed: {_told(error)}", err=True)
            return _told(error)

    def of(self, problem: Problem) -> dict[str, Scored]:
        """The problem's scores by the entries' names."""
        scores = {entry.name: self.found[problem.name, entry.name] for entry in self.plan.entries}
        return {name: one for name, one in scores.items() if isinstance(one, Scored)}

    @cached_property
    def lines(self) -> list[Line]:
        """The scores judged, a line for each label and budget; entries that differ by their seed alone are one."""
        judged = self._judged()
        units = [problem.groups() for problem in self.problems]
        judges = [problem.judging for problem in self.problems]
        lines: list[Line] = []
        for same in self._alike():
            each = [_mean([one[entry.name] for entry in same if entry.name in one]) for one in judged]
            scores = [[self.found[problem.name, entry.name] for entry in same] for problem in self.problems]
            costs = [[one.costs for one in some if isinstance(one, Scored)] for some in scores]
            wrong = [[one for one in some if isinstance(one, str)] for some in scores]
            budget = same[0].budget or next(iter(self.plan.budgets), None)
            lines.append(Line(same[0], each, units, judges, costs, wrong, budget))
        return lines

    def _judged(self) -> list[dict[str, Judged]]:
        judged = [self._judged_by(problem) for problem in self.problems]
        scores = [self.of(problem) for problem in self.problems]
        for entry in self.plan.entries if self.plan.across else ():
            added = self.plan.across(self.problems, [found.get(entry.name) for found in scores])
            for one, more in zip(judged, added, strict=True):
                if entry.name in one:
                    one[entry.name] = replace(one[entry.name], measures={**one[entry.name].measures, **more})
        return judged

    def _judged_by(self, problem: Problem) -> dict[str, Judged]:
        """The problem's scores judged; scores that cannot be judged (of another shape, say) are a cell that says so."""
        found = self.of(problem)
        try:
            return problem.judge(found)
        except Exception:  # one by one: which is it?
            judged: dict[str, Judged] = {}
            for entry in self.plan.entries:
                if entry.name in found:
                    try:
                        judged |= problem.judge({entry.name: found[entry.name]})
                    except Exception as error:
                        self.found[problem.name, entry.name] = _told(error)
                        self.kept.place(problem, entry).unlink(missing_ok=True)  # a method that is mended is asked again
            return judged

    def _alike(self) -> list[list[Entry]]:
        """The entries of each line: those that differ by their seed alone are one."""
        found: dict[tuple[str, int | None], list[Entry]] = {}
        for entry in self.plan.entries:
            found.setdefault((entry.label, entry.budget), []).append(entry)
        return list(found.values())

    def sections(self) -> dict[str, Section]:
        """The table at the first budget, the curve over all of them, a table for each set, and how far methods agree."""
        plan, main = self.plan, (*self.plan.budgets[:1], None)
        table = [line for line in self.lines if line.entry.budget in main]
        told = [real(table, name, plan.base, plan.unit) for name in plan.against]
        parts = {
            "table": Section(
                plan.about,
                figures(table, plan.measures, plan.base, plan.against),
                [*plan.notes(self.problems), *told, *self.notes],
                plan.columns,
            )
        }
        if len(plan.budgets) > 1:
            curve = [line for line in self.lines if line.entry.budget is not None]
            rows = figures(curve, plan.measures, plan.base)
            budgets = [{"budget": line.entry.budget} for line in curve]
            rows = [one | row for one, row in zip(budgets, rows, strict=True)]
            parts["curve"] = Section("the same at every budget", rows, columns=plan.columns)
        sets = {problem.of: (lambda one, of=problem.of: one.of == of) for problem in self.problems}
        for name, wanted in ((sets if len(sets) > 1 else {}) | dict(plan.parts)).items():
            chosen = [wanted(problem) for problem in self.problems]
            if not any(chosen):
                continue
            some = [_of(line, chosen) for line in table]
            parts[f"table, {name}"] = Section(f"{plan.about} {name} alone.", figures(some, plan.measures, plan.base))
        same = {line.entry.label: self._values(line.entry) for line in table if not line.entry.label.endswith("random")}
        parts["agreement"] = Section("Kendall's tau of two methods' scores.", agreement(same))
        return parts

    def _values(self, entry: Entry) -> dict[str, np.ndarray]:
        """By the problem, and by the sources where the entry has its own: scores of others agree in nothing."""
        of = entry.how.get("sources", "")
        scores = {f"{problem.name} {of}": self.found[problem.name, entry.name] for problem in self.problems}
        return {name: one.values for name, one in scores.items() if isinstance(one, Scored)}


def _told(error: Exception) -> str:
    """What went wrong, in a cell."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]


def _mean(judged: Sequence[Judged]) -> Judged | None:
    """The mean of several draws."""
    if not judged:
        return None
    if len(judged) == 1:
        return judged[0]
    return Judged(
        {name: np.mean([one.measures[name] for one in judged], axis=0) for name in judged[0].measures},
        {name: np.mean([one.judges[name] for one in judged], axis=0) for name in judged[0].judges},
    )


def _of(line: Line, wanted: Sequence[bool]) -> Line:
    """The line on some of the problems."""

    def some(values: Sequence[Any]) -> list[Any]:
        return [value for value, is_wanted in zip(values, wanted, strict=True) if is_wanted]

    columns = {name: some(vars(line)[name]) for name in ("judged", "units", "judges_by", "costs", "wrong")}
    return replace(line, **columns)


def benchmark(
    name: str, about: str, plan: Callable[[Mapping[str, Any], Path], Plan], default: Path, *more: Any
) -> click.Command:
    """The command of a benchmark: `plan` makes it of the options and of the folder in which everything is kept."""

    @click.command(name, help=about)
    @with_options((*OPTIONS, *more))
    def command(**given: Any) -> None:
        check(given)
        out = given["out"] or default
        with refusing(), quiet_thread():
            sections, how = measured(plan, given, out)
            world = of_world(next(iter(sections)))
            publish(name, sections, how, out, stays=lambda part: of_world(part) != world)

    return command


def measured(
    plan: Callable[[Mapping[str, Any], Path], Plan], given: Mapping[str, Any], out: Path
) -> tuple[dict[str, Section], dict[str, Any]]:
    """The sections of a run, and its circumstances."""
    how = circumstances(said())
    folder = out.with_suffix(".kept")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)  # a few of them for each method and question
        made = plan(given, folder)
        kept = Kept(folder / f"scores {made.called}".strip())
        if given["again"]:
            shutil.rmtree(kept.folder, ignore_errors=True)
        run = Run(made, kept, given["minutes"])
        folder.mkdir(parents=True, exist_ok=True)  # where none can be made, nothing is measured in vain
        run.measure()
        started = time.monotonic()
        sections = run.sections()
    first = next(iter(sections))
    sections[first] = sections[first]._replace(notes=[*sections[first].notes, *choices.notes()])
    return beside(sections, made.called), how | {
        "tiny": given["tiny"],
        "seconds": round(kept.spent(time.monotonic() - started)),
    }
