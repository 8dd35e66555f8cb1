"""Citations compared: `python -m eval citations`.

Does each method of `llmattr.context.METHODS` find the sentences that people marked as supporting an answer, and no others?
The answer that the data gives is attributed, since the marked sentences support that one: of a wrong answer of the model's own
they say nothing. `--own-answers` attributes the model's, and tells the right ones from the wrong ones.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import click
import numpy as np
from jaxtyping import Bool, Float

from eval.context.data import Question
from eval.context.measure import FULL, Bench, Measured, begin, measure, options, right_answers
from eval.context.methods import citing_entries
from eval.context.tables import AGREEMENT, BASE, SECONDS, agreement, costs, difference, interval, lines, means, recall
from eval.harness.command import Section, plain_name, publish, refusing, said
from eval.harness.parts import quiet_thread
from eval.harness.record import Figure, circumstances
from llmattr import metrics
from llmattr.context import METHODS
from llmattr.core.citing import CITATION_RULE
from llmattr.errors import LlmattrError
from llmattr.model import loading

AnswerScores = Float[np.ndarray, " n"]  # of the sentences, for the whole answer
Marked = Bool[np.ndarray, " n"]  # which sentences: the gold ones, those that are cited
Entails = Callable[[str, str], bool]

CITED = ("R@3", "cited precision", "cited recall", "cited f1")
NOTES = (
    "AP: average precision; MRR: mean reciprocal rank; R@3: recall among the three highest. Equal scores: the mean order, "
    "so random has what chance gives. 95 %: bootstrap over examples; p: the share of all ways to exchange the two methods, "
    "example by example, that differ as much.",
    f"Cited: by the method's own rule, {CITATION_RULE}. Similarities and attention have no such rule and cite nothing.",
    "Threshold F1: what has a certain share of the highest score is cited, the share that gives the best mean F1 on "
    "the other examples, never on the example itself. For random that means to cite everything.",
    SECONDS,
    "Gold sentences: 1 for those that people marked, the highest that can be reached.",
)
ENTAILED = (
    "Entailed: ALCE's precision, recall and F1. The claim is the question with the answer; the passages are what the method "
    "cites by its rule, or above the threshold where it has none, each with its title."
)


@click.command("citations", help=__doc__)
@options
@click.option("--gold-answers/--own-answers", default=True, show_default=True, help="The data's answers, or the model's own.")
@click.option("--entailment", help="Also judge citations by this NLI model: a folder or a hub id.")
def command(methods: list[str], gold_answers: bool, entailment: str | None, **given: Any) -> None:
    """Measure what is not measured yet, print the tables and save them."""
    if given["full"] and not given["sets"]:
        given["sets"] = [name for name in FULL.sets if name != "musique"]  # it has no gold sentences
    with refusing():
        bench, found, notes = begin("citations", gold_answers, given)
        how, entails = circumstances(said()), entailment_model(entailment) if entailment else None
        rows = measure(bench, found, citing_entries(methods or list(METHODS)))
        with quiet_thread():
            parts = tables(bench, [one for chosen in found.values() for one in chosen], rows, notes, entails)
        publish("citations", parts, how, bench.out)


def tables(
    bench: Bench, asked: Sequence[Question], rows: Sequence[Measured], notes: Sequence[str], entails: Entails | None = None
) -> dict[str, Section]:
    """The parts of the results: all examples, each set, the right and the wrong answers, and agreement."""
    rows = with_citations(rows, {question.id: question for question in asked}, entails)
    sets = list(dict.fromkeys(row["set"] for row in rows))
    whose = "" if bench.gold_answer else ", own answers"
    about = f"{plain_name(bench.model)}{whose or ', the answers that the data gives'}; {{}}."
    notes = [*notes, *answers(bench, asked, rows), *NOTES, *([ENTAILED] if entails else [])]
    parts: dict[str, Section] = {f"support{whose}": Section(about.format(", ".join(sets)), support(rows), notes)}
    splits = {f", {name}": [row for row in rows if row["set"] == name] for name in sets if len(sets) > 1}
    if not bench.gold_answer:
        splits[", right"] = [row for row in rows if row.get("right")]
        splits[", wrong"] = [row for row in rows if row.get("right") is False]
    for name, some in splits.items():
        parts[f"support{whose}{name}"] = Section(about.format(name.removeprefix(", ")), support(some))
    parts[f"agreement{whose}"] = Section(about.format(", ".join(sets)), agreement(rows), AGREEMENT)
    return parts


def answers(bench: Bench, asked: Sequence[Question], rows: Sequence[Measured]) -> list[str]:
    """What there is to say about the answers and the marked sentences."""
    said = []
    if without := sum(not question.gold.any() for question in asked):
        said.append(f"{without} of {len(asked)} examples have no marked sentences and count only for agreement, entailment.")
    if not bench.gold_answer:
        return said + right_answers(rows)
    if generated := sum(not question.answer for question in asked):
        said.append(f"{generated} of {len(asked)} examples have no answer in the data: the model's own is attributed.")
    return said


def support(rows: Sequence[Measured]) -> list[Figure]:
    """A line for each method: does it find the marked sentences, and does it cite them alone?"""
    base = [row for row in rows if row["label"] == BASE and "AP" in row.get("measures", {})]

    def columns(done: Sequence[Measured]) -> Figure:
        line = {**interval("AP", done), f"AP minus {BASE}": None, **dict.fromkeys(("MRR", *CITED, "threshold F1"))}
        if done[0]["label"] != BASE:
            line[f"AP minus {BASE}"] = difference("AP", done, base)
        found = means(done, "RR", *CITED)
        line |= {"MRR": found.pop("RR", None), **found, **interval("threshold F1", done)}
        line |= means(done, "entailed precision", "entailed recall", "entailed f1")
        return line | costs(done) | {"recall": recall(done)}

    judged = [row for row in rows if {"AP", "entailed f1"} & row.get("measures", {"AP": []}).keys()]
    return lines(judged, columns, "citations") if any("measures" in row for row in judged) else []


def with_citations(rows: Sequence[Measured], asked: Mapping[str, Question], entails: Entails | None) -> list[Measured]:
    """The rows with the measures that need the other examples (`threshold F1`) or an entailment model."""
    done, above = [row for row in rows if "measures" in row], {}
    for label in dict.fromkeys(row["label"] for row in done):
        scores = {row["example"]: _whole(row, asked[row["example"]]) for row in done if row["label"] == label}
        cited = above_threshold(scores, {example: asked[example].gold for example in scores})
        above |= {(label, example): those for example, those in cited.items()}
    return [_judged(row, asked[row["example"]], above.get((row["label"], row["example"])), entails) for row in rows]


def _judged(row: Measured, question: Question, above: Marked | None, entails: Entails | None) -> Measured:
    """The row with what is said of its citations; `above`: those above the threshold."""
    if "measures" not in row:
        return row
    added: dict[str, list[float]] = {}
    if above is not None and question.gold.any():
        added["threshold F1"] = metrics.citation(above[None], question.gold[None]).f1.tolist()
    cited = np.array(row["cited"][0], dtype=bool) if "cited" in row else above
    if entails and cited is not None and "values" in row:  # not random, which would cite everything
        added |= entailed(cited, question, row["answer"], entails)
    return row | {"measures": row["measures"] | added}


def _whole(row: Measured, question: Question) -> AnswerScores:
    """The scores of the whole answer as shares of the highest, since scales differ between examples; all 0 for random."""
    scores = np.array(row["values"][0], dtype=float) if "values" in row else np.zeros(question.size)
    return scores / scores.max() if scores.max() > 0 else np.zeros_like(scores)


def above_threshold(scores: Mapping[str, AnswerScores], gold: Mapping[str, Marked]) -> dict[str, Marked]:
    """What each example cites above the threshold that gives the best mean F1 on the others that have gold; {} for none.

    Thresholds lie midway between two scores that occur, or below all; of equally good ones the lowest is taken.
    """
    known = [example for example in scores if gold[example].any()]
    if len(known) < 2:
        return {}
    seen = np.unique(np.concatenate([scores[example] for example in scores]))
    thresholds = np.insert((seen[1:] + seen[:-1]) / 2, 0, -np.inf)
    f1 = {}
    for example in known:
        cited = scores[example] > thresholds[:, None]
        f1[example] = metrics.citation(cited, np.tile(gold[example], (len(thresholds), 1))).f1
    total = np.sum(list(f1.values()), axis=0)
    best = {example: thresholds[np.argmax(np.round(total - f1.get(example, 0), 9))] for example in scores}
    return {example: scores[example] > best[example] for example in scores}


def entailed(cited: Marked, question: Question, answer: str, entails: Entails) -> dict[str, list[float]]:
    """ALCE's measures of one answer's citations."""
    passages = [f"{paper.title}: {one}" if paper.title else one for paper in question.papers for one in paper.sentences]
    found = metrics.entailed_citation(cited[None], [f"{question.question} {answer.strip()}"], passages, entails)
    return {f"entailed {name}": of.tolist() for name, of in found._asdict().items()}


def entailment_model(name: str) -> Entails:
    """Whether an NLI model holds entailment for the likeliest; raises `LlmattrError` for one that cannot say so."""
    import torch
    from transformers import AutoModelForSequenceClassification

    what = f"the entailment model {plain_name(name)!r}"
    tokenizer = loading.load_tokenizer(name, what)
    with loading.told(what, name, "weights"):
        model = loading.complete(AutoModelForSequenceClassification, name).eval()
    labels = {int(i): str(label) for i, label in model.config.id2label.items()}
    told = [i for i, label in labels.items() if label.lower().startswith("entail")]
    if len(told) != 1:
        raise LlmattrError(f"the labels of {plain_name(name)!r} are {', '.join(labels.values())}: which of them is entailment?")
    longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or 512)

    @cache
    def entails(premise: str, claim: str) -> bool:
        inputs = tokenizer(premise, claim, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            return int(model(**inputs).logits[0].argmax()) == told[0]

    return entails


def main(argv: list[str]) -> None:
    """Run with these command line arguments."""
    command.main(args=argv, prog_name="python -m eval citations")
