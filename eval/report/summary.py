"""How right it is, in one table: a few figures of several benchmarks, each beside what it has to beat."""

from collections.abc import Mapping
from dataclasses import dataclass

from eval.harness.record import Figure
from eval.report.tables import cell
from eval.report.views import Parts


@dataclass(frozen=True)
class Line:
    """A figure: what it answers, by which measure; where it is recorded; the row beside it, and what that is called."""

    asks: str
    measure: str
    file: str
    part: str
    row: Mapping[str, str]
    column: str
    beside: Mapping[str, str]
    called: str


CITE, SCORES, OURS = {"method": "cite"}, {"method": "context-cite"}, {"method": "llmattr"}
BM25, ALWAYS = {"method": "bm25"}, {"method": "always"}
ONE_RUN, CHECKPOINTS, CEILING = {"method": "trak"}, {"method": "trak, 5 checkpoints"}, {"method": "ceiling"}
RETRAINED = {"method": "datamodel"}
TEST = {"file": "test", "set": "all"}
QUICK, SHARED = {**TEST, "signal": "llmattr, quick"}, {**TEST, "signal": "words"}
FROM = "a right answer is told to be from the context"
REWORDED = "a right answer in other words throughout is told to be from the context"
SENTENCES = "scores of sentences foretell what the model says without some (`context-cite`)"
ROWS = "scores of rows foretell what small models say that are trained without some (`trak`, one run)"
SECOND = "that in a second world, of other facts and another architecture"
WITHOUT, EVERY, NOISE = "its scores without the verdict", "“from the context” of all", "what noise leaves possible"
LINES = (
    Line("what `cite` cites was marked by people", "precision", "citations", "table", CITE, "cited precision", SCORES, WITHOUT),
    Line("what people marked is cited", "recall", "citations", "table", CITE, "cited recall", SCORES, WITHOUT),
    Line(FROM, "share", "verdicts", "table", OURS, "right", ALWAYS, EVERY),
    Line("a name or number that stands nowhere is told", "share", "verdicts", "table", OURS, "false", ALWAYS, EVERY),
    Line("a claim that no document supports is told", "share", "verdicts", "table", OURS, "unsupported", ALWAYS, EVERY),
    Line("a wrong name that does stand there is told", "share", "verdicts", "table", OURS, "swapped", ALWAYS, EVERY),
    Line(REWORDED, "share", "verdicts", "table", OURS, "paraphrase", ALWAYS, EVERY),
    Line("`check --quick` ranks supported claims first", "AUROC", "checks", "table", QUICK, "AUROC", SHARED, "shared words"),
    Line(SENTENCES, "LDS", "families", "context", SCORES, "LDS", BM25, "`bm25`"),
    Line(ROWS, "LDS", "lds", "table", ONE_RUN, "LDS", BM25, "`bm25`"),
    Line("the same with five checkpoints of the run", "LDS", "lds", "table", CHECKPOINTS, "LDS", CEILING, NOISE),
    Line(SECOND, "LDS", "lds", "pararel with scratch-gpt2", CHECKPOINTS, "LDS", CEILING, NOISE),
    Line("the first world by hundreds of models (`datamodel`)", "LDS", "lds", "table", RETRAINED, "LDS", CEILING, NOISE),
)


def summary(results: Mapping[str, Parts]) -> str:
    """The table, without the lines of which nothing is recorded; a 95 % interval stands behind every number."""
    made = [row for line in LINES if (row := _row(line, results)) is not None]
    heads = "| | measure | llmattr | beside it |\n|---|---|---|---|\n"
    return heads + "".join(made) if made else ""


def _row(line: Line, results: Mapping[str, Parts]) -> str | None:
    figures = results.get(line.file, {}).get(line.part, {"figures": []})["figures"]
    ours, other = (_found(figures, wanted, line.column) for wanted in (line.row, line.beside))
    if ours is None or other is None:
        return None
    n = ours.get(f"{line.column} n") or ours.get("claims")
    beside = f"{line.called}: {cell(other, line.column, n).text}"
    return f"| {line.asks} | {line.measure}, n {n} | {cell(ours, line.column, n).text} | {beside} |\n"


def _found(figures: list[Figure], wanted: Mapping[str, str], column: str) -> Figure | None:
    return next((row for row in figures if wanted.items() <= row.items() and row.get(column) is not None), None)
