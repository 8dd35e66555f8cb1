"""Benchmarks of llmattr: `python -m eval` lists them, `python -m eval NAME` runs one. Not part of the package."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "eval" / "results"  # what the benchmarks published


class Benchmark(NamedTuple):
    """What it is, the module of its `command`, its minutes on two cores, and the public sets that it reads."""

    about: str
    place: str
    minutes: int | None = None
    sets: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All that a list says of it."""
        more = [f"{self.minutes} minutes"] * bool(self.minutes) + [f"data: {', '.join(self.sets)}"] * bool(self.sets)
        return self.about + f" ({'; '.join(more)})" * bool(more)


ASKED = ("multihop_migres", "qed_dev")  # questions with documents
BENCHMARKS = {
    "data": Benchmark("the public data that the benchmarks read: what there is, where it is from; fetches, checks it", "data"),
    "families": Benchmark("every method of context and training: what it supports, predicts and costs", "families", 26, ASKED),
    "context": Benchmark("contexts: LDS, top-k drop, gold sentences, cost of every method", "context.bench", 60, ASKED),
    "citations": Benchmark("contexts: is what people marked as supporting found, and cited?", "context.citations", 60, ASKED),
    "verdicts": Benchmark(
        "contexts: is a right answer from the context, a false one not?", "context.verdicts", 30, (*ASKED, "attributionbench")
    ),
    "checks": Benchmark(
        "contexts: does a reference support a claim, as people judged it?", "context.checks", 4, ("attributionbench",)
    ),
    "injection": Benchmark("agents: is what was planted in a tool's result found, and its step?", "context.injection"),
    "contextcite": Benchmark(
        "contexts: ContextCite in its own setting: LDS, ablations", "context.contextcite", None, ASKED[:1]
    ),
    "games": Benchmark("contexts: axioms of fair shares, errors against enumeration, on real questions", "games", 32, ASKED),
    "facts": Benchmark("training: which rows state what is asked, which change it?", "training.facts", 65, ("pararel",)),
    "ftrace": Benchmark(
        "training: FTRACE-Synth by its own protocol, a smaller model", "training.ftrace", None, ("ftrace_synth",)
    ),
    "lds": Benchmark("training: scores against models trained on parts of the data, and the ceiling", "training.lds", 16),
    "curation": Benchmark("curation: are wrong answers found that were planted in a training set?", "curation.bench", 30),
    "stability": Benchmark(
        "both: how far scores move with seeds, budgets, paraphrases, data orders; are p-values right?",
        "stability.bench",
        90,
        ASKED,
    ),
    "components": Benchmark(
        "components: heads and MLPs: LDS, what circuits of the best do alone, on four tasks", "components.bench", 65
    ),
    "features": Benchmark(
        "components: features of a dictionary beside neurons and random directions", "components.features", 12, ("wikitext2",)
    ),
    "bench_cite": Benchmark("contexts: speed beside context-cite, a later span, growth with the context", "speed.cite"),
    "bench_trace": Benchmark("training: speed over the floor, fidelity, EK-FAC, memory, scan, imports, peers", "speed.trace"),
    "bench_retrain": Benchmark("training again: models a minute; LDS against models; a further mask", "speed.retrain", 12),
    "splitting": Benchmark("reading: splitters beside marked texts of 12 languages, 9 kinds of document", "text.splitting", 2),
    "choices": Benchmark("every threshold and default, as they were committed before judging", "harness.choices"),
    "report": Benchmark(
        "tables of the READMEs, plots, one HTML page of what is recorded; --check: up to date?", "report.report"
    ),
}
