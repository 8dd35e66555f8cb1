"""`llmattr fit-heads`."""

import json
from pathlib import Path
from typing import Any

import click

from llmattr.cli.files import check_outputs, quiet, read
from llmattr.core.processes import is_main
from llmattr.errors import LlmattrError


@click.command("fit-heads")
@click.argument("data", metavar="DATA")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="file for the weights: at2 --weights FILE")
@click.option("--model", default="smollm2", show_default=True, help="hub id, folder, smollm2 or gemma3-270m")
@click.option("--n-ablations", type=click.IntRange(min=2), default=32, show_default=True, help="ablations for each row")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="longest answer")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="seed of everything random")
def fit_heads(data: str, *, out: Path, model: str, n_ablations: int, max_new_tokens: int, seed: int) -> None:
    """Learn which attention heads foretell ablations, from JSON lines of {"context", "query", "response" (optional)}."""
    check_outputs((data,), [out])
    rows = [_row(line, number) for number, line in enumerate(read(data).splitlines(), 1) if line.strip()]
    quiet()
    from llmattr.context.methods.at2 import fit

    weights = fit(model, rows, n_ablations=n_ablations, max_new_tokens=max_new_tokens, seed=seed)
    if is_main():
        click.echo(f"head weights from {len(rows)} prompts: {weights.save(out)}")


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise LlmattrError(f"line {number} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise LlmattrError(f"line {number} must be an object with context and query, not {row!r:.60}")
    return row
