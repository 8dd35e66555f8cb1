"""The list of references that an answer ends with, and its footnotes: what a mark's label stands for."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

_ENTRY = re.compile(
    r"[ \t]{0,3}(?:[-*+][ \t]+)?"
    r"(?:(?:\[(?P<note>\^(?=[^\]\s]+\]:))?\^?(?P<label>[^\]\s]+)\]:?|【(?P<wide>\d+)】|(?P<plain>\d{1,3})[.)])[ \t]+"
    r"|(?P<above>[⁰¹²³⁴-⁹]{1,3})[ \t]*)(?P<text>\S.*)"
)
_TITLE = (
    r"[ \t]*(?:#{1,6}[ \t]+)?[*_]{0,2}(?:references?|sources?|citations?|bibliography|footnotes|works cited|notes|"
    r"quellen?|literatur|références|referencias|fuentes|fonti|参考文献|出典)[*_]{0,2}"
)
_OF_REFERENCES = re.compile(
    r"\W*(?:references?|citations?|bibliography|works|literatur|références|referencias|参考文献)", re.IGNORECASE
)
_HEADING = re.compile(rf"{_TITLE}:?[*_]{{0,2}}[ \t]*", re.IGNORECASE)
_IN_LINE = re.compile(  # Sources: [1] a.txt, [2] b.txt; References: 1. a.txt 2. b.txt
    rf"(?:^|(?<=[.!?。！？…]))(?P<title>{_TITLE})[:：][*_]{{0,2}}[ \t]*(?=[\[【]|1[.)][ \t])(?P<entries>.+)", re.IGNORECASE
)
_LABEL = re.compile(r"[\[【]\^?([^\]】\s]+)[\]】]:?")
_NUMBER = re.compile(r"(?<!\S)(\d{1,3})[.)](?=[ \t])")

IsMarked = Callable[[str, int], bool]  # whether a label is marked before a place of the answer


class References(NamedTuple):
    """What each label stands for, and the characters of the answer that say so."""

    texts: dict[str, str]
    places: list[tuple[int, int]]

    def has(self, place: int) -> bool:
        """Whether this character is one of them."""
        before = bisect_right(self.places, place, key=lambda one: one[0])
        return before > 0 and place < self.places[before - 1][1]


def references(text: str, is_marked: IsMarked, is_source: Callable[[str], bool]) -> References:
    """Footnotes anywhere, and a list: at the end, where it has a heading or labels that are marked before it (`is_marked`), or
    above the last words, where it has both. Of plain numbers that nothing marks, a heading that says what it is, or an entry
    that names a source (`is_source`).
    """
    if (line := _in_line(text, is_marked, is_source)) is not None:
        begin, own = line
        before = references(text[:begin], is_marked, is_source)
        return References(own | before.texts, [*before.places, (len(text[:begin].rstrip()), len(text))])
    lines, start = [], 0
    for line in text.splitlines(keepends=True):
        lines.append((start, line.rstrip("\r\n")))
        start += len(line)
    listed = _lines_of_list(lines, is_marked, is_source)
    texts: dict[str, str] = {}
    places: list[tuple[int, int]] = []
    label, behind = None, 0  # what is written last, and where
    for number, (start, line) in enumerate(lines):
        entry = _ENTRY.fullmatch(line)
        if entry and (number in listed or entry["note"]):
            label = _label(entry)
            texts.setdefault(label, entry["text"].strip())
        elif label is not None and line[:1].isspace() and line.strip():
            texts[label] += " " + line.strip()
        elif number not in listed:
            label, behind = None, start + len(line.rstrip()) if line.strip() else behind
            continue
        places.append((behind, start + len(line)))
        behind = start + len(line)
    if places and not text[places[-1][1] :].strip():
        places[-1] = (places[-1][0], len(text))
    return References(texts, places)


def is_heading(line: str) -> bool:
    """Whether it is the heading of a list of references, and no more: "Sources:"."""
    return _HEADING.fullmatch(line.strip(" \t()")) is not None


def _in_line(text: str, is_marked: IsMarked, is_source: Callable[[str], bool]) -> tuple[int, dict[str, str]] | None:
    """The list that ends the last line: where its heading begins, and what each label stands for."""
    start = text.rstrip().rfind("\n") + 1
    line = _IN_LINE.search(text[start:].rstrip())
    if line is None:
        return None
    begin, entries = start + line.start(), _entries(line["entries"])
    is_told = _OF_REFERENCES.match(line["title"]) is not None
    is_list = is_told or any(is_marked(label, begin) or is_source(said) for label, said in entries.items())
    return (begin, entries) if entries and is_list else None


def _entries(said: str) -> dict[str, str]:
    """The entries of a list within a line, by their labels: in brackets, or numbers that count up."""
    if said[0] in "[【":
        marks = list(_LABEL.finditer(said))
    else:
        marks: list[re.Match[str]] = []
        for mark in _NUMBER.finditer(said):
            marks += [mark] if int(mark[1]) == len(marks) + 1 else []
    ends = [*(mark.start() for mark in marks[1:]), len(said)]
    told = {mark[1]: said[mark.end() : end].strip(" \t,;.") for mark, end in zip(marks, ends, strict=True)}
    return {label: text for label, text in told.items() if text}


def _lines_of_list(lines: list[tuple[int, str]], is_marked: IsMarked, is_source: Callable[[str], bool]) -> range:
    """The list at the end, or that of labels below the last heading; none, where there is no list."""
    first = _first_of_list(lines, is_marked, is_source)
    heading = max((number for number, (_, line) in enumerate(lines) if _HEADING.fullmatch(line)), default=None)
    if first < len(lines) or heading is None:
        return range(first, len(lines))
    stop = last = heading + 1
    while stop < len(lines) and (not lines[stop][1].strip() or _is_labelled(lines[stop][1]) or lines[stop][1][0].isspace()):
        stop += 1
        last = stop if lines[stop - 1][1].strip() else last
    first = _first_of_list(lines[:last], is_marked, is_source)
    return range(first, last)


def _is_labelled(line: str) -> bool:
    entry = _ENTRY.fullmatch(line)
    return entry is not None and not entry["plain"]


def _first_of_list(lines: list[tuple[int, str]], is_marked: IsMarked, is_source: Callable[[str], bool]) -> int:
    """The line where the list at the end begins, with its heading; the number of lines, where there is none."""
    entries = {number: entry for number, (_, line) in enumerate(lines) if (entry := _ENTRY.fullmatch(line))}
    if entries and not entries[max(entries)]["plain"]:  # a numbered list before them is the answer's
        entries = {number: entry for number, entry in entries.items() if not entry["plain"]}
    number = len(lines)
    while number and (number - 1 in entries or not lines[number - 1][1].strip() or lines[number - 1][1][0].isspace()):
        number -= 1
    listed = [entry for place, entry in entries.items() if place >= number]
    if not listed:
        return len(lines)
    has_heading = number > 0 and _HEADING.fullmatch(lines[number - 1][1]) is not None
    first = number - 1 if has_heading else min(place for place in entries if place >= number)
    has_labels = not any(entry["plain"] for entry in listed)  # others may be any list
    is_marked_before = any(is_marked(_label(entry), lines[first][0]) for entry in listed)
    is_told = has_heading and (
        _OF_REFERENCES.match(lines[first][1]) is not None or any(is_source(entry["text"]) for entry in listed)
    )
    return first if has_heading + has_labels + is_marked_before + is_told > 1 else len(lines)


def _label(entry: re.Match[str]) -> str:
    return entry["label"] or entry["wide"] or entry["plain"] or unicodedata.normalize("NFKC", entry["above"])
