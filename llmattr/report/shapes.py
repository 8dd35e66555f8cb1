"""An attribution in the shapes in which vendors give citations."""

from typing import Any

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, check_choice
from llmattr.report.markdown import markdown
from llmattr.report.reference import reference_to, titled
from llmattr.text.shapes import SHAPES, TEXT
from llmattr.text.shapes.cited import Cited, Quote, Sentence


def citations(attribution: Attribution, shape: str) -> Any:
    """What the answer cites, as a vendor writes it: a dict, or a text for "markdown" (see `Attribution.citations`)."""
    check_choice("shape", shape, (*SHAPES, TEXT))
    cited = _cited(attribution)
    return markdown(attribution) if shape == TEXT else SHAPES[shape].write(cited)


def _cited(a: Attribution) -> Cited:
    """What is cited, sentence by sentence, in the order of the answer."""
    spans = a.targets.spans
    if a.traced:
        raise LlmattrError("these sources are training rows: a vendor's citations are of a context; save it as .json or .html")
    if a.response is None or spans is None:
        raise LlmattrError("these targets are no parts of an answer: there is nothing that citations could stand behind")
    if not a.can_cite:
        raise LlmattrError(f"nothing is cited by the scores of {a.method['name']}: use another method, such as screening")
    sentences, told = [], []
    for row in sorted(sentence_rows(a), key=lambda row: spans[row].tolist()):
        scores = [score for score in a[row].top(None) if score.cited]
        text = a.response[slice(*spans[row])]
        start = int(spans[row, 0]) + len(text) - len(text.lstrip())
        sentences.append(Sentence(start, start + len(text.strip()), tuple(_quote(a, score.source) for score in scores)))
        told.append(_told(a, row, sentences[-1], scores))
    return Cited(a.response, tuple(sentences), {"unit": a.unit, "method": a.method["name"], "sentences": told})


def _quote(a: Attribution, source: int) -> Quote:
    sources, text = a.sources, a.sources.texts[source]
    number = source if sources.groups is None else int(sources.groups[source])
    document = sources.document(source) or Document(text, sources.ids[source])
    start, end = (0, len(document.text)) if sources.spans is None else map(int, sources.spans[source])
    known = reference_to(sources, source)
    name = document.title or (known.name if known else document.id)
    title = name if document.title or name != document.id else None
    url = known.url if known else None
    return Quote(number, document.id, name, title, url, document.text[start:end], start, end, _pages(document, start, end))


def _pages(document: Document, start: int, end: int) -> tuple[int, int] | None:
    """The pages of these characters, where they have numbers."""
    ends = [titled(Document("", document.id, metadata=document.at(place))) for place in (start, max(start, end - 1))]
    pages = [int(one.page) for one in ends if one is not None and one.page is not None and one.page.isdecimal()]
    return (pages[0], max(pages) + 1) if len(pages) == 2 and pages[0] > 0 else None


def _told(a: Attribution, row: int, sentence: Sentence, scores: list[Score]) -> dict[str, Any]:
    """What no vendor has a field for: the verdict, the support, and every citation's score."""
    evidence = a.evidence.targets[row] if a.evidence else None
    verdict, support = (evidence.verdict, float(evidence.support)) if evidence else (None, None)
    citations = [
        {"id": score.id, "document": one.id, "start": one.start, "end": one.end, "score": score.score, "stderr": score.stderr}
        for one, score in zip(sentence.quotes, scores, strict=True)
    ]
    return {"start": sentence.start, "end": sentence.end, "verdict": verdict, "support": support, "citations": citations}
