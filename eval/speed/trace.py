"""Training attribution measured: `python -m eval bench_trace`.

Times are CPU seconds on one thread. The floor is a forward pass and a backward pass through the activations alone, in plain
torch (eval/speed/peers/floor.py): no gradient method can do with less.
"""

import tempfile
from pathlib import Path
from typing import Any

import click

from eval import RESULTS
from eval.harness.command import peer_option
from eval.harness.parts import chosen, quiet_thread, run_parts
from eval.speed import trace_fidelity, trace_parts
from eval.speed.topics import FULL, TINY
from eval.speed.trace_setting import FULL_SIZE, TINY_SIZE, Bench

OUT = RESULTS / "bench_trace.json"
PARTS = {
    "build": trace_parts.build,
    "fidelity": trace_fidelity.fidelity,
    "ekfac": trace_fidelity.ekfac,
    "smollm2": trace_parts.smollm2,
    "scan": trace_parts.scan,
    "imports": trace_parts.imports,
    "peers": trace_fidelity.peers,
}


def _names(_context: Any, _parameter: Any, given: str) -> list[str]:
    return chosen(PARTS, given)


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A very small workload, to see that everything runs. Needs --out.")
@click.option("--parts", callback=_names, default="", help="Some parts, with commas between; all without it.")
@peer_option(trace_fidelity.PEERS)
@click.option("--text", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Real text for SmolLM2.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(tiny: bool, parts: list[str], peers: dict[str, str], text: Path | None, out: Path | None) -> None:
    """Measure the parts one after the other, print each as a table, and save it."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    options = [*["--tiny"] * tiny, *(f"--peer {name}=..." for name in peers), *([f"--text {text.name}"] if text else [])]
    with quiet_thread(), tempfile.TemporaryDirectory() as scratch:
        bench = Bench(TINY if tiny else FULL, TINY_SIZE if tiny else FULL_SIZE, Path(scratch), peers, text)
        run_parts("bench_trace", PARTS, parts, bench, options=options, out=out or OUT)
