"""What benchmarks of context methods share: their size, the questions, the kept measurements, the options.

`measure(Bench(size, "smollm2", False, out), found, entries)` measures what is not measured yet, and gives all rows. What is
measured goes to a JSON lines file beside `out` at once, and every ablation to the folder `context.scored` there, so that a run
that was stopped goes on from what it has.
"""

import dataclasses
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.context.data import SETS, Question, choose
from eval.context.judge import Case, make_case
from eval.context.methods import Entry
from eval.context.own import read_own
from eval.harness.command import SHARED, check, plain_name, with_options
from eval.harness.parts import quiet_thread
from llmattr.context import METHODS
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM

VERSION = 4  # of what a measurement holds; kept ones of another version are measured again
FEW_SENTENCES = 6  # 64 subsets, as many as methods try
OWN = {"examples": 20, "most": 60}  # of a file of one's own

# A line of the JSON lines file: set, example, part, label, options, answer, right, and what `Entry.measure` gives, or "failed".
Measured = dict[str, Any]


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
    """A run: its size, the model's name, whether the data's answers are attributed, and where results go (a .json file)."""

    size: Size
    model: str
    gold_answer: bool
    out: Path

    @property
    def kept(self) -> Path:
        """The file of measurements."""
        return self.out.with_suffix(".measured.jsonl")

    @property
    def scored(self) -> Path:
        """The folder of ablations; benchmarks that write to the same folder share it."""
        return self.out.with_name("context.scored")

    def forget(self) -> None:
        """Begin anew."""
        self.kept.unlink(missing_ok=True)
        shutil.rmtree(self.scored, ignore_errors=True)

    @cached_property
    def lm(self) -> LM:
        """The model, loaded when something is left to measure."""
        if self.model == "tiny":
            from tests import tiny_models

            return LM(tiny_models.llama(window=16384).double(), tiny_models.tokenizer(), "tiny")
        return LM.load(self.model)

    @cached_property
    def which_model(self) -> str:
        """The model's name, and for a folder what its files are, since another folder may have the same name."""
        files = sorted(Path(self.model).iterdir()) if Path(self.model).is_dir() else []
        told = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return plain_name(self.model) + (f" {hashlib.sha256(repr(told).encode()).hexdigest()[:12]}" if told else "")

    @cached_property
    def rows(self) -> dict[str, Measured]:
        """What was measured before, by its key; a line that was cut off is left out."""
        found = {}
        for line in self.kept.read_bytes().split(b"\n") if self.kept.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found[row["key"]] = row
        return found

    def key(self, name: str, question: Question, entry: Entry) -> str:
        """What a measurement depends on."""
        asked = hashlib.sha256(repr(question).encode()).hexdigest()[:16]
        size = (self.size.held_out, self.size.answer)
        what = (VERSION, name, asked, *size, self.which_model, self.gold_answer, entry.part, entry.label, entry.options)
        return json.dumps(what, ensure_ascii=False, sort_keys=True)

    def measured(self, name: str, question: Question, lines: Sequence[Entry]) -> list[Measured]:
        """Every line of one example; what failed is tried again."""
        keys = [self.key(name, question, entry) for entry in lines]
        cases: list[Case] = []
        for key, entry in zip(keys, lines, strict=True):
            if key not in self.rows or "failed" in self.rows[key]:
                _ = self.lm  # one that cannot be loaded is refused, not a table of failures
                row = {"key": key, "set": name, "example": question.id, "part": entry.part, "label": entry.label}
                self.keep(row | {"options": entry.options, **self._outcome(entry, question, cases)})
        return [self.rows[key] for key in keys]

    def _outcome(self, entry: Entry, question: Question, cases: list[Case]) -> dict[str, Any]:
        """What the entry measures; `cases` holds the question's case once it is made."""
        known: dict[str, Any] = {}
        try:
            if not cases:
                kept = {"gold_answer": self.gold_answer, "scored": self.scored}
                cases.append(make_case(self.lm, question, self.size.held_out, self.size.answer, **kept))
            answer = cases[0].ablation.prompt.response
            known = {"answer": answer, "right": question.answer.lower() in answer.lower() if question.answer else None}
            return known | entry.measure(cases[0])
        except Exception as error:  # one failure is a cell of the table, not the end of the benchmark
            return known | {"failed": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]}

    def keep(self, row: Measured) -> None:
        """Write a row, which has a "key", at once."""
        self.rows[row["key"]] = row
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        line = json_text(row, None) + "\n"
        with self.kept.open("ab", buffering=0) as file:  # one write: lines of several processes do not mix
            file.write(line.encode())


def measure(bench: Bench, found: Mapping[str, Sequence[Question]], lines: Sequence[Entry]) -> list[Measured]:
    """A row for each question of each set and each line: measured now, or before. On one thread; says how each example went."""
    rows = []
    with quiet_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)
        for name, chosen in found.items():
            for number, question in enumerate(chosen, 1):
                started = time.perf_counter()
                measured = bench.measured(name, question, lines)
                report(f"{name} {number}/{len(chosen)}", question, measured, time.perf_counter() - started)
                rows += measured
    return rows


