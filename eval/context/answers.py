"""Full-sentence answers to public questions, of several kinds: what citations and verdicts are judged on.

`answers.jsonl` holds our own sentences and names questions by set and id; the questions come with the public data. They were
drawn by seed 18 among those with 4 to 24 sentences, gold sentences, and an answer that is not yes or no; 10 were passed over
because gold or answer is plainly wrong (5 of qed, 4 of hotpotqa, 1 of 2wiki), which is all the picking there was.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from eval.context.data import Paper, Question, questions
from llmattr.core.files import digest
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text import split

FILE = Path(__file__).with_suffix(".jsonl")
SEED = 18
MOST = 24  # sentences in a context
Kind = Literal["right", "paraphrase", "reworded", "false", "swapped", "refusal"]
KINDS: tuple[Kind, ...] = ("right", "paraphrase", "reworded", "false", "swapped", "refusal")


@dataclass(frozen=True)
class Answers:
    """What an assistant could say to a question of the set `of`.

    right: the data's answer, as the context writes it. paraphrase: the same in other words throughout, the answer in another
    form too, which takes knowledge to see ("the eighth of July of that year", Sb for antimony): harder than what assistants
    say. reworded: what a good assistant says from the page: another order, other verbs and common words, names as the page has
    them or shortened, dates and numbers at times in another form. false: with a name, number or date that stands nowhere in the
    context. swapped: with one that does, None where it has no other of that kind. refusal: that the documents do not say it.
    Where two things are compared, false dates one wrongly, and swapped takes the one for the other. All but right are one
    sentence.

    `right_gold`: where right has two sentences, the numbers of the question's sentences that support each; otherwise the
    question's gold does. `supported_without_gold`: the rest of the context says it too, at least in part.
    """

    of: str
    id: str
    dressed: bool
    right: str
    paraphrase: str
    reworded: str
    false: str
    swapped: str | None
    refusal: str
    right_gold: tuple[tuple[int, ...], ...] = ()
    supported_without_gold: bool = False

    @property
    def said(self) -> dict[Kind, str]:
        """Each kind of answer that there is, in the order of `KINDS`."""
        texts = (self.right, self.paraphrase, self.reworded, self.false, self.swapped, self.refusal)
        return {kind: text for kind, text in zip(KINDS, texts, strict=True) if text is not None}


@dataclass(frozen=True)
class Page(Paper):
    """A paper on a Markdown page: its `sentences` are the sources into which `llmattr` cuts the page.

    `carries`: which of the question's own sentences each source holds; those that hold none are furniture.
    """

    text: str
    carries: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Dressed(Question):
    """A question whose papers are Markdown pages, cut by `llmattr`. `plain`: the question as the data has it."""

    papers: tuple[Page, ...]
    plain: Question = field(kw_only=True)

    @property
    def documents(self) -> list[Document]:
        """The pages as `llmattr` takes them: that they are Markdown, it sees."""
        return [Document(page.text, f"{i} {page.title or ''}".strip(), page.title) for i, page in enumerate(self.papers)]

    @property
    def splitter(self) -> str:
        """The library's own."""
        return "sentences"

    @property
    def furniture(self) -> Bool[np.ndarray, " n"]:
        """Which sources are headings, lists and boilerplate: none of them should be cited."""
        return np.array([not held for page in self.papers for held in page.carries], dtype=bool)


