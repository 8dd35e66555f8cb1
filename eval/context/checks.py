"""Does a reference support a claim, as people judged it? `python -m eval checks`.

AttributionBench (arXiv 2402.15089): claims of seven sets with their references. Each signal's threshold is chosen on the dev
file; the two test files are for the table alone. `llmattr, quick` is what `llmattr check --quick` goes by, without a model: of
a claim the worst sentence, of the references the best. With `--model` the model is asked too.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from jaxtyping import Bool, Float

from eval import RESULTS
from eval.context import planted
from eval.context.case import Model
from eval.harness import data
from eval.harness.command import Section, check, publish, refusing, said
from eval.harness.record import Figure, circumstances
from llmattr import metrics
from llmattr.context import check as checking
from llmattr.context.standing import Sentence, Support
from llmattr.core.evidence import MISSING
from llmattr.core.progress import progress
from llmattr.errors import LlmattrNote
from llmattr.text.own_words import own_words, stated

OUT = RESULTS / "checks.json"
FILES = {
    "dev": "dev_all_subset_balanced.jsonl",
    "test": "test_all_subset_balanced_sampled500.jsonl",
    "ood": "test_ood_all_subset_balanced.jsonl",
}
CHOOSING = "dev"
SEED, DRAWS = 18, 400  # of claims, for an interval
NOTES = (
    "AUROC: the chance that a supported claim is above an unsupported one. Macro-F1: the mean of both classes' F1 at the "
    "threshold that gives the highest on dev. 95 %: bootstrap over claims.",
    "words: the share of a claim's words that its references have. llmattr: the claim's worst sentence, by its best reference: "
    "the share of its words that two neighbouring sentences of it have (one, with a model)"
    f", less {MISSING} where it lacks a name or number, nothing where it says the contrary; with a model also the share of the "
    "surprise that it takes away.",
    "Claims without a reference are left out. In these sets the test of 500 was prepared otherwise than dev.",
)


class Claim(NamedTuple):
    """A claim with what it is said to rest on, and whether people found that it does."""

    of: str
    question: str | None
    text: str
    references: list[str]
    supported: bool


Signal = Callable[[Claim], float]


def claims(file: Path) -> Iterator[Claim]:
    """All claims of a file that have a reference."""
    with file.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            references = [text for text in row["references"] if text.strip()]
            if references and row["claim"].strip():
                question = (row["question"] or "").strip() or None
                yield Claim(row["src_dataset"], question, row["claim"], references, row["attribution_label"] == "attributable")


def words(claim: Claim) -> float:
    """The share of the claim's words that its references have together."""
    share = stated(own_words(claim.text), [" ".join(claim.references)])[0]
    return 0.0 if np.isnan(share) else float(share)


def by(model: object, cache: Path | None = None) -> Signal:
    """What `check` goes by."""

    def signal(claim: Claim) -> float:
        found = checking.check(model, claim.text, claim.references, claim.question, shape="markdown", cache=cache)
        return min((_best(sentence) for sentence in found.sentences), default=0.0)

    return signal


def _best(sentence: Sentence) -> float:
    return max(_sign(one) for one in sentence.supports)


def _sign(one: Support) -> float:
    if one.contrary:
        return 0.0
    return (one.stated or 0.0) + (one.explained or 0.0) - (MISSING if one.missing else 0.0)


def figures(scores: Mapping[str, Mapping[str, Float[np.ndarray, " c"]]], every: Mapping[str, Sequence[Claim]]) -> list[Figure]:
    """A row for each signal and file, and for each of the file's sets."""
    rows: list[Figure] = []
    for signal, by_file in scores.items():
        threshold = best_threshold(by_file[CHOOSING], _labels(every[CHOOSING]))
        for file, some in every.items():
            sets = {"all": np.ones(len(some), dtype=bool)}
            sets |= {of: np.array([one.of == of for one in some]) for of in sorted({one.of for one in some})}
            for of, chosen in sets.items():
                values, labels = by_file[file][chosen], _labels(some)[chosen]
                row: Figure = {"file": file, "set": of, "signal": signal, "claims": int(chosen.sum()), "threshold": threshold}
                rows.append(row | _measured(values, labels, threshold))
    return sorted(rows, key=lambda row: (list(every).index(row["file"]), row["set"] != "all", row["set"]))