def report(place: str, question: Question, rows: Sequence[Measured], seconds: float) -> None:
    """Say how one example went."""
    answer = next((" ".join(row["answer"].split()) for row in rows if "answer" in row), "")
    click.echo(f"{place}: {question.size} sentences, {seconds:.0f} s, {answer[:60]!r}", err=True)
    for row in rows:
        if "failed" in row:
            click.echo(f"    failed: {row['label']}: {row['failed']}", err=True)


def right_answers(rows: Sequence[Measured]) -> list[str]:
    """How many answers of each set contain the true one."""
    said = []
    for name in dict.fromkeys(row["set"] for row in rows):
        right = {row["example"]: row.get("right") for row in rows if row["set"] == name and "answer" in row}
        known = [one for one in right.values() if one is not None]
        said.append(f"{name}: {len(right)} examples; {sum(known)} of {len(known)} answers contain the true one.")
    return said


def questions(size: Size, shared: Path, data: str | None, answered: bool) -> tuple[dict[str, list[Question]], list[str]]:
    """The questions of each set, and a note on each that is not there; the project's own document where none is.

    `data`: a file of one's own, or a hub id, instead. `answered`: only those of the sets whose answer the data gives.
    """
    if data:
        return _own(size, data)
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
    if not any(found.values()):
        raise LlmattrError(f"no question has {size.least} to {size.most} sentences: see --sentences")
    return found, notes


def _own(size: Size, data: str) -> tuple[dict[str, list[Question]], list[str]]:
    given = list(read_own(data))
    fit = choose(iter(given), len(given), 2, size.most)
    if not fit:
        raise LlmattrError(f"no question of {plain_name(data)} has 2 to {size.most} sentences: see --sentences")
    notes = []
    if len(fit) < len(given):
        notes.append(f"{len(given) - len(fit)} of {len(given)} rows have fewer than 2 sentences, or too many (--sentences).")
    if len(fit) > size.examples:
        notes.append(f"The first {size.examples} of {len(fit)} rows (--examples).")
    fit = fit[: size.examples]
    if few := sum(question.size <= FEW_SENTENCES for question in fit):
        notes.append(
            f"{few} of {len(fit)} rows have {FEW_SENTENCES} sentences or fewer: methods try most subsets of them, held-out "
            "ones too, so that their LDS (where there is one) is too high."
        )
    return {Path(data).stem: fit}, notes


def _names(_context: Any, parameter: click.Parameter, given: str) -> list[str]:
    known: dict[str, Any] = {"methods": METHODS, "sets": SETS}[parameter.name or ""]
    chosen = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in known]:
        raise click.BadParameter(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
    return chosen


OPTIONS = (
    click.option("--tiny", is_flag=True, help="A random model, one short question: does everything run? Needs --out."),
    click.option("--full", is_flag=True, help="20 examples of each set, up to 60 sentences: a day of one core."),
    click.option("--methods", callback=_names, default="", help="Some methods, with commas between; all without it."),
    click.option("--sets", callback=_names, default="", help="Some sets of questions, with commas between."),
    click.option("--examples", type=click.IntRange(min=1), help="Examples of each set."),
    click.option("--sentences", type=click.IntRange(min=2), help="Sentences of an example at most; other papers are left out."),
    click.option("--model", default="smollm2", show_default=True, help="A hub id, a folder, or smollm2."),
    click.option("--data", help="Questions of your own: a JSON lines file, or a hub id."),
    click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="The folder that holds data/."),
    click.option("--again", is_flag=True, help="Forget what was measured before."),
    click.option("--out", type=click.Path(path_type=Path), help="The JSON file; .md, .measured.jsonl and more go beside it."),
)


options = with_options(OPTIONS)  # the function gets those of `begin` as keywords


def begin(title: str, gold_answer: bool, given: Mapping[str, Any]) -> tuple[Bench, dict[str, list[Question]], list[str]]:
    """The bench, the questions and the notes that the shared options ask for; `LlmattrError` for what a user can mend."""
    check(given)
    tiny, data, out = given["tiny"], given["data"], given["out"]
    size, sentences = TINY if tiny else FULL if given["full"] else DEFAULT, given["sentences"]
    asked = {"examples": given["examples"], "most": sentences, "sets": tuple(given["sets"])}
    size = dataclasses.replace(size, least=min(size.least, sentences or size.least), **(OWN if data else {}))
    size = dataclasses.replace(size, **{name: value for name, value in asked.items() if value})
    out = out or (Path.cwd() / f"{title}-{Path(data).stem}.json" if data else RESULTS / f"{title}.json")
    bench = Bench(size, "tiny" if tiny else given["model"], gold_answer, out)
    found, notes = questions(size, given["shared"], data, gold_answer)
    if given["again"]:
        bench.forget()
    return bench, found, notes
