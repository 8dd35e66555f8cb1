"""Context attribution compared: `python -m eval context`.

Every method of `llmattr.context.METHODS` on questions with documents: does it foretell ablations that it has not seen (LDS),
is something lost without its best sources (drop), does it find the sentences that people marked, and what does it cost?
What is measured goes to a JSON lines file beside the results at once, and every ablation to a folder there, so that a run that
was stopped goes on from what it has.
"""

import json
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from threadpoolctl import threadpool_limits
from transformers.utils import logging

from eval.context_data import SETS, Question, choose, read_own
from eval.context_judge import Case, make_case
from eval.context_methods import Entry, entries
from eval.context_report import PREDICTION, REACH, SUPPORT, curve, plot, prediction, reach, support
from eval.jobs import environment
from eval.record import circumstances, save, table
from llmattr.context import METHODS
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.lm import LM

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parent.parent.parent / "shared"


@dataclass(frozen=True)
class Size:
    """How much is done: examples of each set, sentences at least and at most, masks, tokens of an answer at most."""

    sets: tuple[str, ...] = ("hotpotqa", "2wiki", "qed")
    examples: int = 2
    least: int = 10
    most: int = 16
    held_out: int = 64
    ceiling: int = 256
    curve: tuple[int, ...] = (4, 8, 16, 32, 64, 128, 256)
    answer: int = 48


DEFAULT = Size()
FULL = Size(sets=("hotpotqa", "2wiki", "qed", "musique", "hotpotqa-train"), examples=20, most=60, answer=128)
TINY = Size(sets=("canal",), examples=1, least=3, most=12, held_out=16, ceiling=32, curve=(4, 16), answer=8)


@dataclass(frozen=True, eq=False)
class Bench:
    """A run: its size, the model's name, what is answered, and where measurements are kept."""

    size: Size
    model: str
    gold_answer: bool
    kept: Path

    @cached_property
    def lm(self) -> LM:
        """The model, loaded when something is left to measure."""
        if self.model == "tiny":
            from tests import tiny_models

            return LM(tiny_models.llama().double(), tiny_models.tokenizer(), "tiny")
        return LM.load(self.model)

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What was measured before, by its key; a line that was cut off is left out."""
        found = {}
        for line in self.kept.read_text(encoding="utf-8").splitlines() if self.kept.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[row["key"]] = row
        return found

    def key(self, name: str, question: Question, entry: Entry) -> str:
        """What a measurement depends on."""
        size = (question.size, self.size.held_out, self.size.answer)
        what = (name, question.id, *size, _name(self.model), self.gold_answer, entry.part, entry.label, entry.options)
        return json.dumps(what, ensure_ascii=False, sort_keys=True)

    def measured(self, name: str, question: Question, lines: Sequence[Entry]) -> list[dict[str, Any]]:
        """Every line of one example; what failed is tried again."""
        keys = [self.key(name, question, entry) for entry in lines]
        cases: list[Case] = []
        for key, entry in zip(keys, lines, strict=True):
            if key not in self.rows or "failed" in self.rows[key]:
                row = {"key": key, "set": name, "example": question.id, "part": entry.part, "label": entry.label}
                self._keep(row | {"options": entry.options, **self._outcome(entry, question, cases)})
        return [self.rows[key] for key in keys]

    def _outcome(self, entry: Entry, question: Question, cases: list[Case]) -> dict[str, Any]:
        """What the entry measures; `cases` holds the question's case once it is made."""
        try:
            if not cases:
                size, scored = self.size, self.kept.with_suffix(".scored")
                cases.append(make_case(self.lm, question, size.held_out, size.answer, self.gold_answer, scored))
            return {"answer": cases[0].ablation.prompt.response, **entry.measure(cases[0])}
        except Exception as error:  # one failure is a cell of the table, not the end of the benchmark
            return {"failed": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]}

    def _keep(self, row: dict[str, Any]) -> None:
        self.rows[row["key"]] = row
        with self.kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def report(place: str, question: Question, rows: Sequence[dict[str, Any]], seconds: float) -> None:
    """Say how one example went."""
    answer = next((" ".join(row["answer"].split()) for row in rows if "answer" in row), "")
    click.echo(f"{place}: {question.size} sentences, {seconds:.0f} s, {answer[:60]!r}", err=True)
    for row in rows:
        if "failed" in row:
            click.echo(f"    failed: {row['label']}: {row['failed']}", err=True)


def right_answers(chosen: Sequence[Question], rows: Sequence[dict[str, Any]]) -> str:
    """How many answers contain the true one."""
    answers = {row["example"]: row["answer"].lower() for row in rows if "answer" in row}
    asked = [question for question in chosen if question.answer and question.id in answers]
    right = sum((question.answer or "").lower() in answers[question.id] for question in asked)
    return f"{len(chosen)} examples; {right} of {len(asked)} answers contain the true one"


def questions(size: Size, shared: Path, data: Path | None, answered: bool) -> tuple[dict[str, list[Question]], list[str]]:
    """The questions of each set, and a note on each that is not there; the project's own document where none is."""
    if data:
        return {data.stem: choose(read_own(data), size.examples, 2, size.most, answered)}, []
    found, notes = {}, []
    for name in size.sets:
        path = shared / "data" / SETS[name].file
        if path.exists():
            found[name] = choose(SETS[name].read(path), size.examples, size.least, size.most, answered)
        else:
            notes.append(f"{name} is skipped: {SETS[name].file} is not in the folder of shared data")
    if not found:
        path = shared / "data" / SETS["canal"].file
        found["canal"] = choose(SETS["canal"].read(path), size.examples, size.least, size.most, answered)
    return found, notes


