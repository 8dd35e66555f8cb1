"""`llmattr certainty` and `llmattr stability`: saved results of the same question, of several runs or methods."""

from collections.abc import Callable
from pathlib import Path

import click

from llmattr.cli.given import Input
from llmattr.errors import LlmattrError

FILE = click.Path(path_type=Path)


def _runs(command: Callable[..., None]) -> Callable[..., None]:
    """What both take: files, and where results go."""
    options = [
        click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=Input(FILE)),
        click.option("--html", type=FILE, help="write a page to read in a browser"),
        click.option("--json", type=FILE, help="write the result as JSON"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_runs
@click.option(
    "--factor",
    "factors",
    multiple=True,
    metavar="NAME=A,B,...",
    help="what each run was of: seed=0,0,1,1 and checkpoint=10,20,10,20 (repeat it); splits the variance",
)
@click.option("--power", type=click.FloatRange(0.5, 0.9999), default=0.8, show_default=True, help="of the runs it would take")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="sources shown for and against")
def certainty(
    runs: tuple[Path, ...], *, factors: tuple[str, ...], power: float, top: int, html: Path | None, json: Path | None
) -> None:
    """Which scores can be told from noise?

    RUNs are results of the same question that differ by chance alone (seeds, checkpoints): what llmattr saved with --json, or
    scores of any tool, [t, n] in .npy, .npz or .csv, [r, t, n] of r runs in one file. Prints the mean of each score over the
    runs, its error, the deviation between runs (sd) and a q-value: among the scores with q up to 0.05 a twentieth is noise at
    most; those above may be noise. Checkpoints of one seed count as one run (--factor), since they follow each other.
    """
    from llmattr.certainty import replicates
    from llmattr.cli.files import check_outputs, report
    from llmattr.report.certainty import certainty_text

    check_outputs(tuple(map(str, runs)), [out for out in (html, json) if out])
    found = replicates(runs, dict(map(_factor, factors)))
    beside = {"certainty": found.record(power)} if json else {}
    report(found.attribution(), certainty_text(found, top, power), html=html, json=json, beside=beside)


def _factor(text: str) -> tuple[str, list[str]]:
    name, equals, labels = text.partition("=")
    if not (name and equals and labels):
        raise LlmattrError(f"--factor is NAME=LABEL,LABEL,... with a label for each run, not {text!r}")
    return name, labels.split(",")
