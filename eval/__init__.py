"""Benchmarks of llmattr: `python -m eval` lists them, `python -m eval NAME` runs one. Not part of the package."""

BENCHMARKS = {
    "context": "context attribution: LDS, top-k drop, gold sentences and cost of every method; LDS against cost",
    "facts": "fact tracing: which rows state what is asked, and which ones change the answer; every training method",
    "bench_cite": "context attribution: speed beside context-cite, a later span, growth with the context",
    "bench_retrain": "training again: models a minute, together and one by one; LDS against models trained; a further mask",
    "bench_trace": "training attribution: speed over the floor, fidelity, EK-FAC, memory, scan, imports, peers",
}
