"""How the lines of a paragraph are set: which of them were wrapped, so that one reads on in the next."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from llmattr.text.split.abbreviations import is_before_a_name
from llmattr.text.split.blocks import SENTENCE_END, Line

_GREETING = regex.compile(
    r"(?:dear|hi|hello|hallo|lieber?|guten \w+|sehr geehrte[rs]?|bonjour|chère?|hola|estimad[oa]s?)\b.{0,40},$", regex.I
)
_HYPHEN = regex.compile(r"\p{L}[-\u00ad\u2010]$")
_OPEN = regex.compile(  # a word that no line of a list ends with
    r"\b(?:the|a|an|of|to|in|and|or|is|are|was|were|be|by|for|from|with|that|as|at|its|their|about|into|than|over|under|between|after|before|through|during|which|who|when|where|while|because|but|if|der|die|das|den|dem|ein|eine|und|von|zu|mit|ist"
    r"|le|la|les|de|du|des|un|une|et|à|est|el|los|las|del|y|en|con|por|que|по|на|от|для|и|в|с|του|της|το|και|να)$"
)
_CJK_END = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}、，；：]$")
_NARROW, WIDE = 20, 40  # columns: a line shorter than the first is no wrapped one, one as long as the second may always be
_FULL = 0.85  # of the widest line: one that is longer is full, whatever comes behind


def is_open(line: str, after: str) -> bool:
    """Whether a sentence goes on in what comes behind a line: in a small letter, or it breaks off in a word or behind one."""
    return not SENTENCE_END.search(line) and (after[:1].islower() or bool(_HYPHEN.search(line) or _OPEN.search(line)))


@dataclass(frozen=True)
class Shape:
    """How the lines of a paragraph are set: how wide, whether as running text, or as a list."""

    width: int
    flows: bool
    lists: bool

    @staticmethod
    def of(texts: Sequence[str]) -> "Shape":
        """Of the lines of a paragraph, one or more."""
        small = [text[:1].islower() for text in texts]
        words = all(small) and not any(map(SENTENCE_END.search, texts))  # a list of words in lower case
        if len(texts) > 1 and all(text.isascii() and " " not in text and not text.endswith("-") for text in texts):
            return Shape(0, False, True)  # of paths, addresses, names
        width = max(map(len, texts))
        full = all(_is_full(line, after, width) and len(line) >= WIDE for line, after in itertools.pairwise(texts))
        ends = [bool(SENTENCE_END.search(text)) for text in texts]
        prose = full and len(texts) > 1 and ends[-1] and not all(ends)  # the lines of a list end alike
        flows = (any(small[1:]) and not words) or any(map(_HYPHEN.search, texts[:-1])) or prose
        capitals = any(text[:1].isupper() for text in texts) and not "".join(texts).isupper()
        return Shape(width, flows, capitals and len(texts) > 2 and not flows)

    def wraps(self, line: str, after: str) -> bool:
        """Whether the sentence may go on in the line after: it is set in lower case, or its first word had no room here."""
        if _GREETING.match(line):
            return False
        if self.flows and (after[:1].islower() or _HYPHEN.search(line)):
            return True
        if _OPEN.search(line) or (line.endswith(".") and is_before_a_name(line)):
            return True
        if self.lists:
            return False
        if _CJK_END.search(line):
            return len(line) >= max(_NARROW * 3 // 4, self.width - 2)
        full = _is_full(line, after, self.width)
        return full and len(line) >= (_NARROW if self.flows else WIDE) and (self.flows or not SENTENCE_END.search(line))

    def lists_in(self, run: Sequence[Line], begin: int, i: int) -> bool:
        """Whether a line is set in below one that had room for its first word, or the first that is not behind such lines."""
        line, after = run[i - 1], run[i]
        full = _is_full(line.said, after.said, self.width)
        deeper = after.indent > line.indent and not after.said[:1].islower() and not (full and len(line.said) >= WIDE)
        return deeper or (begin > 0 and after.indent < run[begin].indent and not full)


def is_list(texts: Sequence[str]) -> bool:
    """Whether lines, four or more, list something even where a break of a line is a space: most had room for more words."""
    shape = Shape.of(texts)
    full = sum(_is_full(line, after, shape.width) for line, after in itertools.pairwise(texts))
    return shape.lists and len(texts) > 3 and 2 * full < len(texts)


def _is_full(line: str, after: str, width: int) -> bool:
    """Whether the first word of the line after had no room in a line."""
    return len(line) + 1 + len(after.split(maxsplit=1)[0]) > width or len(line) > _FULL * width
