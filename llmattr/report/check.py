"""A check of an answer's citations: for the terminal, as JSON, and as JUnit XML."""

import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import Any

import click

from llmattr.context.checked import Check
from llmattr.context.standing import STANDINGS, CheckedMarker, Sentence, Standing, Support, by_sentence
from llmattr.core import plain_json
from llmattr.core.evidence import VERDICTS
from llmattr.report.lines import one_line, plain
from llmattr.text.shapes.naming import title_of

COLOURS: dict[Standing, str] = {
    "needed": "green",
    "carried": "green",
    "silent": "green",
    "wrong": "red",
    "contradicts": "red",
    "nowhere": "red",
}
QUOTED = 160  # characters of a passage that are shown


def text(check: Check) -> str:
    """Each sentence with its markers and what is found of them; what is wrong, in one line at the end."""
    lines: list[str] = []
    markers = by_sentence(check.markers)
    for t in range(len(check.sentences)):
        lines += [click.style(plain(one_line(check.said(t), 500)), bold=True)]
        lines += [f"    {line}" for one in markers.get(t, []) for line in _marker(check, one)]
        lines += [f"    {line}" for line in _sentence(check, t)]
    lines += [line for one in markers.get(None, []) for line in _marker(check, one)]
    return "\n".join([*lines, "", summary(check)]).lstrip("\n")


def summary(check: Check) -> str:
    """How many markers hold, and what is missing, in a line."""
    how = "by words, names and numbers alone" if check.run.get("method") == "words" else f"asking {check.run.get('model')}"
    if not check.sentences:
        return f"The answer claims nothing that could be checked: it only greets, offers or asks ({how})."
    held = len(check.markers) - len(check.wrong)
    parts = [f"{held} of {len(check.markers)} markers hold"] if check.markers else ["no markers"]
    parts += [f"{len(check.unsupported)} of {_many(len(check.sentences), 'sentence')} unsupported"]
    parts += [f"{len(check.missing)} supported without a marker"] if check.missing else []
    return f"{', '.join(parts)} ({how})."


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _marker(check: Check, one: CheckedMarker) -> list[str]:
    """A marker, its standing, what decided it and the passage."""
    mark = click.style(plain(mark_of(check, one)), fg="cyan")
    standing = click.style(STANDINGS[one.standing], fg=COLOURS[one.standing])
    support = check.support(one)
    if support is None:
        return [f"{mark} {standing}"]
    document = plain(name_of(check, support.document))
    return [f"{mark} {standing} ({document}; {told_of(check, support)})", *_quote(check, support)]


def told_of(check: Check, support: Support) -> str:
    """What decided, in nats or in words, and which names and numbers the document has not."""
    return "; ".join(
        filter(None, [f"decided by {support.because}", _numbers(support), _judged(support), _missing(check, support)])
    )


def mark_of(check: Check, one: CheckedMarker) -> str:
    """A marker as it was written, or what it calls its source."""
    written = one.marker.written
    return check.marked.written[slice(*written)] if written else f"[{one.marker.name}]"


def name_of(check: Check, document: int) -> str:
    """What a document is called."""
    return title_of(check.documents[document])


def _numbers(support: Support) -> str:
    """Its nats, or the share of the words."""
    if support.alone is not None and support.needed is not None:
        return f"{support.alone:+.2f} nats alone, {support.needed:+.2f} lost without it"
    return "" if support.stated is None else f"{support.stated:.0%} of the words"


def _judged(support: Support) -> str:
    """What a judge says."""
    return "" if support.entailed is None else f"{support.entailed:.0%} by the judge"


def _missing(check: Check, support: Support) -> str:
    words = [repr(one_line(check.answer[a:b])) for a, b in support.missing]
    return f"it has no {', '.join(words)}" if words else ""


def _quote(check: Check, support: Support) -> list[str]:
    if support.quote is None or not support.stated:
        return []
    passage = check.documents[support.document].text[slice(*support.quote)]
    return [f"    {plain(one_line(passage, QUOTED))}"]


def _sentence(check: Check, t: int) -> list[str]:
    if is_covered(check, t):
        return [click.style("supported; the next mark in its paragraph covers it", fg="green")]
    return [click.style(plain(line), fg="yellow" if t in check.missing else "red") for line in lacking(check, t)]


def is_covered(check: Check, t: int) -> bool:
    """Whether a supported sentence without a marker of its own has that of a sentence further on."""
    is_own = any(one.sentence == t for one in check.markers)
    return check.sentences[t].verdict == "context" and not is_own and t not in check.missing


def lacking(check: Check, t: int) -> list[str]:
    """What a sentence lacks: a marker, or any document that supports it."""
    sentence = check.sentences[t]
    if t in check.missing:
        best = sentence.supporters
        lacks = (
            f"[{best[0] + check.marked.first}] ({name_of(check, best[0])}) supports it"
            if best
            else "all documents together support it"
        )
        return [f"supported without a marker: {lacks}"]
    return [_unsupported(sentence)] if t in check.unsupported else []


def _unsupported(sentence: Sentence) -> str:
    why = "" if sentence.verdict == "unsupported" else f": {VERDICTS[sentence.verdict]}"
    return f"{'all documents together do not support' if sentence.supporters else 'no document supports'} it{why}"


def to_dict(check: Check) -> dict[str, Any]:
    """The check in plain lists: `sentences` with the support of each document, `markers`, `failures`, `run`."""
    return {
        "answer": check.answer,
        "written": check.marked.written,
        "documents": [{"id": one.id, "title": one.title, "metadata": dict(one.metadata)} for one in check.documents],
        "sentences": [
            {**asdict(one), "text": check.said(t), "missing_marker": t in check.missing}
            for t, one in enumerate(check.sentences)
        ],
        "markers": [
            {**asdict(one.marker), "sentence": one.sentence, "standing": one.standing, "meaning": STANDINGS[one.standing]}
            for one in check.markers
        ],
        "failures": check.fails(),
        "run": check.run,
    }


def with_repair(check: Check, unsupported: str = "keep") -> dict[str, Any]:
    """The same with the answer `repaired`: its text, what was changed, and where in it stands what no document supports."""
    return {**to_dict(check), "repaired": asdict(check.repaired(unsupported))}


def json_text(check: Check) -> str:
    """The same as a JSON text."""
    return plain_json.json_text(to_dict(check))


def junit(check: Check) -> str:
    """A test case for each marker ("wrong") and each sentence ("unsupported", "missing")."""
    cases: list[tuple[str, str, str | None]] = []
    for number, one in enumerate(check.markers, 1):
        mark = mark_of(check, one)
        where = "before the answer" if one.sentence is None else f"sentence {one.sentence + 1}"
        cases.append(("markers", f"{number}. {mark} in {where}", None if one.holds else f"wrong: {STANDINGS[one.standing]}"))
    for t in range(len(check.sentences)):
        wrong = "; ".join(lacking(check, t)) or None
        kind = "missing: " if t in check.missing else "unsupported: "
        cases.append(("sentences", f"{t + 1}. {one_line(check.said(t), QUOTED)}", kind + wrong if wrong else None))
    failures = sum(wrong is not None for _, _, wrong in cases)
    suite = ET.Element("testsuite", name="llmattr check", tests=str(len(cases)), failures=str(failures), errors="0")
    for of, name, wrong in cases:
        case = ET.SubElement(suite, "testcase", classname=f"llmattr.check.{of}", name=_printable(name))
        if wrong is not None:
            ET.SubElement(case, "failure", message=_printable(wrong))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