def _names(_context: Any, parameter: click.Parameter, given: str) -> list[str]:
    known: dict[str, Any] = {"methods": METHODS, "sets": SETS}[parameter.name or ""]
    chosen = given.split(",") if given else []
    if unknown := [name for name in chosen if name not in known]:
        raise click.BadParameter(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
    return chosen


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A random model and one short question, to see that everything runs. Needs --out.")
@click.option("--full", is_flag=True, help="20 examples of each set, up to 60 sentences: a day of one core.")
@click.option("--methods", callback=_names, default="", help="Some methods, with commas between; all without it.")
@click.option("--sets", callback=_names, default="", help="Some sets of questions, with commas between.")
@click.option("--examples", type=click.IntRange(min=1), help="Examples of each set.")
@click.option("--sentences", type=click.IntRange(min=2), help="Sentences of an example at most; other papers are left out.")
@click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, or smollm2.")
@click.option("--gold-answers", is_flag=True, help="Attribute the answer that the data gives, not the model's own.")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Questions of your own (JSON lines)."
)
@click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="The folder that holds data/.")
@click.option("--again", is_flag=True, help="Forget what was measured before.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The JSON file; .md, .svg, .measured.jsonl and .measured.scored go beside it.",
)
def command(
    tiny: bool,
    full: bool,
    methods: list[str],
    sets: list[str],
    examples: int | None,
    sentences: int | None,
    model: str,
    gold_answers: bool,
    data: Path | None,
    shared: Path,
    again: bool,
    out: Path | None,
) -> None:
    """Measure what is not measured yet, print the tables and save them."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    os.environ.update(environment())
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore", LlmattrNote)
    size = TINY if tiny else FULL if full else DEFAULT
    changed = {"examples": examples, "most": sentences, "least": min(size.least, sentences or size.least), "sets": tuple(sets)}
    size = Size(**{**vars(size), **{name: value for name, value in changed.items() if value}})
    out = out or (Path.cwd() / f"context-{data.stem}.json" if data else RESULTS / "context.json")
    kept = out.with_suffix(".measured.jsonl")
    kept.parent.mkdir(parents=True, exist_ok=True)
    if again:
        kept.unlink(missing_ok=True)
        shutil.rmtree(kept.with_suffix(".scored"), ignore_errors=True)
    bench = Bench(size, "tiny" if tiny else model, gold_answers, kept)
    how = circumstances(" ".join(["python -m eval context", *_said()]))
    try:
        found, notes = questions(size, shared, data, gold_answers)
        if not any(found.values()):
            raise LlmattrError(f"no question has {size.least} to {size.most} sentences: see --sentences")
        with threadpool_limits(1):
            _run(bench, found, entries(methods or list(METHODS), size.ceiling, size.curve), notes, how, out)
    except LlmattrError as error:
        raise click.ClickException(str(error)) from error


def _name(value: Any) -> Any:
    """A file or folder by its name alone: where it lies on this machine is nobody's business."""
    is_place = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_dir())
    return Path(value).name if is_place else value


def _said() -> list[str]:
    """The options of this run as they were given, without places on this machine."""
    context = click.get_current_context()
    said = []
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        source = context.get_parameter_source(name)
        if source is click.core.ParameterSource.COMMANDLINE and name not in ("out", "shared", "again"):
            value = ",".join(value) if isinstance(value, list) else _name(value)
            said.append(f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')} {value}")
    return said


def _run(
    bench: Bench, found: dict[str, list[Question]], lines: list[Entry], notes: list[str], how: dict[str, Any], out: Path
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, chosen in found.items():
        rows[name] = []
        for number, question in enumerate(chosen, 1):
            started = time.perf_counter()
            measured = bench.measured(name, question, lines)
            report(f"{name} {number}/{len(chosen)}", question, measured, time.perf_counter() - started)
            rows[name] += measured
        notes = [*notes, f"{name}: {right_answers(chosen, rows[name])}."]
    about = f"{_name(bench.model)} and {'the answers that the data gives' if bench.gold_answer else 'its own answers'}, {{}}."
    everything = [row for some in rows.values() for row in some]
    figures, points = prediction(everything), curve(everything)
    if not plot(figures, points, out.with_suffix(".svg"), about.format(", ".join(rows))):
        notes.append("No plot: matplotlib is not installed.")
    parts = {
        "prediction": (about.format(", ".join(rows)), figures, [*notes, *PREDICTION]),
        "reach": (about.format(", ".join(rows)), reach(everything), list(REACH)),
        "support": (about.format(", ".join(rows)), support(everything), list(SUPPORT)),
        "curve": (about.format("fits on nested masks"), points, []),
    }
    for name in rows if len(rows) > 1 else ():
        parts |= {f"prediction, {name}": (about.format(name), prediction(rows[name]), [])}
        parts |= {f"support, {name}": (about.format(name), support(rows[name]), [])}
    for name, (_, part, said) in parts.items():
        click.echo("\n".join(["", name, *([table(part)] if part else []), *said]))
    records = {name: {"about": what, **how, "figures": part, "notes": said} for name, (what, part, said) in parts.items()}
    save(out, "context", {name: record for name, record in records.items() if record["figures"]})


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval context")