def read(path: Path = FILE) -> list[Answers]:
    """The answers of a JSON lines file."""
    return [_answers(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _answers(row: dict[str, Any]) -> Answers:
    gold = tuple(tuple(numbers) for numbers in row.pop("right_gold", ()))
    return Answers(of=row.pop("set"), right_gold=gold, **row)


def answered(answers: Sequence[Answers]) -> list[tuple[Answers, Question]]:
    """Each with its question, shortened to `MOST` sentences and dressed where it says so.

    Raises `LlmattrError` where the data is not here, or has no such question.
    """
    sets = {of: {one.id: one for one in questions(of)} for of in dict.fromkeys(one.of for one in answers)}
    if missing := [f"{one.of} {one.id}" for one in answers if one.id not in sets[one.of]]:
        raise LlmattrError(f"there is no question {missing[0]}")
    found = [(one, sets[one.of][one.id].shortened(MOST)) for one in answers]
    return [(one, dressed(question) if one.dressed else question) for one, question in found]


def judging(answers: Sequence[Answers], seed: int = SEED) -> list[bool]:
    """Which judge; on the others choices are made.

    Of each two of a kind (a set, dressed or not) that follow each other the seed takes one: half of every kind, and those that
    are added behind change nothing.
    """
    seen: dict[tuple[str, bool], int] = {}
    judge = []
    for one in answers:
        number = seen.get((one.of, one.dressed), 0)
        seen[one.of, one.dressed] = number + 1
        coin = int(digest([seed, one.of, one.dressed, number // 2]), 16) % 2
        judge.append(number % 2 == coin)
    return judge


def sources_of(question: Question, sentences: Sequence[int]) -> Bool[np.ndarray, " n"]:
    """Which sources hold these sentences, numbered as in the data's question (after shortening, before dressing)."""
    if isinstance(question, Dressed):
        return np.array([not set(held).isdisjoint(sentences) for page in question.papers for held in page.carries], dtype=bool)
    return np.isin(np.arange(question.size), sentences)


def right_gold(answers: Answers, question: Question) -> Bool[np.ndarray, "s n"]:
    """The sources that support each sentence of the right answer."""
    return np.array([sources_of(question, numbers) for numbers in answers.right_gold] or [question.gold])


def without_gold(question: Question) -> Question:
    """The question with only the sentences that are not gold: a refusal is right here.

    The other answers' first sentences have no support, but for those that say `supported_without_gold`; a second sentence keeps
    its own where that is not gold (`Answers.right_gold`).
    """
    if isinstance(question, Dressed):
        return dressed(without_gold(question.plain))
    rest = [(paper, [s for s, gold in zip(paper.sentences, paper.gold, strict=True) if not gold]) for paper in question.papers]
    papers = [Paper(paper.title, tuple(kept), (False,) * len(kept)) for paper, kept in rest if kept]
    return dataclasses.replace(question, papers=tuple(papers))


# --- dressing ---

_NAVIGATION = (
    "- [Home](/)\n- [Topics](/topics)\n- [Help](/help)",
    "* Main page\n* Community portal\n* Log in",
    "[Start](index.md) | [All articles](all.md) | [Search](search.md)",
)
_BOILERPLATE = (
    "Last edited on Tuesday by a volunteer.",
    "*This page is maintained by the editors.*",
    "Reading time: a few minutes.",
    "From the free reference library.",
    "Page status: checked.",
)
_CONTENTS = (
    "## Contents\n\n1. [{heading}](#text)\n2. [See also](#see-also)\n3. [References](#references)",
    "**On this page**\n\n- {heading}\n- Related pages",
    "- [{heading}](#text)\n- [Notes](#notes)\n- [External links](#links)",
)
_HEADINGS = ("Overview", "Summary", "In brief", "About this topic", "Article")
_FOOTERS = (
    "---\n\nText is available under a free licence; additional terms may apply.\n\n[Privacy](/privacy) | [Contact](/contact)",
    "## See also\n\n- [List of related pages](/related)\n\nAll rights reserved.",
    "***\n\nWas this page helpful?\n\n[Back to top](#top)",
)
_TOKENS = {"`` ": '"', " ''": '"', "( ": "(", " )": ")", " ,": ",", " .": ".", " ;": ";", " :": ":", " 's": "'s", " n't": "n't"}


def dressed(question: Question) -> Dressed:
    """The papers as Markdown pages, with furniture that the question's id chooses, cut by `llmattr`.

    A source is gold when it holds a gold sentence: when the characters they share are half of either, or more.
    """
    draw = np.random.default_rng(int(digest(question.id)[:8], 16))
    starts = np.cumsum([0, *(len(paper.sentences) for paper in question.papers)]).tolist()
    pages = tuple(_page(paper, start, draw) for paper, start in zip(question.papers, starts, strict=False))
    return Dressed(question.id, question.question, pages, question.answer, plain=question)


def _page(paper: Paper, start: int, draw: np.random.Generator) -> Page:
    """The page of a paper whose first sentence has the number `start` in the question."""
    before, after = _furniture(paper.title or "Untitled", draw)
    written = [_written(sentence) for sentence in paper.sentences]
    body = " ".join(written)
    text = f"{before}\n\n{body}\n\n{after}\n"
    sources = split.cut(text).spans
    own = split.spans(body, lambda _: written) + len(before) + 2
    held = _held(sources, own)
    return Page(
        title=paper.title,
        sentences=tuple(text[a:b] for a, b in sources.tolist()),
        gold=tuple((held & np.array(paper.gold)).any(axis=1).tolist()),
        text=text,
        carries=tuple(tuple((start + np.flatnonzero(row)).tolist()) for row in held),
    )


def _written(sentence: str) -> str:
    """A sentence without the spaces and quotation marks of tokenised text: in Markdown, two of ` begin code."""
    for token, usual in _TOKENS.items():
        sentence = sentence.replace(token, usual)
    return sentence


def _furniture(title: str, draw: np.random.Generator) -> tuple[str, str]:
    """What stands before the text of a page and behind it."""

    def one(of: Sequence[str]) -> str:
        return of[int(draw.integers(len(of)))]

    heading = one(_HEADINGS)
    lines = draw.permutation(_BOILERPLATE)[: draw.integers(1, 3)].tolist()
    top = [f"# {title}", one(_NAVIGATION)]
    top = top[::-1] if draw.integers(2) else top
    return "\n\n".join([*top, *lines, one(_CONTENTS).format(heading=heading), f"## {heading}"]), one(_FOOTERS)


def _held(sources: Int[np.ndarray, "n 2"], sentences: Int[np.ndarray, "m 2"]) -> Bool[np.ndarray, "n m"]:
    """Which source holds which sentence: the characters they share are half of the shorter one, or more."""
    first = np.maximum(sources[:, None, 0], sentences[None, :, 0])
    last = np.minimum(sources[:, None, 1], sentences[None, :, 1])
    lengths = np.minimum(np.diff(sources), np.diff(sentences).T)
    return 2 * (last - first) >= lengths
