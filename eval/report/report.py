"""Tables, plots and a page from what the benchmarks recorded: `python -m eval report`.

Reads every JSON file of eval/results and writes, in place, what stands in README.md, docs/which_method.md and eval/README.md
between `<!-- results: NAME -->` and `<!-- end of results -->`, the plots (SVG) and eval/results/report.html. The same files
give the same text, so that `--check` can say whether somebody forgot to run it.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval import RESULTS, ROOT
from eval.report import plots
from eval.report.panels import SCATTER, TITLES, panels
from eval.report.summary import summary
from eval.report.tables import markdown, parts
from eval.report.views import FAMILIES, REFERENCE, Parts
from llmattr.core.files import write

TEMPLATES = Path(__file__).parent / "templates"
MARKED = re.compile(r"(<!-- results: (\w+) -->\n)(?:(?!<!-- results:).)*?(<!-- end of results -->)", re.DOTALL)
DOCS = ROOT / "docs"  # a site: nothing outside of it can be linked
OWN = (ROOT / "README.md", DOCS / "which_method.md", ROOT / "eval" / "README.md")
EXPECTED = (
    "families",
    "context",
    "citations",
    "verdicts",
    "checks",
    "facts",
    "lds",
    "bench_cite",
    "bench_trace",
    "bench_retrain",
)


KINDS = {"about": str, "command": str, "date": str, "machine": dict, "versions": dict, "figures": list, "notes": list}


def read(folder: Path) -> dict[str, Parts]:
    """Every benchmark's record, in the order of the page; a file without any is named and left out."""
    found: dict[str, Parts] = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: (*EXPECTED, path.stem).index(path.stem)):
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise click.ClickException(f"{str(path)!r} is not a benchmark's JSON: {error}") from error
        found[path.stem] = {name: part for name, part in given.items() if _is_part(part)} if isinstance(given, dict) else {}
        if not found[path.stem]:
            click.echo(f"{path.name} is left out: it is not a benchmark's JSON", err=True)
            del found[path.stem]
    return found


def _is_part(part: Any) -> bool:
    known = isinstance(part, dict) and all(isinstance(part.get(name), kind) for name, kind in KINDS.items())
    return known and all(isinstance(row, dict) and row for row in part["figures"])


def filled(text: str, results: dict[str, Parts], shown: str | None) -> str:
    """A page with its tables made again. `shown`: the results' folder as the page's links name it, None where it has none."""

    def block(match: re.Match[str]) -> str:
        return match[1] + _inside(match[2], results, shown) + match[3]

    made, places = MARKED.subn(block, text)
    if places != text.count("<!-- results:"):
        raise click.ClickException("a <!-- results: NAME --> has no <!-- end of results --> before the next one")
    return made


def _inside(name: str, results: dict[str, Parts], shown: str | None) -> str:
    if name == "summary":
        return summary(results)
    return _plots(results, shown) if name == "plots" else _tables(name, results.get(name, {}), shown)


def _tables(name: str, record: Parts, shown: str | None) -> str:
    made = parts(name, record)
    if not made:
        return ""
    titled = sum(len(part.tables) for part in made) > 1
    where = f"All of it: `eval/results/{name}.md`.\n" if shown is None else _links(name, record, shown)
    return "".join(f"{markdown(part, titled)}\n\n" for part in made) + where


def _links(name: str, record: Parts, shown: str) -> str:
    drawn = f"; [foretold and true outputs]({shown}/{name}{SCATTER}.svg)" * (name + SCATTER in panels({name: record}))
    return f"All of it: [{name}.md]({shown}/{name}.md){drawn}.\n"


def _plots(results: dict[str, Parts], shown: str | None) -> str:
    drawn = [name for name in panels(results) if name in TITLES]
    return "\n".join(f"![{TITLES[name]}]({shown}/{name}.svg)\n" for name in drawn)


def page(results: dict[str, Parts], folder: Path) -> str:
    """The whole HTML page, from the records and the plots that lie beside them; every text escaped."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    drawn = [name for name in panels(results) if (folder / f"{name}.svg").exists()]
    svg = {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in drawn}
    made = {name: parts(name, record, whole=True) for name, record in results.items()}
    every = [part for some in made.values() for part in some]
    rows = [row for part in every for table in part.tables for row in table.rows]
    return environment.get_template("report.html.j2").render(
        benchmarks={name: some for name, some in made.items() if some},
        plots={name: Markup(plots.inline(text, name)) for name, text in svg.items()},
        scatter=SCATTER,
        titles=TITLES,
        families=FAMILIES,
        choices={
            "family": [*FAMILIES, REFERENCE],
            "budget": sorted({row.budget for row in rows if row.budget is not None}),
            "data set": sorted({part.of for part in every if part.of}),
        },
        chosen=any(", judged on" in head for part in every for table in part.tables for head in table.heads),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def words(results: dict[str, Parts], texts: list[str]) -> list[str]:
    """What is missing: benchmarks without results, results without a place."""
    places = {match[2] for text in texts for match in MARKED.finditer(text)}
    missing = [f"{name}.json is not there: its table stays empty" for name in EXPECTED if name not in results]
    without = [name for name, record in results.items() if parts(name, record) and name not in places]
    mark = "no page has a place for {0}: put <!-- results: {0} --> and <!-- end of results --> where its tables should be"
    return missing + [mark.format(name) for name in without]


@click.command(help=__doc__)
@click.option("--results", type=click.Path(path_type=Path, exists=True, file_okay=False), default=RESULTS)
@click.option(
    "--readme", "readmes", multiple=True, type=click.Path(path_type=Path, exists=True), help="Instead of this project's."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when one of them is out of date.")
def command(results: Path, readmes: tuple[Path, ...], check: bool) -> None:
    """Make everything again, or see whether it would change."""
    records = read(results)
    paths = readmes or (OWN if results == RESULTS else ())  # other results change no page of the project's
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    made = {path: filled(text, records, _link(results, path)) for path, text in texts.items()}
    stale = [path for path in paths if _changed(path, made[path], check)]
    if not check:
        for path in plots.write(records, results):
            click.echo(path)
    place = results / "report.html"
    stale += [place] if _changed(place, page(records, results), check) else []
    for line in words(records, list(texts.values())) if texts else ():
        click.echo(line, err=True)
    sys.exit(1 if check and stale else 0)


def _changed(path: Path, text: str, check: bool) -> bool:
    """Whether the file is not that text; it is written then, unless this is a check."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    click.echo(f"{path} is out of date: python -m eval report" if check else path)
    if not check:
        write(path, text)
    return True


def _link(results: Path, readme: Path) -> str | None:
    """The results' folder as a link in the README; None in a page of the site."""
    if readme.is_relative_to(DOCS):
        return None
    try:
        return results.resolve().relative_to(readme.resolve().parent).as_posix()
    except ValueError:
        return results.as_posix()
