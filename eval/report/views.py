"""Which tables people read of a benchmark's record, and which columns they have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.harness.record import Figure, of_world

FAMILIES = ("corroborative", "predictive", "game-theoretic", "datamodel")
REFERENCE = "reference"  # the family of rows that are no method: random scores, gold labels, ceilings
Parts = Mapping[str, Any]  # the record of a benchmark: part -> about, command, date, machine, versions, figures, notes
MAIN = ("table", "context", "training", "chance")  # the parts of a run; where one is there, those of older runs are not shown


@dataclass(frozen=True)
class View:
    """A table of a part: its columns (all without any), its title, the rows to keep; whether they are sorted by family."""

    columns: tuple[str, ...] = ()
    title: str = ""
    keep: Callable[[Figure], bool] = lambda _: True
    sort: bool = True


CITED = ("cited precision", "cited recall", "cited f1")
VERDICTS = ("right", "reworded", "paraphrase", "supported", "false", "swapped", "unsupported", "refusal", "right > swapped")
CHECKED = ("claims", "AUROC", "macro-F1")
COSTS = ("CPU s", "passes", "tokens", "models", "bytes", "needs at least")
EACH = ("LDS", "LDS, 0.9 kept", "QLD", "drop 3", "AP", "MRR", "cited f1", "threshold F1")  # a column of a curve each
CURVE = View(("family", "method", "budget", *EACH, *COSTS), "at every budget", sort=False)
JUDGED = ("LDS", "LDS, chosen on")
OLD = ("MRR", "recall@3", "F1", "LDS", "drop", "counterfactual error")
VIEWS: dict[tuple[str, str], tuple[View, ...]] = {
    ("families", "context"): (
        View(("MRR", "R@3", "cited f1", *JUDGED, "drop 3", "counterfactual error", "CPU s", "passes", COSTS[-1])),
    ),
    ("families", "training"): (
        View(("MRR", "R@3", "cited f1", *JUDGED, "QLD", "counterfactual error", "CPU s", "models", "bytes", COSTS[-1])),
    ),
    ("context", "table"): (
        View((*JUDGED, "LDS minus context-cite", "drop 3", "counterfactual error", *COSTS), "prediction"),
        View(("AP", "AP, chosen on", "AP minus context-cite", "MRR", "P@1", "R@3", *CITED), "support"),
    ),
    ("citations", "table"): (
        View(("AP", "AP, chosen on", "AP minus context-cite", "MRR", "R@3", *CITED, "cited f1, chosen on", "threshold F1")),
    ),
    ("verdicts", "table"): (View(VERDICTS),),
    ("components", "table"): (View((*JUDGED, "LDS minus leave-one-out", "CPR", "CMD", "counterfactual error", *COSTS)),),
    ("features", "table"): (
        View(
            ("LDS", "LDS minus neurons: leave-one-out", "CPR", "CMD", "features alone", "error alone", "sources", "FVU", *COSTS)
        ),
    ),
    ("curation", "table"): (View(("AP", "AP minus random", "AUROC", "P@wrong", *COSTS)),),
    ("stability", "context"): (
        View(("kendall, seeds", "kendall, budgets", "kendall, paraphrases", "jaccard, seeds", "jaccard, paraphrases")),
    ),
    ("stability", "training"): (
        View(("kendall, seeds", "kendall, orders", "kendall, checkpoints", "jaccard, seeds", "nogueira, seeds")),
    ),
    ("stability", "chance"): (View(("method", "pairs", "KS", "KS p", "false", "found", "promised"), sort=False),),
    ("checks", "table"): (
        View(("signal", "file", *CHECKED), keep=lambda row: row.get("set") == "all", sort=False),
        View(("signal", "file", "set", *CHECKED), "each set", lambda row: row.get("set") != "all", sort=False),
    ),
    ("facts", "table"): (
        View((*JUDGED, "LDS minus bm25", "QLD", "forgotten", "tail-patch", *COSTS), "prediction"),
        View(("MRR", "MRR minus bm25", "AP", "P@1", "R@3", "R@10", "cited f1"), "support"),
    ),
    ("lds", "table"): (View((*JUDGED, "LDS minus datamodel", "LDS, 0.9 kept", "QLD", "counterfactual error", *COSTS)),),
    **{("splitting", part): (View(sort=False),) for part in ("boundaries", "units", "speed")},
    # What runs before those above left.
    ("families", "families"): (
        View((*OLD, "CPU s", "passes"), "context", keep=lambda row: row.get("of") == "context"),
        View((*OLD, "CPU s", "models", "bytes"), "training", keep=lambda row: row.get("of") == "training"),
    ),
    ("context", "prediction"): (View(("LDS", "drop 3", "counterfactual error", "passes", "tokens", "seconds")),),
    ("context", "support"): (View(("AP", "MRR", "P@1", "R@3", *CITED)),),
    ("citations", "support"): (View(("AP", "MRR", "R@3", *CITED, "threshold F1")),),
    ("facts", "facts"): (View(("MRR", "recall@10", "LDS", "removal drop", "tail-patch", "CPU s", "models")),),
    ("bench_cite", "scoring"): (
        View(("sentences", "engine", "s per ablation", "times as fast", "largest error, nats", "peak MB"), sort=False),
    ),
    ("bench_retrain", "models"): (
        View(
            ("layers x width", "parameters", "way", "CPU s a model", "models a minute", "times as fast"),
            keep=lambda row: row.get("way") == "usual loop" or bool(row.get("chosen")),
            sort=False,
        ),
    ),
    ("bench_trace", "build"): (
        View(("what", "model", "rows", "min s", "median s", "over floor (median of rounds)"), sort=False),
    ),
    ("bench_trace", "peers"): (
        View(("what", "method", "all s", "peak MiB", "index bytes", "rho to exact", "top 10 shared", "versions"), sort=False),
    ),
}


def main_parts(file: str, record: Parts) -> list[str]:
    """The parts that are a benchmark's tables: of its last run, or what older ones left."""
    names = [*(name for name in MAIN if name in record), *(name for name in record if name == of_world(name))]
    names = names or [part for of, part in VIEWS if of == file and part in record]
    names = names or [name for name in record if "," not in name and not name.startswith(("agreement", "curve"))]
    return [name for name in names if record[name]["figures"]]


def title(file: str, name: str, part: Parts) -> str:
    """A part as it is called beside those of other benchmarks."""
    return "TINY: " * bool(part.get("tiny")) + (file if name in (file, "table") else f"{file}: {name}")
