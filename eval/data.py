"""The public data of the benchmarks: `python -m eval data` lists the sets, `python -m eval data NAME ...` fetches them.

A set comes from its repository at the commit that is listed, or from a folder (`--from`); it is checked and kept in the user's
cache folder, or in the one that LLMATTR_EVAL_DATA names. With `--all --from` a set that the folder has not is named, and is no
failure. Exit codes: 0 done, 1 a file cannot be had or is not as published, 2 bad input.
"""

import sys
from pathlib import Path

import click

from eval import BENCHMARKS
from eval.harness.command import refusing
from eval.harness.data import PublicSet, find, sets, wrong
from eval.harness.fetch import NotThereError, fetch, from_folder, from_repository
from eval.harness.record import Figure, table
from llmattr.errors import LlmattrError

EXAMPLES = Path(__file__).parent / "harness" / "examples"


@click.command("data", help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All sets.")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the files from this folder, by their names: FOLDER/NAME/..., FOLDER/... or a checkout of the repository.",
)
@click.option(
    "--example",
    type=click.Choice(["questions", "citations", "rows", "queries"]),
    help="Print data of your own as `context --data`, `citations --data`, `facts --train` and `facts --queries` take it.",
)
def command(names: tuple[str, ...], every: bool, folder: Path | None, example: str | None) -> None:
    """List the sets, fetch some, or print an example."""
    if folder is not None and not (names or every):
        raise click.UsageError("--from needs the names of sets, or --all")
    if example:
        click.echo((EXAMPLES / f"{example}.jsonl").read_text(encoding="utf-8"), nl=False)
        return
    with refusing():
        wanted = list(sets().values()) if every else [find(name) for name in dict.fromkeys(names)]
    source = from_repository if folder is None else from_folder(folder)
    failed, missing = 0, list[str]()
    for one in wanted:
        try:
            fetch(one, source)
            click.echo(f"{one.name}: {one.folder}")
        except NotThereError as error:
            missing.append(one.name)
            click.echo(f"{'' if every else 'Error: '}{error}", err=True)
        except LlmattrError as error:
            click.echo(f"Error: {error}", err=True)
            failed = 1
    if missing and every:
        come = f"{len(wanted) - len(missing) - failed} of {len(wanted)} sets are here"
        click.echo(f"{come}; not in {str(folder)!r}: {', '.join(missing)} (python -m eval data {' '.join(missing)})", err=True)
    if not wanted:
        click.echo(table([row(one) for one in sets().values()]))
    as_asked = not missing or (every and len(missing) < len(wanted))
    sys.exit(0 if as_asked and not failed else 1)


def row(one: PublicSet) -> Figure:
    """A set as a line of the table."""
    states = wrong(one).values()
    state = "here" if not states else "missing" if set(states) == {"missing"} else "wrong"
    return {
        "name": one.name,
        "state": state,
        "files": len(one.files),
        "bytes": f"{one.size:,}",
        "what": one.what,
        "licence": one.licence,
        "benchmarks call": ", ".join(one.parts),
        "read by": ", ".join(
            f"{name} ({about.minutes or '?'} min)" for name, about in BENCHMARKS.items() if one.name in about.sets
        ),
    }
