"""An answer with its citations as plain text for the terminal."""

import itertools
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import click
import numpy as np

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.citing import LEAST, citation_rule
from llmattr.core.evidence import RULE
from llmattr.errors import LlmattrError
from llmattr.report.lines import one_line, plain
from llmattr.report.marks import citation_numbers, marked
from llmattr.report.quality import fit_quality, how_sure
from llmattr.report.ranking import among, error, ranking, summary
from llmattr.report.reference import place
from llmattr.report.verdicts import coloured, findings, overview
from llmattr.text import split

if TYPE_CHECKING:
    from llmattr.context.prune import Pruned

DEPENDS = 1.0  # nats by which the context makes a token likelier: it is underlined
NONE_CITED = "no source stands clear of its error"


def terminal(attribution: Attribution, top: int = 5, verbose: bool = False) -> str:
    """The answer with numbered marks and verdicts, the sources that it cites and where they stand, and how sure that is.

    `verbose`: also scores with their errors, the support of each sentence, the rules, and how it was made. Similarities cite
    nothing: they are shown as a `ranking`.
    """
    if not attribution.can_cite:
        return ranking(attribution, top)
    numbers = citation_numbers(attribution, top)
    lines = [overview(attribution), ""] if attribution.evidence else []
    for row in sentence_rows(attribution):
        lines += _target(attribution, row, numbers, top, verbose=verbose)
    lines += [""]
    for source, number in numbers.items():
        where = place(attribution.sources, source, with_characters=verbose)
        lines.append(f"{click.style(f'[{number}]', fg='cyan')} {plain(where)}")
        lines.append(f"    {one_line(attribution.sources.texts[source])}")
    lines += [""] if numbers else []
    return "\n".join(lines + (_explanation(attribution) if verbose else how_sure(attribution))).rstrip()


def _target(attribution: Attribution, row: int, numbers: dict[int, int], top: int, *, verbose: bool) -> list[str]:
    """A sentence with its marks, and what is found of it."""
    cited = [score for score in attribution[row].top(top) if score.cited]
    marks = " ".join(click.style(f"[{numbers[score.source]}]", fg="cyan") for score in marked(attribution, row, top))
    lines = [" ".join(filter(None, [_sentence(attribution, row), marks]))]
    evidence = attribution.evidence.targets[row] if attribution.evidence else None
    said = findings(evidence, numbers, attribution.response or "") if evidence else []
    if not cited and (evidence is None or evidence.is_supported):
        said.append(NONE_CITED)
    if evidence:
        said[0] = coloured(evidence, said[0])
    lines += [f"    {'; '.join(said)}"] if said else []
    if verbose:
        lines += [f"    {_numbers(numbers[score.source], score)}" for score in cited]
        lines += [f"    support {evidence.support:+.2f}"] if evidence else []
    return lines


def pruned(again: "Pruned", attribution: Attribution) -> str:
    """What the model says from the cited sources alone, beside what it said."""
    count, share = len(again.kept), again.share
    same = " ".join(again.response.split()) == " ".join((attribution.response or "").split())
    of = f"the cited {'source' if count == 1 else f'{count} sources'} alone"
    answer = "the model answers the same" if same else f"the model answers: {one_line(again.response, 2000)}"
    kept = "" if share is None else f" They keep {max(share, 0):.0%} of what the context does for the answer above."
    return f"\n\nFrom {of} ({count} of {len(attribution.sources)}) {answer}{'.' if same else ''}{kept}"


def zoomed(attribution: Attribution, top: int = 3) -> str:
    """The words inside the best cited source of each sentence that matter most for it, with all else kept.

    Of a whole text or step its best sentence comes first, and then the words of that.
    """
    numbers, zoom = citation_numbers(attribution, top), cache(Attribution.zoom)
    lines = ["", "Words inside the first citation of each sentence:"]
    for row in sentence_rows(attribution):
        best = next((score.source for score in attribution[row].top(1) if score.cited), None)
        if best is None:
            continue
        within, where = attribution, f"[{numbers[best]}]"
        if attribution.sources.kind in ("documents", "paragraphs"):
            with suppress(LlmattrError):  # it is one sentence
                within = zoom(attribution, best, "sentences")
                found = within[row].top(1)[0]
                best, where = found.source, f'{where} "{plain(one_line(found.text))}" {found.score:+.2f}:'
        if len(split.spans(within.sources.texts[best], split.words)) < 2:
            lines.append(f"  {where} is one word")
            continue
        words = [s for s in zoom(within, best)[row].top(top) if s.score > LEAST]
        said = ", ".join(f"{one_line(s.text)} {s.score:+.2f}" for s in words) or "no single word"
        lines.append(f"  {where} {said}")
    if len(lines) == 2:
        lines.append("  nothing is cited")
    return "\n" + "\n".join(lines)


def _sentence(attribution: Attribution, row: int) -> str:
    """The sentence in bold; what the context makes likelier by a nat or more is underlined."""
    text, spans, evidence = attribution.targets.texts[row], attribution.targets.spans, attribution.evidence
    if evidence is None or spans is None:
        return click.style(plain(text.strip()), bold=True)
    start = int(spans[row, 0])
    depends = np.zeros(len(text), dtype=bool)
    for (a, b), shift in zip(evidence.spans - start, evidence.shift, strict=True):
        depends[max(a, 0) : max(b, 0)] |= shift >= DEPENDS
    runs = itertools.groupby(range(len(text)), key=lambda i: bool(depends[i]))
    parts = [("".join(text[i] for i in run), marked) for marked, run in runs]
    return "".join(click.style(plain(part), bold=True, underline=marked) for part, marked in parts).strip()


def _explanation(attribution: Attribution) -> list[str]:
    likelier = "come back more alike" if attribution.targets.measure == "generated" else "likelier"
    against = int((attribution.clear & (attribution.values < 0)).any(axis=0).sum())
    lines = [
        f"Scores in {attribution.unit}: positive = the source made the sentence {likelier}.",
        f"{citation_rule(attribution.targets.measure, attribution.share).capitalize()}.",
        *fit_quality(attribution),
        *([RULE] if attribution.evidence else []),
        summary(attribution.method, attribution.run),
    ]
    if against:
        some = "1 source" if against == 1 else f"{against} sources"
        lines.insert(2, f"{some} made a sentence less likely: the HTML page (--html) and the JSON (--json) show them.")
    return [plain(line) for line in lines]


def _numbers(number: int, score: Score) -> str:
    return f"[{number}] {score.score:+.2f}{error(score, '.2f')}{among(score)}"
