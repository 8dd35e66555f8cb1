"""Training attribution measured: `python -m eval bench_trace`.

Times are CPU seconds on one thread. The floor is a forward pass and a backward pass through the activations alone, in plain
torch (eval/peers/floor.py): no gradient method can do with less.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import click
import torch
from threadpoolctl import threadpool_limits
from transformers.utils import logging

from eval import trace_fidelity, trace_speed
from eval.jobs import environment
from eval.record import circumstances, save, table
from eval.topics import FULL, TINY
from eval.trace_setting import FULL_SIZE, TINY_SIZE, Bench

RESULTS = Path(__file__).parent / "results" / "bench_trace.json"
PARTS = {
    "build": trace_speed.build,
    "fidelity": trace_fidelity.fidelity,
    "ekfac": trace_fidelity.ekfac,
    "smollm2": trace_speed.smollm2,
    "scan": trace_speed.scan,
    "imports": trace_speed.imports,
    "peers": trace_fidelity.peers,
}


def _pairs(_context: Any, _parameter: Any, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for name, _, python in pairs:
        if name not in trace_fidelity.PEERS or not python:
            raise click.BadParameter(f"{name!r}: give NAME=PYTHON, where NAME is one of {', '.join(trace_fidelity.PEERS)}")
    return {name: python for name, _, python in pairs}


def _names(_context: Any, _parameter: Any, given: str) -> list[str]:
    chosen = given.split(",") if given else list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise click.BadParameter(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return chosen


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A very small workload, to see that everything runs. Needs --out.")
@click.option("--parts", callback=_names, default="", help="Some parts, with commas between; all without it.")
@click.option("--peer", "peers", multiple=True, callback=_pairs, metavar="NAME=PYTHON", help="A peer's own Python.")
@click.option("--text", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Real text for SmolLM2.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(tiny: bool, parts: list[str], peers: dict[str, str], text: Path | None, out: Path | None) -> None:
    """Measure the parts one after the other, print each as a table, and save it."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    os.environ.update(environment())
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = [*["--tiny"] * tiny, *(f"--peer {name}=..." for name in peers), *([f"--text {text.name}"] if text else [])]
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        bench = Bench(TINY if tiny else FULL, TINY_SIZE if tiny else FULL_SIZE, Path(scratch), peers, text)
        for name in parts:
            how = circumstances(" ".join(["python -m eval bench_trace", f"--parts {name}", *options]))
            figures, notes = PARTS[name](bench), list(bench.notes)
            bench.notes.clear()
            click.echo("\n".join(["", name, *([table(figures)] if figures else []), *notes]))
            record = {"about": " ".join((PARTS[name].__doc__ or "").split()), **how, "figures": figures, "notes": notes}
            save(out or RESULTS, "bench_trace", {name: record})


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval bench_trace")
