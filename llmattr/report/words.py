"""The words that a training row shares with a query, marked, and the part of a long row that shows most of them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import regex

# Grammar, not content: words so frequent in English that sharing them says nothing. `s` and `t` are what is left of 's and n't.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the and or but if so than then of in on at to for from by with as into about is are was were be been being am
        has have had do does did it its he him his she her they them their we our you your i me my this that these those there
        what which who when where how not s t""",
    )
)
MOST, ENOUGH = 0.75, 8  # words in more than this share of the rows are left out too, when there are enough rows to tell
LONG, LINES, EXCERPT = 480, 10, 360  # longer texts are shown by an excerpt of this many characters
WHOLE = 10_000  # characters of a text that a page carries, at most

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー"  # written without spaces: every pair of neighbours counts as a word
_WORD = regex.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|[\w--[{_UNSPACED}]]+", regex.V1)

Span = tuple[int, int]
Mark = tuple[int, int, str, int]  # where a shared word starts and ends, the word, and 2 when it is strong, otherwise 1
Piece = tuple[str, str]  # a stretch of a text, and its class: "strong" or "weak" for shared words, otherwise ""


@dataclass(frozen=True)
class Passage:
    """A text as it is shown: in pieces and, when these are not all of it, the whole, of `length` characters."""

    shown: list[Piece]
    whole: list[Piece]
    length: int

    @property
    def carried(self) -> int:
        """Characters of it that are on the page."""
        return sum(len(text) for text, _ in self.whole or self.shown)


def words(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each word starts and ends, and the word in the form that is compared: without case, composed."""
    for found in _WORD.finditer(text):
        start, end = found.span()
        if found["unspaced"] is None or end - start == 1:
            yield start, end, _same(found[0])
        else:
            yield from ((i, i + 2, _same(text[i : i + 2])) for i in range(start, end - 1))


def _same(word: str) -> str:
    return word.lower() if word.isascii() else unicodedata.normalize("NFKC", word.casefold())


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """The function words, and the words in most of these texts: of any language, and templates such as "Question:"."""
    texts = list(texts)
    found = Counter(word for text in texts for word in {word for _, _, word in words(text[:WHOLE])})
    frequent = {word for word, count in found.items() if count > MOST * len(texts)}
    return FUNCTION_WORDS | (frequent if len(texts) >= ENOUGH else set())


def strengths(text: str, said: Span, common: frozenset[str]) -> dict[str, str]:
    """What to mark in rows: a word of this text is strong when it is in the part that was said, otherwise weak."""
    found = [(word, start < said[1] and end > said[0]) for start, end, word in words(text) if word not in common]
    return {word: "weak" for word, _ in found} | {word: "strong" for word, inside in found if inside}


def shared(text: str, wanted: Mapping[str, str]) -> list[Mark]:
    """The words of a row's text that are wanted."""
    return [(start, end, word, _worth(wanted[word])) for start, end, word in words(text[:WHOLE]) if word in wanted]


def passage(text: str, found: list[Mark]) -> Passage:
    """A row's text with what was found in it marked; a long one by the excerpt in which there is most of it."""
    if len(text) <= LONG and text.count("\n") < LINES:
        return Passage(_cut(text, found), [], len(text))
    whole = text[:WHOLE]
    start, end = _excerpt(whole, found)
    inside = [(max(a, start) - start, min(b, end) - start, word, worth) for a, b, word, worth in found if a < end and b > start]
    return Passage(_shown(_cut(whole[start:end], inside), start > 0, end < len(whole)), _cut(whole, found), len(text))


def _shown(pieces: list[Piece], before: bool, after: bool) -> list[Piece]:
    """An excerpt's pieces without blank lines, which would only lengthen the page, and marked where text is left out."""
    tidy = [(re.sub(r"\n\s*\n", "\n", text), kind) for text, kind in pieces]
    return [*([("… ", "")] if before else []), *tidy, *([(" …", "")] if after else [])]


def _worth(strength: str) -> int:
    return 2 if strength == "strong" else 1


def _cut(text: str, found: list[Mark]) -> list[Piece]:
    """The text cut at its marks, losing nothing; where pairs overlap the stronger wins."""
    paint = bytearray(len(text))
    for start, end, _, worth in found:
        paint[start:end] = bytes(max(worth, before) for before in paint[start:end])
    runs = [run.span() for run in re.finditer(rb"\x00+|\x01+|\x02+", bytes(paint))]
    return [(text[start:end], ("", "weak", "strong")[paint[start]]) for start, end in runs]


def _excerpt(text: str, found: list[Mark]) -> Span:
    """The stretch with most of the different shared words, strong ones counted twice, cut between words."""
    first, last = _richest(found)
    start = max(0, min(first - (EXCERPT - (last - first)) // 2, len(text) - EXCERPT))
    end = min(len(text), start + EXCERPT)
    if 0 < start < first:  # not amid a word
        start = min(start + len(re.match(r"\S{0,20}", text[start:])[0]), first)  # pyright: ignore[reportOptionalSubscript]
    if last < end < len(text):
        end = max(end - len(re.search(r"\S{0,20}\Z", text[:end])[0]), last)  # pyright: ignore[reportOptionalSubscript]
    inner = text[start:end].strip()
    start = text.index(inner, start)
    return start, start + len(inner)


def _richest(found: list[Mark]) -> Span:
    """From where to where the best window of these words reaches; the text's start when there are none."""
    inside: Counter[str] = Counter()
    reach, best, total, left = (0, 0), 0, 0, 0
    for start, end, word, worth in found:
        total += 0 if inside[word] else worth
        inside[word] += 1
        while end - found[left][0] > EXCERPT and found[left][0] < start:
            _, _, gone, lost = found[left]
            inside[gone] -= 1
            total -= 0 if inside[gone] else lost
            left += 1
        if total > best:
            reach, best = (found[left][0], end), total
    return reach
