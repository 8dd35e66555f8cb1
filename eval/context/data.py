"""Questions with documents cut into sentences, and the sentences that people marked as supporting the answer.

Files of one's own: `eval.context.own`.
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from eval import ROOT
from eval.harness import data
from llmattr.core.sources import Document
from llmattr.text import split

CHOSEN_ON = 2  # questions of each set, as eval/choices.json says
CANAL = ROOT / "recipes" / "documents" / "panama_canal.md"  # the project's own, which needs no data
CANAL_QUESTIONS = (  # question, answer, and how its supporting sentence begins
    ("How long is the Panama Canal?", "82 kilometres", "It is about 82"),
    ("When did the first ship officially pass through the canal?", "15 August 1914", "The steamer Ancon"),
    ("Who runs the Panama Canal today?", "The Panama Canal Authority", "The Panama Canal Authority"),
)


@dataclass(frozen=True)
class Paper:
    """A document: its title, its sentences, and which of them support the answer."""

    title: str | None
    sentences: tuple[str, ...]
    gold: tuple[bool, ...]


@dataclass(frozen=True)
class Question:
    """A question about papers; `answer` and the gold sentences are what people said, where they did."""

    id: str
    question: str
    papers: tuple[Paper, ...]
    answer: str | None = None

    @property
    def size(self) -> int:
        """The number of sentences."""
        return sum(len(paper.sentences) for paper in self.papers)

    @property
    def gold(self) -> Bool[np.ndarray, " n"]:
        """Which sentences support the answer; none of them where nobody said."""
        return np.array([gold for paper in self.papers for gold in paper.gold], dtype=bool)

    @property
    def documents(self) -> list[Document]:
        """The papers as `llmattr` takes them."""
        return [Document(" ".join(p.sentences), f"{i} {p.title or ''}".strip(), p.title) for i, p in enumerate(self.papers)]

    @property
    def splitter(self) -> str | split.Splitter:
        """The data's own sentences, as a splitter of these documents."""
        parts = {" ".join(paper.sentences): list(paper.sentences) for paper in self.papers}

        def sentences(text: str) -> list[str]:
            return parts[text]

        return sentences

    def shortened(self, most: int) -> "Question":
        """At most so many sentences: papers with gold ones, then others in their order, as long as they fit."""
        order = sorted(range(len(self.papers)), key=lambda i: not any(self.papers[i].gold))
        kept: list[int] = []
        for i in order:
            if not kept or sum(len(self.papers[j].sentences) for j in [*kept, i]) <= most:
                kept.append(i)
        return dataclasses.replace(self, papers=tuple(self.papers[i] for i in sorted(kept)))


def question(
    name: str, text: str, papers: Sequence[tuple[str | None, Sequence[str]]], gold: Any = (), answer: Any = None
) -> Question:
    """A question from (title, sentences) of papers and gold (paper, sentence) numbers; what is blank is left out."""
    marked = {(int(paper), int(sentence)) for paper, sentence in gold}
    made = []
    for i, (title, sentences) in enumerate(papers):
        kept = [(s.strip(), (i, j) in marked) for j, s in enumerate(sentences) if s.strip()]
        made += [Paper(title, *(tuple(column) for column in zip(*kept, strict=True)))] if kept else []
    return Question(name, text, tuple(made), None if answer is None else str(answer))


def _multihop(path: Path) -> Iterator[Question]:
    """HotpotQA and 2WikiMultihopQA: `context` [[title, sentences]], `supporting_facts` [[title, sentence]]."""
    text = path.read_text(encoding="utf-8")
    for row in json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines()):
        if row.get("context"):
            places = {title: i for i, (title, _) in reversed(list(enumerate(row["context"])))}
            gold = [(places[title], sentence) for title, sentence in row["supporting_facts"] if title in places]
            yield question(row["_id"], row["question"], row["context"], gold, row["answer"])


def _qed(path: Path) -> Iterator[Question]:
    """QED: one paragraph of Wikipedia, the sentence that a person chose, and the answer in it."""
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        annotation, starts = row["annotation"], row["sentence_starts"]
        if annotation.get("explanation_type") == "single_sentence":
            ends = [*starts[1:], len(row["paragraph_text"])]
            sentences = [row["paragraph_text"][a:b] for a, b in zip(starts, ends, strict=True)]
            answer = annotation["answer"][0]["paragraph_reference"]["string"] if annotation.get("answer") else None
            gold = [(0, starts.index(annotation["selected_sentence"]["start"]))]
            yield question(str(row["example_id"]), row["question_text"], [(row["title_text"], sentences)], gold, answer)


def _musique(path: Path) -> Iterator[Question]:
    """MuSiQue: 20 paragraphs, cut here; people marked whole paragraphs, so no sentence is gold."""
    for row in json.loads(path.read_text(encoding="utf-8")):
        papers = [(paragraph["title"], split.sentences(paragraph["paragraph_text"])) for paragraph in row["paragraphs"]]
        yield question(row["id"], row["question"], papers, answer=row["answer"])


def _canal(path: Path) -> Iterator[Question]:
    """This repository's own document, with its sections as papers; gold by hand."""
    sections = path.read_text(encoding="utf-8").split("\n## ")
    papers = [(title.strip("# "), split.sentences(text)) for title, _, text in (s.partition("\n") for s in sections)]
    for number, (text, answer, begin) in enumerate(CANAL_QUESTIONS):
        gold = [(i, j) for i, (_, s) in enumerate(papers) for j, part in enumerate(s) if part.strip().startswith(begin)]
        yield question(f"canal-{number}", text, papers, gold, answer)


SETS: dict[str, Callable[[Path], Iterator[Question]]] = {  # how the file of a set is read
    "hotpotqa": _multihop,
    "2wiki": _multihop,
    "qed": _qed,
    "hotpotqa-train": _multihop,
    "musique": _musique,
    "canal": _canal,
}


def questions(name: str) -> Iterator[Question]:
    """All of a set; raises `LlmattrError` where its data is not here, with the command that brings it."""
    return SETS[name](CANAL if name == "canal" else data.part(name))


def fitting(questions: Iterable[Question], least: int, most: int, answered: bool = False) -> list[Question]:
    """Those that have `least` sentences or more once they are shortened to `most`, and all their gold.

    `answered`: only those whose answer the data gives.
    """
    short = ((one, one.shortened(most)) for one in questions if one.answer or not answered)
    return [s for one, s in short if least <= s.size <= most and s.gold.sum() == one.gold.sum()]


def drawn(
    found: Sequence[Question], count: int, seed: int, never: Collection[str] = ()
) -> tuple[list[Question], list[Question]]:
    """The first questions, as choices were made on, and `count` that judge, drawn from the others by the seed.

    `never`: the ids of those that may not judge.
    """
    chosen, others = list(found[:CHOSEN_ON]), list(found[CHOSEN_ON:])
    order = np.random.default_rng(seed).permutation(len(others)).tolist()
    return chosen, [others[i] for i in order if others[i].id not in never][:count]
