"""What of an answer stands word for word in texts: its maximal spans, how rare they are and how often chance gives them."""

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.files import whole, write
from llmattr.errors import LlmattrError
from llmattr.retrieval.suffixes import Suffixes, suffix_order
from llmattr.retrieval.wording import forms, words

QUOTES = "quotes"  # the detail of an attribution that holds them
CHANCE = 0.05  # spans that chance may give to an answer, as rare as one that is told
END = 0  # the number of a text's end, which no answer has


@dataclass(frozen=True, eq=False)
class Quote:
    """A stretch of an answer (characters `start` to `end`) whose `words` stand in some texts, one after the other.

    `rarity`: `-sum log p(word)` in nats, p a word's share of all words in the texts (OLMoTrace, arXiv 2504.07096).
    `by_chance`: how many spans as rare an answer of as many words would have by chance, were words independent. `rows`: the
    numbers of the texts [k] in which it goes no further, `count` times. `outermost`: none of the answer's others has it within.
    """

    start: int
    end: int
    words: int
    rarity: float
    by_chance: float
    count: int
    rows: Int[np.ndarray, " k"]
    outermost: bool


@dataclass(frozen=True, eq=False)
class Quoted:
    """What of an answer of so many `words` stands in texts, the rarest first; `by_chance`: words of the longest by chance."""

    words: int
    by_chance: float
    quotes: list[Quote]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts as numbers of words, an END behind each, sorted by what follows.

    `known`: each word's number; `counts` [V + 1] how often it stands there; `starts` [texts] where a text's words begin.
    """

    known: dict[str, int]
    counts: Int[np.ndarray, " v"]
    starts: Int[np.ndarray, " texts"]
    suffixes: Suffixes

    @staticmethod
    def of(texts: Iterable[str]) -> "Corpus":
        """Read the texts, and sort: some 10 s of a processor and 1 GB of memory for 10 million words."""
        known: dict[str, int] = {}
        numbers, starts = array("i"), array("q")
        for text in texts:
            starts.append(len(numbers))
            numbers.extend(known.setdefault(form, len(known) + 1) for form in forms(text))
            numbers.append(END)
        there = np.array(numbers, dtype=np.int32)
        counts = np.bincount(there, minlength=len(known) + 1)
        kept = np.int32 if len(there) < 2**31 else np.int64
        return Corpus(known, counts, np.array(starts, dtype=np.int64), Suffixes(there, suffix_order(there).astype(kept)))

    def save(self, folder: Path) -> None:
        """Write it where `open` finds it, each file whole or not at all; raises `LlmattrError` where that cannot be done."""
        arrays = {"counts": self.counts, "starts": self.starts, "words": self.suffixes.words, "order": self.suffixes.order}
        write(folder / "kept.vocabulary.json", json.dumps(list(self.known), ensure_ascii=False))
        for name, numbers in arrays.items():
            path = folder / f"kept.{name}.npy"
            try:
                with whole(path) as part, part.open("wb") as file:
                    np.save(file, numbers)
            except OSError as error:
                raise LlmattrError(f"cannot write {str(path)!r}: {error.strerror}") from error

    @staticmethod
    def open(folder: Path) -> "Corpus":
        """What `save` wrote: vocabulary and counts are read, the rest stays on disk."""
        known = {word: number for number, word in enumerate(json.loads((folder / "kept.vocabulary.json").read_bytes()), 1)}
        names = ("counts", "starts", "words", "order")
        counts, *rest = (np.asarray(np.load(folder / f"kept.{name}.npy", mmap_mode="r")) for name in names)
        return Corpus(known, counts, rest[0], Suffixes(*rest[1:]))

    @property
    def size(self) -> int:
        """Words in all texts, their ends not counted."""
        return len(self.suffixes.words) - len(self.starts)

    @cached_property
    def surprise(self) -> Float[np.ndarray, " v"]:
        """`-log p(word)` of each word, in nats; 0 for the END and for a word that no text has, which comes last."""
        return np.concatenate([[0.0], np.log(max(self.size, 1)) - np.log(self.counts[1:]), [0.0]])

    def chance_length(self, length: int) -> float:
        """Words of the longest span that an answer of so many has by chance: `log(m N) / -log sum p^2`, were words independent.

        An answer of m words, texts of N (Arratia and Waterman 1985, Adv. Math. 55, 13). Language is not independent: its
        phrases reach further, and a span's `count` tells them from what was copied.
        """
        if self.size * length <= 1 or len(self.known) == 1:
            return float(min(length, self.size))
        alike = float(np.square(self.counts[1:] / self.size).sum())
        return float(np.log(self.size * length) / -np.log(alike))

    def quoted(self, answer: str, chance: float = CHANCE) -> Quoted:
        """The spans of an answer that stand in a text, where they go no further, but for what chance gives; the rarest first.

        `by_chance`, m words and N in the texts: `m N exp(-rarity)`, as many as are expected of spans at least so rare (as the
        E-value of BLAST, Karlin and Altschul 1990); what has more than `chance` is left out.
        """
        said, missing = words(answer), len(self.known) + 1
        numbers = np.array([self.known.get(word.form, missing) for word in said], dtype=np.int32)
        sums = np.append(0.0, np.cumsum(self.surprise[numbers]))
        least = np.log(max(len(said) * self.size, 1) / chance) if chance else np.inf
        found, reached = [], 0
        for (first, last), places in self._matches(numbers, sums, float(least)):
            rarity = float(sums[last] - sums[first])
            rows = np.unique(np.searchsorted(self.starts, places, side="right") - 1)
            told = said[first].start, said[last - 1].end, last - first, rarity, float(len(said) * self.size * np.exp(-rarity))
            found.append(Quote(*told, len(places), rows, outermost=last > reached))
            reached = max(reached, last)
        quotes = sorted(found, key=lambda quote: (-quote.rarity, quote.start))
        return Quoted(len(said), self.chance_length(len(said)), quotes)

    def _matches(
        self, numbers: Int[np.ndarray, " m"], sums: Float[np.ndarray, " m+1"], least: float
    ) -> Iterator[tuple[tuple[int, int], Int[np.ndarray, " c"]]]:
        """First and last + 1 word of each span that some text goes no further with, to neither side, and its places there.

        From the first on, of those that begin together the longest first. `sums` [m + 1]: the rarity of all words before each;
        only spans of `least` rarity.
        """
        for first in range(len(numbers)):
            last = max(first + 1, int(np.searchsorted(sums, sums[first] + least)))  # the shortest that is rare enough
            if last > len(numbers):
                return
            places = self.suffixes.places(numbers[first:last])
            if first:
                places = places[(places == 0) | (self.suffixes.words[places - 1] != numbers[first - 1])]
            reach = self.suffixes.reach(numbers[first:], places, last - first)
            for length in np.unique(reach)[::-1].tolist():
                yield (first, first + length), places[reach == length]


def places(text: str, quote: str) -> list[tuple[int, int]]:
    """Where the words of a quote stand in a text, one after the other: first and last + 1 character of each.

    >>> places("So I said: the  TOWER! The tower?", "The tower.")
    [(11, 21), (23, 32)]
    """
    wanted, there = list(forms(quote)), words(text)
    spelled = [word.form for word in there]
    k = len(wanted)
    found = [i for i in range(len(there) - k + 1) if spelled[i] == wanted[0] and spelled[i : i + k] == wanted] if k else []
    return [(there[i].start, there[i + k - 1].end) for i in found]
