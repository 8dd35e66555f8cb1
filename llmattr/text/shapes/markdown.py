"""A text with marks: [1], [2, 3], [1-3], [1, p. 3], (Document 1), [cite:1], ¹, 【4:0†file】, [^1], <cite ...>, (Doe 2020)."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from llmattr.errors import note
from llmattr.text.shapes.marked import Marked, Marker, begins_line, without_marks
from llmattr.text.shapes.mathematics import is_power, is_value, variables
from llmattr.text.shapes.naming import QUOTED
from llmattr.text.shapes.nouns import is_noun
from llmattr.text.shapes.references import references

MOST = 50  # sources of one mark: more are no range of sources
_KIND = r"(?:doc(?:ument)?|source)"
_ROUND = r"(?:doc(?:ument)?|source|chunk|passage|excerpt|snippet|ref(?:erence)?)"  # what a mark in parentheses begins with
_CALLED = rf"(?:{_ROUND}|citation|cite|context|result|id|quelle|来源|出典|文献|资料|文档)s?[.:]?[ ]?"
_NUMBERS = r"\d{1,3}(?:\s*[-–]\s*\d{1,3})?"
_AND = r"(?:\s*[,;&]|,?\sand\s)\s*"
_AT = r"[,:]?[ ]?(?:pp?\.|pages?|S\.|§|sec\.|section|ch\.|chapter|fig\.|figure|table|lines?)[ ]?"
_PLACED = re.compile(rf"({_NUMBERS}){_AT}(\d+)", re.I)
_ABOVE = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_BEHIND = r"(?:(?<=[.,;:!?…\"”’»)])|(?<=[^\W\d_]{4})|(?<=</sup>))"  # a short word's may be a power, as in km²
_NO_SUM = r"(?![ ]?[=+^≤≥≈×·−⁺⁻])"  # else it is a power in a sum, or the charge of an ion
_LINKED = r"\((?P<{}>(?:[^()\s]|\([^()\s]*\))+)\)"  # an address may have parentheses of its own
_MARK = re.compile(
    rf"""(?:```|~~~).*?(?:```|~~~|\Z) | (?P<tick>`+)(?!`)[^\n]{{1,500}}?(?<!`)(?P=tick)(?!`)  # code
    | (?P<dollar>\${{1,2}})\[[^$\n]{{1,200}}\](?P=dollar)  # mathematics
    | \\\(.{{1,500}}?\\\) | \\\[.{{1,500}}?\\\] | \$(?=\S)[^$\n]{{0,200}}?[\\^_=][^$\n]{{0,200}}?(?<=\S)\$(?!\d)
    | \\.  # what is escaped
    | \[\s?(?=\[[\d\s.-]{{1,40}}[,;])(?:\[[\d\s.,;-]{{0,200}}\][,\s]{{0,3}}){{2,}}\]  # an array of arrays
    | \[(?P<first>\d{{1,3}})\][ ]?[-–][ ]?\[(?P<last>\d{{1,3}})\]
    | \[\^(?P<note>[^\]\s]{{1,80}}?)\^?\](?!:)
    | (?P<outer>\[)?(?:\^?[\[【［]|(?P<round>\()(?={_ROUND}))(?:{_CALLED}){{0,2}}[ ]?
      (?P<numbers>{_NUMBERS}(?:{_AND}(?:{_CALLED})?{_NUMBERS})*)(?:{_AT}(?P<place>\d+)[-–\d.]*)?
      (?P<more>(?:\s*;\s*{_NUMBERS}{_AT}\d+[-–\d.]*)+)?(?(round)\)|[\]】］])(?(outer)\])
      (?:{_LINKED.format("url")})?
    | 【(?:\d+:(?P<result>\d+)|(?P<source>\d+))†(?P<file>[^】\n]{{0,200}})】
    | {_BEHIND}(?P<above>[{_ABOVE}]{{1,3}}(?:[ ]?[,˒⸴][ ]?[{_ABOVE}]{{1,3}})*)(?!\w){_NO_SUM}
    | {_BEHIND}<sup>(?P<raised>{_NUMBERS}(?:\s*[,;]\s*{_NUMBERS})*)</sup>{_NO_SUM}
    | <cite\b(?P<attributes>[^<>]{{0,300}}?)(?:/>|>(?P<claim>[^<]{{0,5000}})</cite>)
    | (?<![\w\[(【［-])(?P<prose>(?:{_ROUND}|step|来源|文档|资料|文献)[ ]?(?P<count>\d{{1,3}}))(?![\w.]*\d|\w)
    | [(\[](?P<names>[^()\[\]【】［］<{_ABOVE}\n]{{1,300}})[)\]](?:(?<=\]){_LINKED.format("link")})?""",
    re.VERBOSE | re.DOTALL | re.I,
)
_ATTRIBUTE = re.compile(r"\b(?:index|ids?|docs?|documents?|sources?|refs?)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'/>]+)", re.I)
_DOCUMENT = re.compile(rf"{_KIND}?[-_: ]?(\d{{1,3}})(?:[-:].*)?", re.I)  # "2", or "2-1:4": its sentences 1 to 4
_LEAD = re.compile(r"(?:sources?|see(?: also)?|from|file|doc(?:ument)?|quelle|siehe)(?: ?: ?| )", re.I)  # before a file's name
_OPENING = "[【［(<"  # of marks that may be words
_PARENTHESES = re.compile(rf"\(({_NUMBERS}(?:{_AND}{_NUMBERS})*)\)(?=[\s.,;:!?)]|\Z)")
_LINK = re.compile(r"https?://[^\s<>()\"'\]]+")


def read(
    text: str,
    names: Mapping[str, str | int],
    own: Mapping[str, int],
    is_source: Callable[[str], bool],
    count: int | None = None,
) -> Marked:
    """The answer without its marks and references; `names` says which document "Doe 2020" is: its number, id or title.

    `own`: the numbers of documents by what they are called as files, in small letters: "report.pdf". `is_source`: whether an
    entry of a list names a document. `count`: of the documents. Numbers count from 1, or from 0, where one is 0 and all are
    below `count`; those of <cite> from 0, where one of them is.
    """
    values, marks_of = variables(text), {mark.span(): mark for mark in _MARK.finditer(text)}
    found = _from_one(text, [marker for mark in marks_of.values() for marker in _markers(mark, names, own, values)])
    first = {_label(marker): marker.start for marker in reversed(found)}
    listed = references(text, lambda label, end: first.get(label, end) < end, is_source)
    found = [marker for marker in found if not listed.has(marker.start)]
    found = found or [marker for marker in _in_parentheses(text, listed.texts) if not listed.has(marker.start)]
    found = [told for one in found for told in _told_of(one, listed.texts.get(_label(one)), text, own, is_source)]
    typed = {one for one in found if one.written in marks_of and _is_typed(marks_of[one.written], own)}
    numbers = {one.number for one in typed if one.number is not None}
    if first_is_0 := count is not None and 0 in numbers and max(numbers) < count:
        note("the answer's numbers count from 0: [0] is the first document")
        found = [one if one in typed or one.number is None else replace(one, number=one.number - 1) for one in found]
    marks = [marker.written for marker in found if marker.written and marker.start == marker.end]
    covering = [one for one in found if one.start < one.end and not one.is_word]
    tags = [tag for one in covering for tag in zip(*_around(one), strict=True)]
    marked = without_marks(text, found, marks, [*listed.places, *tags])
    entries = [_told(_labelled(label), said) for label, said in listed.texts.items()]
    return replace(marked, listed=tuple(entries), first=int(not first_is_0))


def _marks_in(said: str, own: Mapping[str, int]) -> list[Marker]:
    """What a footnote cites that is no source itself: "See [2].", or "Document 2." and no more."""
    whole = _MARK.fullmatch(f"[{said.strip(' .')}]")
    marks = list(_MARK.finditer(said)) if whole is None or whole["names"] else [whole]
    return [one for mark in marks if not mark["note"] for one in _markers(mark, {}, own, ())]


def _told_of(
    one: Marker, reference: str | None, text: str, own: Mapping[str, int], is_source: Callable[[str], bool]
) -> list[Marker]:
    """A marker with what its reference says; a footnote's mark as what the footnote cites, where that is no source itself."""
    is_note = one.written is not None and text.startswith("[^", one.written[0])
    cited = _marks_in(reference, own) if reference and is_note and not is_source(reference) else []
    told = [replace(one, number=other.number, title=other.title, key=other.key, page=other.page) for other in cited]
    return told or [_told(one, reference)]


def _is_typed(mark: re.Match[str], own: Mapping[str, int]) -> bool:
    """Whether its number is what the answer counts, and not that of a document which it calls by a name or in a tag."""
    called = (mark["prose"] or "").casefold() in own
    return not called and all(mark[name] is None for name in ("names", "file", "attributes"))


def _in_parentheses(text: str, labels: Collection[str]) -> Iterator[Marker]:
    """What an answer without other marks has in parentheses, where its references have these numbers: "It is tall (2)."."""
    for mark in _PARENTHESES.finditer(text):
        numbers = _numbers(mark[1])
        if not begins_line(text, mark.start()) and all(str(number) in labels for number in numbers):
            yield from (Marker(mark.start(), mark.start(), number, written=mark.span()) for number in numbers)


def _from_one(text: str, markers: list[Marker]) -> list[Marker]:
    """Tags that count from 0, counted from 1."""
    tags = {marker.written for marker in markers if marker.written and text.startswith("<", marker.written[0])}
    if not any(marker.number == 0 for marker in markers if marker.written in tags):
        return markers
    moved = {one: replace(one, number=one.number + 1) for one in markers if one.written in tags and one.number is not None}
    return [moved.get(one, one) for one in markers]


def _around(marker: Marker) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the two tags around a claim begin, and where they end."""
    start, end = marker.written or (marker.start, marker.end)
    return (start, marker.end), (marker.start, end)


def _label(marker: Marker) -> str:
    return marker.title or str(marker.number)


def _labelled(label: str) -> Marker:
    return Marker(number=int(label)) if label.isdecimal() else Marker(title=label)


def _told(marker: Marker, reference: str | None) -> Marker:
    """With what its reference says of the source."""
    if reference is None:
        return marker
    reference = re.sub(r"\\(\W)", r"\1", reference)
    quote, link = reference.rpartition(" (")[0], _LINK.search(reference)  # before its last parenthesis
    quote = quote if len(quote.split()) >= QUOTED else None
    return replace(marker, title=reference, key=link[0] if link else marker.key, quote=quote)


def _markers(
    mark: re.Match[str], names: Mapping[str, str | int], own: Mapping[str, int], values: Collection[str]
) -> Iterator[Marker]:
    is_word = (mark[0][0] in _OPENING or mark["prose"] is not None) and is_noun(mark.string, *mark.span())
    one = Marker(mark.start(), mark.end() if is_word else mark.start(), written=mark.span())
    if note := mark["note"]:
        said = _labelled(note)
        yield replace(one, number=said.number, title=said.title)
    elif mark["first"]:
        yield from (replace(one, number=number) for number in _range(f"{mark['first']}-{mark['last']}"))
    elif mark["numbers"]:
        if not is_value(mark.string, *mark.span(), _numbers(mark["numbers"]), values):
            yield from _numbered(mark, one)
    elif mark["above"] or mark["raised"]:
        said = mark["raised"] or "".join(str(_ABOVE.find(one)) if one in _ABOVE else "," for one in mark["above"])
        if not is_power(mark.string, mark.start(), said):
            yield from (replace(one, number=number) for number in _numbers(said))
    elif mark["file"] is not None:
        is_name = mark["file"] != "source" and not re.fullmatch(r"L\d+(-L\d+)?", mark["file"])
        number = int(mark["source"]) if mark["source"] else int(mark["result"]) + 1
        yield replace(one, number=number, title=mark["file"] if is_name else None)
    elif mark["attributes"] is not None:
        yield from _cites(mark, one)
    elif mark["prose"] is not None:
        yield from _in_prose(mark, one, own) if is_word else ()
    elif mark["names"] and (known := _known(mark["names"], own)):
        yield from (replace(one, number=number) for number in known)
    elif mark["names"] and names:
        yield from _mapped(mark["names"], one, names)


def _numbered(mark: re.Match[str], one: Marker) -> Iterator[Marker]:
    """[1, p. 3; 2, p. 4]."""
    page = int(mark["place"]) if mark["place"] else None
    yield from (replace(one, number=number, key=mark["url"], page=page) for number in _numbers(mark["numbers"]))
    for numbers, place in _PLACED.findall(mark["more"] or ""):
        yield from (replace(one, number=number, key=mark["url"], page=int(place)) for number in _numbers(numbers))


def _in_prose(mark: re.Match[str], one: Marker, own: Mapping[str, int]) -> Iterator[Marker]:
    """According to Document 2; to step 3, where a document is called so."""
    said = mark["prose"].casefold()
    if said in own or not said.startswith("step"):
        yield replace(one, number=own.get(said, int(mark["count"])))


def _mapped(said: str, one: Marker, names: Mapping[str, str | int]) -> Iterator[Marker]:
    """(Doe 2020; Roe 2021)."""
    parts = [(part.strip(), next((name for name in names if name in part), None)) for part in said.split(";")]
    if any(name for _, name in parts):
        yield from (_named(replace(one, title=part), None if name is None else names[name]) for part, name in parts)


def _known(said: str, own: Mapping[str, int]) -> list[int]:
    """The numbers of the documents that a mark calls by what they are called."""
    for parts in ([said], re.split("[,;]", said)):
        called = [_LEAD.sub("", part.strip(), count=1).casefold() for part in parts]
        if known := [own[name] for name in called if name in own]:
            return known
    return []


def _numbers(said: str) -> list[int]:
    """The numbers of "1, 3-5"."""
    return [number for part in re.split("(?i)[,;&]|and", said) if part.strip() for number in _range(part)]


def _range(part: str) -> range:
    """The numbers of "2" or "1-3"; the two alone, where they are no range."""
    ends = [int(end) for end in re.findall(r"\d+", part)]
    return range(ends[0], ends[-1] + 1) if ends[0] <= ends[-1] < ends[0] + MOST else range(ends[0], ends[0] + 1)


def _named(marker: Marker, known: str | int | None) -> Marker:
    return replace(marker, number=known) if isinstance(known, int) else replace(marker, key=known)


def _cites(mark: re.Match[str], one: Marker) -> Iterator[Marker]:
    """What a tag's attribute names, for the text in it; without one its text names the source."""
    found, claim = _ATTRIBUTE.search(mark["attributes"]), mark["claim"] or ""
    if found and claim.strip():
        one = replace(one, start=mark.start("claim"), end=mark.end("claim"))
    for part in re.split(r"\s*[,;]\s*", found[1].strip("\"'") if found else claim.strip()):
        number = _DOCUMENT.fullmatch(part)
        yield replace(one, number=int(number[1])) if number else replace(one, key=part or None)
