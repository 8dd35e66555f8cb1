"""`llmattr certainty` and `llmattr stability`: saved results of the same question, of several runs or methods."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmattr.cli.given import Input
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution

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
    scores of any tool, [t, n] in .npy, .npz or .csv (the first line names the sources, a first column "target" the targets),
    [r, t, n] of r runs in one file. Prints the mean of each score over the runs, its error, the deviation between runs (sd) and
    a q-value: among the scores with q up to 0.05 a twentieth is noise at most; those above may be noise. Runs of one seed
    (--factor) count as one, since they depend on each other.
    """
    from llmattr.certainty import replicates
    from llmattr.cli.files import report
    from llmattr.report.certainty import certainty_text

    _check(runs, html, json)
    given, names = _read(runs)
    found = replicates(given, dict(map(_factor, factors)), names)
    beside = {"certainty": found.record(power)} if json else {}
    report(found.attribution(), certainty_text(found, top, power), html=html, json=json, beside=beside)


def _check(runs: tuple[Path, ...], *outputs: Path | None) -> None:
    """Refuse a run that is given twice, and an output that would be lost."""
    from llmattr.cli.files import check_outputs

    if len({*runs}) < len(runs):
        raise LlmattrError("a file is given twice: each of them is a run of its own")
    check_outputs(tuple(map(str, runs)), [out for out in outputs if out])


def _read(paths: tuple[Path, ...]) -> tuple[list["Attribution"], list[str]]:
    """Every run of every file and what it is called: by its file's name alone where that tells the files apart."""
    from llmattr.certainty.reading import read_runs

    names = next(
        names
        for names in ([path.stem for path in paths], [path.name for path in paths], [*map(str, paths)])
        if len({*names}) == len(names)
    )
    given = dict(zip(names, map(read_runs, paths), strict=True))
    called = [name if len(of) == 1 else f"{name} {i}" for name, of in given.items() for i in range(1, len(of) + 1)]
    return [run for of in given.values() for run in of], called


def _factor(text: str) -> tuple[str, list[str]]:
    name, equals, labels = text.partition("=")
    if not (name and equals and labels):
        raise LlmattrError(f"--factor is NAME=LABEL,LABEL,... with a label for each run, not {text!r}")
    return name, labels.split(",")


@click.command()
@_runs
@click.option("--k", type=click.IntRange(min=1), help="best sources of a target that are compared; 5, and half of all at most")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="targets shown, and sources of each")
def stability(runs: tuple[Path, ...], *, k: int | None, top: int, html: Path | None, json: Path | None) -> None:
    """How far do results agree, and which sources change?

    RUNs are results of the same question by several seeds, models or methods, in any unit: files as for `llmattr certainty`,
    and lists of the best rows (`llmattr trace query`). Prints Kendall's and Spearman's correlation of all scores, Jaccard and
    rank-biased overlap of the best, and of each target Nogueira's index of the best sources: 1 = the same in every run, 0 = as
    by chance.
    """
    from llmattr.certainty.stability import stability as compared
    from llmattr.cli.files import write_json
    from llmattr.core.files import write
    from llmattr.report.stability import stability_page, stability_text

    _check(runs, html, json)
    given, names = _read(runs)
    found = compared(given, k, names)
    written = [f"HTML page: {write(html, stability_page(found))}"] if html else []
    written += [write_json(json, found.record())] if json else []
    click.echo("\n".join([stability_text(found, top), *written]))
