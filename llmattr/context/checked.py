"""What is found of an answer that carries citations already: its markers and sentences, what is wrong, how it is saved."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from llmattr.context.made_up import UNSUPPORTED, Unsupported
from llmattr.context.repair import Repaired, repaired
from llmattr.context.standing import CheckedMarker, Sentence, Support, unmarked
from llmattr.core.faces import face
from llmattr.core.files import write
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_choice
from llmattr.text.shapes.marked import Marked

Failure = Literal["wrong", "unsupported", "missing"]
FAILURES: dict[Failure, str] = {
    "wrong": "a marker that does not support its sentence, contradicts it or names no source",
    "unsupported": "a sentence that nothing supports",
    "missing": "a supported sentence without a marker that holds, of its own or further on in its paragraph",
}


@dataclass(frozen=True, eq=False)
class Check:
    """An answer's citations, checked: `sentences` in order, `markers` in order, and how (`run`)."""

    marked: Marked
    sentences: tuple[Sentence, ...]
    markers: tuple[CheckedMarker, ...]
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The answer without its marks."""
        return self.marked.answer

    @property
    def documents(self) -> tuple[Document, ...]:
        """What the answer could cite."""
        return self.marked.documents

    @cached_property
    def wrong(self) -> list[CheckedMarker]:
        """The markers that do not support their sentence, contradict it, or name no source."""
        return [marker for marker in self.markers if not marker.holds]

    @cached_property
    def unsupported(self) -> list[int]:
        """The sentences that nothing supports; what says that it does not know is none."""
        return [t for t, one in enumerate(self.sentences) if one.verdict not in ("context", "refusal")]

    @cached_property
    def missing(self) -> list[int]:
        """The supported sentences without a marker that holds, of their own or further on in their paragraph."""
        return unmarked(self.answer, self.sentences, self.markers)

    def fails(self, on: Collection[str] = tuple(FAILURES)) -> list[Failure]:
        """Which of these it has: "wrong", "unsupported", "missing"; raises `LlmattrError` for another word."""
        refuse_words(on)
        found: dict[Failure, Sequence[object]] = {
            "wrong": self.wrong,
            "unsupported": self.unsupported,
            "missing": self.missing,
        }
        return [name for name, some in found.items() if name in on and some]

    def support(self, marker: CheckedMarker) -> Support | None:
        """What the marker's document does for its sentence; None where there is no such document or sentence."""
        if marker.sentence is None or marker.marker.document is None:
            return None
        return self.sentences[marker.sentence].supports[marker.marker.document]

    def said(self, t: int) -> str:
        """The t-th sentence, as the answer has it."""
        return self.answer[self.sentences[t].start : self.sentences[t].end]

    def to_text(self) -> str:
        """As the terminal shows it."""
        return face("check").text(self)

    def to_dict(self) -> dict[str, Any]:
        """The whole of it in plain lists."""
        return face("check").to_dict(self)

    def html(self, unsupported: str = "keep") -> str:
        """A page to read in a browser, without scripts; what it shows repaired is `repaired(unsupported)`."""
        return face("check_page").page(self, unsupported)

    def _repr_html_(self) -> str:
        return face("check_page").frame(self)

    def junit(self) -> str:
        """JUnit XML: a test case for each marker and each sentence, as systems of continuous integration show them."""
        return face("check").junit(self)

    def repaired(self, unsupported: str = "keep") -> Repaired:
        """The answer with wrong markers dropped and missing ones added, and a list of what was changed.

        `unsupported`: whether sentences that no document supports are kept, marked ("mark") or left out ("drop").
        """
        check_choice("unsupported", unsupported, tuple(UNSUPPORTED))
        return repaired(self.marked, self.sentences, self.markers, cast(Unsupported, unsupported))

    def save(self, path: str | Path) -> Path:
        """Write it as .json, .html or .xml (JUnit), whole or not at all; raises `LlmattrError` for another ending."""
        path = Path(path)
        forms = {".json": lambda: face("check").json_text(self), ".html": self.html, ".xml": self.junit}
        if path.suffix not in forms:
            raise LlmattrError(f"a check is saved as {', '.join(forms)}, not as {path.name!r}")
        return write(path, forms[path.suffix]())

    def __repr__(self) -> str:
        counts = f"{len(self.markers)} markers ({len(self.wrong)} wrong)"
        lacking = f"{len(self.unsupported)} unsupported, {len(self.missing)} without a marker"
        sentences = f"{len(self.sentences)} sentences ({lacking})"
        return f"Check({counts}, {sentences}); .to_text() shows it, .repaired() mends the answer"


def refuse_words(words: Collection[str]) -> None:
    """Raise `LlmattrError` for a word that is none of `FAILURES`."""
    for word in words:
        check_choice("what a check may fail on", word, tuple(FAILURES))
