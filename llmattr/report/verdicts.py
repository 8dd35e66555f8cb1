"""What true ablations say of a sentence, in plain words."""

import click

from llmattr.core.attribution import Attribution, sentence_rows
from llmattr.core.evidence import CITING, ENOUGH, VERDICTS, TargetEvidence, Verdict
from llmattr.report.lines import one_line

COLOURS: dict[Verdict, str] = {
    "context": "blue",
    "memory": "yellow",
    "contradicted": "red",
    "unsupported": "magenta",
    "refusal": "bright_black",
}


EVEN = 0.5  # above it, a judge finds it likelier than not


def overview(attribution: Attribution) -> str:
    """How much of the response depends on the context at all: its sentences by verdict."""
    assert attribution.evidence is not None
    rows = sentence_rows(attribution)
    found = [attribution.evidence.targets[row].verdict for row in rows]
    counts = [f"{found.count(name)} {meaning}" for name, meaning in VERDICTS.items() if name in found]
    return f"{len(found)} sentence{'s' * (len(found) != 1)}: {', '.join(counts)}.{_agreement(attribution)}"


def _agreement(attribution: Attribution) -> str:
    """How often a judge, where there is one, says what the verdict were without it."""
    assert attribution.evidence is not None
    asked = [attribution.evidence.targets[row] for row in sentence_rows(attribution)]
    asked = [one for one in asked if one.entailed is not None]
    same = sum((one.entailed > EVEN) is ((one.unjudged or one.verdict) in CITING) for one in asked if one.entailed is not None)
    return f" The judge agrees on {same} of {len(asked)}." if asked else ""


def coloured(evidence: TargetEvidence, text: str) -> str:
    """The text in its verdict's colour."""
    return click.style(text, fg=COLOURS[evidence.verdict])


def findings(evidence: TargetEvidence, numbers: dict[int, int], response: str = "") -> list[str]:
    """The verdict, and what it rests on; sources that have no number are left out.

    `response`: the text in which the evidence's missing words stand.
    """
    words = [
        *_missing(evidence, response),
        *_apart(evidence, response),
        *_contrary(evidence, numbers, response),
        *_rival(evidence, response),
    ]
    return [VERDICTS[evidence.verdict], *words, *_sources(evidence, numbers), *_judged(evidence)]


def _judged(evidence: TargetEvidence) -> list[str]:
    if evidence.entailed is None:
        return []
    whether = "follows" if evidence.entailed > EVEN else "does not follow"
    said = f"the judge says that it {whether} from the documents ({evidence.entailed:.0%})"
    alone = evidence.unjudged or evidence.verdict
    return [said if alone == evidence.verdict else f"{said}; without it: {VERDICTS[alone]}"]


def _missing(evidence: TargetEvidence, response: str) -> list[str]:
    words = [repr(word) for start, end in evidence.missing if (word := one_line(response[start:end]))]
    return [f"{listed(words)} stand{'s' * (len(words) == 1)} nowhere in what the model was given"] if words else []


def _apart(evidence: TargetEvidence, response: str) -> list[str]:
    words = [repr(word) for start, end in evidence.apart if (word := one_line(response[start:end]))]
    return [f"check {listed(words)}: in the documents, but not with the rest of what the sentence says"] if words else []


def _contrary(evidence: TargetEvidence, numbers: dict[int, int], response: str) -> list[str]:
    found = evidence.contrary
    if found is None or not response:
        return []
    who = f"[{numbers[found.source]}]" if found.source in numbers else "a source"
    return [f"{who} says the contrary of {one_line(response[found.start : found.end])!r}, by {found.because}"]


def _rival(evidence: TargetEvidence, response: str) -> list[str]:
    if evidence.rival is None or not response:
        return []
    said = one_line(response[evidence.rival.start : evidence.rival.end])
    return [f"check {said!r}: the model finds {one_line(evidence.rival.text)!r} likelier there"]


def _sources(evidence: TargetEvidence, numbers: dict[int, int]) -> list[str]:
    if not evidence.is_supported:
        against = None if evidence.contrary else evidence.contradicting
        return [f"opposed by source [{numbers[against]}]"] if against in numbers else []
    found = []
    if evidence.share is not None and all(source in numbers for source in evidence.sufficient):
        names = listed([f"[{numbers[source]}]" for source in evidence.sufficient])
        one = len(evidence.sufficient) == 1
        enough = "is enough" if one else "are enough"
        part = f"carr{'ies' if one else 'y'} {evidence.share:.0%} of its support"
        found.append(f"{names} alone {enough if evidence.share >= ENOUGH else part}")
    if evidence.second_hop in numbers:
        found.append(f"[{numbers[evidence.second_hop]}] has the rest of what was asked; the model did not need it")
    either = [f"[{numbers[a]}] or [{numbers[b]}]" for a, b in evidence.alternatives if a in numbers and b in numbers]
    return found + ([f"either would do: {'; '.join(either)}"] if either else [])


def listed(words: list[str]) -> str:
    """The words with commas, and "and" before the last.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
