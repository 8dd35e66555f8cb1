"""Context attribution measured: `python -m eval bench_cite`. Times are CPU seconds on one thread, medians of rounds."""

import tempfile
from pathlib import Path
from typing import Any

import click

from eval import RESULTS, ROOT
from eval.harness.parts import chosen, quiet_thread, run_parts
from eval.speed import cite_parts
from llmattr.text import split

OUT = RESULTS / "bench_cite.json"
PARTS = {"scoring": cite_parts.scoring, "growth": cite_parts.growth}
TINY = cite_parts.Size(contexts=(4,), growth=(4, 8), ablations=4, rounds=1)


def _names(_context: Any, _parameter: Any, given: str) -> list[str]:
    return chosen(PARTS, given)


def _peer(_context: Any, _parameter: Any, given: str | None) -> str | None:
    name, _, python = (given or "").partition("=")
    if given and (name != "context-cite" or not python):
        raise click.BadParameter("give context-cite=PYTHON")
    return python or None


@click.command(help=__doc__)
@click.option("--tiny", is_flag=True, help="A very small workload and model, to see that everything runs. Needs --out.")
@click.option("--parts", callback=_names, default="", help="Some parts, with commas between; all without it.")
@click.option("--peer", callback=_peer, metavar="context-cite=PYTHON", help="The Python of an environment with context-cite.")
@click.option("--model", help="A local folder; the embedded model without it.")
@click.option(
    "--text",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=ROOT / "recipes" / "documents" / "panama_canal.md",
    help="Real text.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(*, tiny: bool, parts: list[str], peer: str | None, model: str | None, text: Path, out: Path | None) -> None:
    """Measure the parts one after the other, print each as a table, and save it."""
    if tiny and out is None:
        raise click.UsageError("--tiny needs --out, so that no real results are lost")
    size = TINY if tiny else cite_parts.Size()
    options = [*["--tiny"] * tiny, *(["--peer context-cite=..."] if peer else []), f"--text {text.name}"]
    with quiet_thread(), tempfile.TemporaryDirectory() as scratch:
        bench = cite_parts.Bench(model or _model(tiny, Path(scratch)), _sentences(text, size), size, Path(scratch), peer)
        run_parts("bench_cite", PARTS, parts, bench, options=options, out=out or OUT)


def _model(tiny: bool, scratch: Path) -> str:
    """A folder that every runner can read."""
    if tiny:
        from tests.tiny_models import save as save_tiny

        return str(save_tiny(scratch / "tiny"))
    from llmattr.model.embedded import embedded_folder

    return str(embedded_folder("smollm2"))


def _sentences(text: Path, size: cite_parts.Size) -> list[str]:
    """As many sentences as the largest context has; a text that is too short is read again from its start."""
    plain = [line for line in text.read_text(encoding="utf-8").splitlines() if not line.strip().startswith(("#", "="))]
    found = [part.strip() for part in split.sentences("\n".join(plain)) if part.strip()]
    wanted = max(*size.contexts, *size.growth)
    return (found * (wanted // len(found) + 1))[:wanted]
