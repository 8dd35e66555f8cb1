"""Splitters on texts whose sources were marked by hand: `python -m eval splitting`.

Twelve languages and nine kinds of document: how well each splitter finds where units end, and whole units. Needs no model.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import click

from eval import RESULTS
from eval.harness.command import Section, check, publish, refusing, said
from eval.harness.compare import LEVEL
from eval.harness.record import Figure, circumstances
from eval.text import counts
from eval.text.marks import Marked, Span, kinds, read
from eval.text.splitters import LANGUAGES, PACKAGES, SPLITTERS, Splitter, ours
from llmattr.metrics import holm

Texts = Mapping[str, Sequence[Marked]]  # by language or kind of document
Found = dict[str, list[list[Span]]]  # of the same texts

OUT = RESULTS / "splitting.json"
PAGE = 500_000  # bytes
ABOUT = (
    "of what each splitter would offer as sources, with the 95 % interval over chunks of three units. First: the best, and "
    f"those that cannot be told from it (swapped chunks, Holm's correction at {LEVEL:.0%})."
)
MEASURES = {
    "boundaries": (counts.boundaries, f"F1 of the ends of units {ABOUT}"),
    "units": (counts.units, f"F1 of whole units, and of them alone, {ABOUT}"),
}


def there() -> dict[str, Splitter]:
    """The splitters that are installed."""
    found = {}
    for name, splitter in SPLITTERS.items():
        try:
            splitter("Loads what is used.", "en")
        except ImportError:
            continue
        found[name] = splitter
    return found


def split(splitter: Splitter, texts: Texts) -> Found:
    """What a splitter finds; kinds of document are in English, or mostly."""
    languages = {kind: kind if kind in LANGUAGES else "en" for kind in texts}
    return {kind: [splitter(one.text, languages[kind]) for one in some] for kind, some in texts.items()}


def rows(texts: Texts) -> dict[str, list[str]]:
    """The rows of a table and the kinds that each is the mean over."""
    languages = [kind for kind in LANGUAGES if kind in texts]
    documents = [kind for kind in texts if kind not in LANGUAGES]
    means = {"mean of languages": languages, "mean of documents": documents, "mean": [*languages, *documents]}
    return {kind: [kind] for kind in means["mean"]} | means


def figures(texts: Texts, found: Mapping[str, Found], measure: Callable[[Marked, list[Span]], counts.Counts]) -> list[Figure]:
    """A row for each kind of text and for the means over them, a column for each splitter."""
    counted = {
        name: {kind: counts.joined(map(measure, texts[kind], spans)) for kind, spans in some.items()}
        for name, some in found.items()
    }
    absent: Figure = {name: "not installed" for name in SPLITTERS if name not in found}
    return [
        {"text": row, **_cells({name: [each[kind] for kind in some] for name, each in counted.items()}), **absent}
        for row, some in rows(texts).items()
    ]


def _cells(row: Mapping[str, Sequence[counts.Counts]]) -> Figure:
    """Every splitter's mean F1 with its interval, and who is first."""
    cells: Figure = {}
    for name, some in row.items():
        low, high = counts.interval(some)
        cells |= {name: counts.mean_f1(some), f"{name} 95 %": f"{low:.2f} to {high:.2f}"}
    best, *others = sorted(row, key=lambda name: -cells[name])
    adjusted = holm([counts.p_value(row[best], row[other]) for other in others])
    level = [other for other, p in zip(others, adjusted, strict=True) if p >= LEVEL]
    return {"first": ", ".join([best, *level]), **cells}


def seconds(splitter: Splitter, page: str) -> float:
    """CPU seconds for an English text."""
    started = time.process_time()
    splitter(page, "en")
    return time.process_time() - started


def wrong(kind: str, marked: Marked) -> list[str]:
    """Where our splitter ends a unit that does not end, or goes on behind one that does, with what stands around."""
    text, true = marked.text, {end for _, end in marked.units}
    ends = {end for _, end in ours(text, kind)} - {end for _, end in marked.closed}
    said = {end: "missed" if end in true else "extra" for end in sorted(ends ^ true)}
    return [f"{kind}: {what}: {text[max(0, end - 30) : end]!r} | {text[end : end + 15]!r}" for end, what in said.items()]


@click.command("splitting", help=__doc__)
@click.option("--wrong", "is_list", is_flag=True, help="Only list where ours is wrong, on the half that it is written by.")
@click.option("--tiny", is_flag=True, help="Two kinds of text: does everything run? Needs --out.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(*, is_list: bool, tiny: bool, out: Path | None) -> None:
    """Split, judge and publish."""
    check({"tiny": tiny, "out": out})
    with refusing():
        files = kinds("choose" if is_list else "judge")
        texts = {kind: [one for path in paths for one in read(path)] for kind, paths in files.items()}
        if is_list:
            click.echo("\n".join(line for kind, some in texts.items() for one in some for line in wrong(kind, one)))
            return
        if tiny:
            texts = {kind: texts[kind] for kind in ("en", "table")}
        publish("splitting", measured(texts, PAGE // 50 if tiny else PAGE), circumstances(said()) | {"tiny": tiny}, out or OUT)


def measured(texts: Texts, size: int) -> dict[str, Section]:
    """The tables; `size`: bytes of the text that is timed."""
    splitters = there()
    found = {name: split(splitter, texts) for name, splitter in splitters.items()}
    parts = {name: Section(about, figures(texts, found, measure)) for name, (measure, about) in MEASURES.items()}
    page = "\n\n".join(one.text for one in texts["en"])
    page *= size // len(page.encode()) + 1
    times = [{"splitter": name, "CPU s": seconds(splitter, page)} for name, splitter in splitters.items()]
    versions = "; ".join(f"{one.name} {one.version}" for one in metadata.distributions() if one.name in PACKAGES)
    about = f"CPU seconds for {size / 1000:.0f} kB of English text, the same page again and again."
    return {**parts, "speed": Section(about, times, [f"{versions}."])}
