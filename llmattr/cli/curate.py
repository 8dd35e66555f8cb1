"""`llmattr curate`: what one may want to drop of a training set, and why."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.files import check_folder, check_outputs, quiet, write_json
from llmattr.cli.given import Input, refuse, taken, typed
from llmattr.cli.rows import ROWS_OPTIONS
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, check_choice, note

if TYPE_CHECKING:
    from llmattr.curation.curate import Asked
    from llmattr.curation.finding import Curation


@dataclass(frozen=True)
class Models:
    """What the options say of models."""

    model: tuple[str, ...]
    encoder: str | None
    retrain: str | None
    bags: int
    steps: int | None
    suspects: int
    diverse: int
    label_next: int

    def asked(self, runs: Path | None) -> "Asked":
        """What `curate` takes; raises `LlmattrError` for what would be of no use."""
        from llmattr.curation.answers import Retraining
        from llmattr.curation.curate import Asked
        from llmattr.retraining.recipe import Recipe

        if not self.retrain:
            refuse("no model is trained without --retrain", "bags", "steps")
        if not (self.model or self.retrain):
            refuse("no answer is doubted without --model or --retrain", "suspects")
        recipe = Recipe(steps=self.steps or "auto", start="random" if str(self.retrain).startswith("scratch") else "given")
        again = Retraining(self.retrain, self.bags, recipe) if self.retrain else None
        sizes = {"suspects": self.suspects, "diverse": self.diverse, "label_next": self.label_next}
        return Asked(self.model, self.encoder, again, runs=runs, **sizes)


MODELS = [
    click.Option(
        ["--model"],
        multiple=True,
        help="the model whose doubts tell wrong answers; of several checkpoints (repeat it) the last",
    ),
    click.Option(["--encoder"], help="minilm, a hub id or a folder: also rows that mean the same in other words"),
    click.Option(["--retrain"], metavar="MODEL", help="also Data-OOB: train it (scratch, a hub id) without some of the rows"),
    click.Option(["--bags"], type=click.IntRange(min=2), default=64, show_default=True, help="models that --retrain trains"),
    click.Option(["--steps"], type=click.IntRange(min=1), help="steps of each; as `trace retrain` without it"),
    click.Option(
        ["--suspects"],
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help="rows told whose answers are doubted most",
    ),
    click.Option(["--diverse"], type=click.IntRange(min=0), default=0, help="choose so many rows that stand for all"),
    click.Option(["--label-next"], type=click.IntRange(min=0), default=0, help="choose so many that the model is unsure of"),
]


@click.command(options_metavar="[OPTIONS]")
@click.argument("data", metavar="ROWS", type=Input())
@click.option("--test", type=Input(), help="a test set: which rows give it away?")
@click.option("--drop", default="", metavar="KINDS", help="kinds of rows that --out leaves out: duplicates,contaminated")
@click.option("--out", type=click.Path(path_type=Path), help="write the rows that stay as JSON lines; those that go beside it")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="rows shown of each kind")
@click.option("--cache", type=click.Path(path_type=Path), help="folder for finished parts, from which a run goes on")
@click.option("--no-cache", is_flag=True, help="keep nothing, and start anew")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def curate(
    data: str,
    *,
    test: str | None,
    split: str | None,
    columns: dict[str, str] | None,
    drop: str,
    out: Path | None,
    top: int,
    cache: Path | None,
    no_cache: bool,
    html: Path | None,
    json: Path | None,
    **models: Any,
) -> None:
    """Say which rows of a training set one may want to drop, and why: duplicates, conflicts, outliers, a test set's.

    ROWS: JSON, CSV, parquet or texts: a file, folder or pattern; or a hub id. Nothing is dropped but what --drop names. With
    --model (or --retrain) also answers that are doubted, by several signals and how far they agree.
    """
    from llmattr.context.removal.cache import place
    from llmattr.curation.curate import curate as curated

    kinds = _kinds(drop, out)
    if typed("no_cache"):
        refuse("--no-cache keeps nothing", "cache")
    if cache:
        check_folder(cache)
    check_outputs(tuple(name for name in (data, test) if name), [*_files(out), *(path for path in (html, json) if path)])
    asked = taken(Models, models).asked(cache / "runs" if cache else None)
    quiet()
    found = curated(data, test, asked=asked, split=split, columns=columns, cache=None if no_cache else cache or place())
    lines = _written(found, kinds, out, html)
    if json:
        lines.append(write_json(json, {**found.to_dict(), "dropped": list(found.dropped(kinds))}, found.models))
    from llmattr.report.curation import text

    click.echo("\n".join([text(found, top), *lines]), color=False if os.environ.get("NO_COLOR") else None)


curate.params += [*MODELS, *ROWS_OPTIONS]


def _kinds(drop: str, out: Path | None) -> list[str]:
    """What is dropped."""
    from llmattr.curation.finding import KINDS

    kinds = [kind.strip() for kind in drop.split(",") if kind.strip()]
    for kind in kinds:
        check_choice("--drop", kind, KINDS)
    if kinds and out is None:
        raise LlmattrError(f"--drop {drop} writes the rows that stay: say where (--out CLEANED.jsonl)")
    if out and not kinds:
        note("nothing is dropped: --drop says which kinds are, such as duplicates,contaminated")
    return kinds


def _files(out: Path | None) -> list[Path]:
    """The rows that stay, and those that go."""
    return [out, out.with_name(f"{out.stem}.dropped.jsonl")] if out else []


def _written(found: "Curation", kinds: Sequence[str], out: Path | None, html: Path | None) -> list[str]:
    """Write the page and the rows; return the lines that say so."""
    from llmattr.report.curation_page import page

    lines = [f"HTML page: {write(html, page(found))}"] if html else []
    if out:
        gone = found.dropped(kinds)
        stay, go = _files(out)
        write(stay, "".join(f"{json_text(row, None)}\n" for row in found.left(kinds)))
        told = [
            {"name": found.name(row), "why": [vars(one) for one in why], "row": found.rows[row]} for row, why in gone.items()
        ]
        write(go, "".join(f"{json_text(row, None)}\n" for row in told))
        lines.append(f"{len(found.rows) - len(gone)} of {len(found.rows)} rows: {stay}; the other {len(gone)}, with why: {go}")
    return lines
