"""`llmattr curate`: what one may want to drop of a training set, and why."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmattr.cli.files import check_folder, check_outputs, quiet, write_json
from llmattr.cli.given import Input, refuse, typed
from llmattr.cli.rows import ROWS_OPTIONS
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, check_choice, note

if TYPE_CHECKING:
    from llmattr.curation.finding import Curation


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
) -> None:
    """Say which rows of a training set one may want to drop, and why: duplicates, conflicts, outliers, a test set's.

    ROWS: JSON, CSV, parquet or texts: a file, folder or pattern; or a hub id. Nothing is dropped but what --drop names.
    """
    from llmattr.context.removal.cache import place
    from llmattr.curation.curate import curate as curated

    kinds = _kinds(drop, out)
    if typed("no_cache"):
        refuse("--no-cache keeps nothing", "cache")
    if cache:
        check_folder(cache)
    check_outputs(tuple(name for name in (data, test) if name), [*_files(out), *(path for path in (html, json) if path)])
    quiet()
    found = curated(data, test, split=split, columns=columns, cache=None if no_cache else cache or place())
    lines = _written(found, kinds, out, html)
    if json:
        lines.append(write_json(json, {**found.to_dict(), "dropped": list(found.dropped(kinds))}))
    from llmattr.report.curation import text

    click.echo("\n".join([text(found, top), *lines]), color=False if os.environ.get("NO_COLOR") else None)


curate.params += ROWS_OPTIONS


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