def _labels(some: Sequence[Claim]) -> Bool[np.ndarray, " c"]:
    return np.array([one.supported for one in some])


def _measured(values: Float[np.ndarray, " c"], labels: Bool[np.ndarray, " c"], threshold: float) -> Figure:
    """AUROC and macro-F1 with their intervals."""
    drawn = np.random.default_rng(SEED).integers(len(labels), size=(DRAWS, len(labels)))
    cells: Figure = {}
    for name, measure in (("AUROC", _auroc), ("macro-F1", lambda v, y: macro_f1(v >= threshold, y))):
        low, high = np.nanquantile([measure(values[i], labels[i]) for i in drawn], [0.025, 0.975])
        cells |= {name: measure(values, labels), f"{name} 95 %": f"{low:.3f} to {high:.3f}"}
    return cells


def _auroc(values: Float[np.ndarray, " c"], labels: Bool[np.ndarray, " c"]) -> float:
    return float(metrics.roc_auc(values[None], labels[None])[0])


def macro_f1(said: Bool[np.ndarray, " c"], labels: Bool[np.ndarray, " c"]) -> float:
    """The mean of both classes' F1.

    >>> macro_f1(np.array([True, True, False]), np.array([True, False, False])).round(3).item()
    0.667
    """
    each = [2 * (a & b).sum() / max((a.sum() + b.sum()), 1) for a, b in ((said, labels), (~said, ~labels))]
    return float(np.mean(each))


def best_threshold(values: Float[np.ndarray, " c"], labels: Bool[np.ndarray, " c"]) -> float:
    """The threshold of the highest macro-F1; of several the lowest."""
    found = np.unique(values)
    return float(found[int(np.argmax([macro_f1(values >= one, labels) for one in found]))])


@click.command("checks", help=__doc__)
@click.option("--model", help="Also ask this model: a hub id, a folder, smollm2 or gemma3-270m.")
@click.option("--examples", type=click.IntRange(min=1), help="So many claims of each set, drawn by a seed; all without it.")
@click.option("--tiny", is_flag=True, help="Two claims of each set: does everything run? Needs --out.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; a Markdown file goes beside it.")
def command(*, model: str | None, examples: int | None, tiny: bool, out: Path | None) -> None:
    """Read, judge and publish."""
    check({"tiny": tiny, "out": out})
    with refusing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)  # a claim has no markers
        folder = data.files("attributionbench")
        every = {file: _drawn(list(claims(folder / name)), 2 if tiny else examples) for file, name in FILES.items()}
        signals: dict[str, Signal] = {"words": words, "llmattr, quick": by(None)}
        if model:
            kept = (out or OUT).with_suffix(".kept")
            signals["llmattr"] = by(Model(model).lm, kept)
        sections = {
            "table": Section("AttributionBench.", measured(signals, every), NOTES, COLUMNS),
            "planted": Section("Made wrong with the same words.", planted.planted(every), planted.NOTES, planted.COLUMNS),
        }
        publish("checks", sections, circumstances(said()) | {"tiny": tiny}, out or OUT)


COLUMNS = ("file", "set", "signal", "claims", "AUROC", "AUROC 95 %", "macro-F1", "macro-F1 95 %")


def measured(signals: Mapping[str, Signal], every: Mapping[str, Sequence[Claim]]) -> list[Figure]:
    """The rows of the table."""
    scores = {
        name: {
            file: np.array([signal(one) for one in progress(some, f"{name}, {file}", "claims")]) for file, some in every.items()
        }
        for name, signal in signals.items()
    }
    return figures(scores, every)


def _drawn(some: list[Claim], count: int | None) -> list[Claim]:
    """So many of each set, drawn by the seed, in the order of the file."""
    if count is None:
        return some
    rng = np.random.default_rng(SEED)
    places = [[i for i, one in enumerate(some) if one.of == of] for of in sorted({one.of for one in some})]
    return [some[i] for i in sorted(i for each in places for i in rng.permutation(each)[:count].tolist())]
