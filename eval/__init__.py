"""Benchmarks of llmattr: `python -m eval` lists them, `python -m eval NAME` runs one. Not part of the package."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "eval" / "results"  # what the benchmarks published

BENCHMARKS = {
    "data": "the public data that the benchmarks read: what there is, where it comes from; fetches and checks it",
    "families": "the one table: every method of context and training: what it supports, what it predicts, what it costs",
    "context": "context attribution: LDS, top-k drop, gold sentences and cost of every method; LDS against cost",
    "citations": "context attribution: are the sentences found, and cited, that people marked as supporting an answer?",
    "verdicts": "context attribution: is a right answer called from the context, and a false or swapped one not?",
    "facts": "fact tracing: which rows state what is asked, and which ones change the answer; every training method",
    "lds": "training attribution: scores against models trained on parts of the data, with the ceiling; every method",
    "bench_cite": "context attribution: speed beside context-cite, a later span, growth with the context",
    "bench_retrain": "training again: models a minute, together and one by one; LDS against models trained; a further mask",
    "bench_trace": "training attribution: speed over the floor, fidelity, EK-FAC, memory, scan, imports, peers",
    "games": "context attribution: the axioms of fair shares, and errors against enumeration, on games of real questions",
    "splitting": "reading: splitters beside marked texts, 12 languages and 9 kinds of document; pySBD, syntok, ...",
    "contextcite": "context attribution: ContextCite in its own setting: LDS against the number of ablations",
    "ftrace": "fact tracing: FTRACE-Synth by its own protocol, with a smaller model",
    "choices": "every threshold and default, as they were committed before anything was judged",
    "report": "tables of the READMEs, plots and one HTML page from what the others recorded; --check: are they up to date?",
}
PLACES = {
    "data": "eval.data",
    "families": "eval.families",
    "context": "eval.context.bench",
    "citations": "eval.context.citations",
    "verdicts": "eval.context.verdicts",
    "facts": "eval.training.facts",
    "lds": "eval.training.lds",
    "bench_cite": "eval.speed.cite",
    "bench_retrain": "eval.speed.retrain",
    "bench_trace": "eval.speed.trace",
    "games": "eval.games",
    "splitting": "eval.text.splitting",
    "contextcite": "eval.context.contextcite",
    "ftrace": "eval.training.ftrace",
    "choices": "eval.harness.choices",
    "report": "eval.report.report",
}
