"""`curate`: what one may want to drop of a training set, and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.files import digest
from llmattr.curation.answers import Doubts, Retraining, doubts, mean_rank, out_of_bag
from llmattr.curation.contamination import contamination
from llmattr.curation.diversity import facility_location, label_next
from llmattr.curation.duplicates import duplicates
from llmattr.curation.finding import Curation, Finding
from llmattr.curation.kept import Kept
from llmattr.curation.meaning import embedded, same_meaning
from llmattr.curation.outliers import outliers, word_vectors
from llmattr.curation.texts import Texts
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.text.reading import Columns, Data, open_rows

SUSPECTS = 20


@dataclass(frozen=True)
class Asked:
    """What is asked of models. `models`: checkpoints of a training, the last one the model; `encoder`: of sentences (minilm).

    `suspects`: how many rows are told whose answers are doubted most. `diverse`: how many that stand for all are chosen.
    `label_next`: how many that the model is unsure of. `retraining`: for Data-OOB, with its models' folder in `runs`.
    """

    models: Sequence[object] = ()
    encoder: str | None = None
    retraining: Retraining | None = None
    suspects: int = SUSPECTS
    diverse: int = 0
    label_next: int = 0
    runs: Path | None = None


def curate(
    data: Data,
    test: Data | None = None,
    *,
    asked: Asked = Asked(),
    split: str | None = None,
    columns: Columns | None = None,
    cache: Path | None = None,
) -> Curation:
    """Look through training rows, and drop nothing: duplicates, conflicts, outliers, and what gives `test` away.

    With models (`asked`) also: answers that they doubt, rows that mean the same, and which to take or to label first.
    `data`, `split`, `columns` as `open_rows` takes them; the rows of `test` have the same columns. `cache`: a folder in
    which finished parts are kept, so that a run that is killed goes on; None keeps nothing. Raises `LlmattrError` for what
    cannot be read.
    """
    rows = open_rows(data, split, columns)
    texts = Texts.of(rows)
    test_rows = [] if test is None else open_rows(test, columns=columns)
    against = Texts.of(test_rows)
    kept = Kept(cache, digest([texts.digest(), against.digest(), asked.encoder]))
    _check(asked, len(texts))
    lms = [LM.load(model) for model in asked.models]
    answering = np.array([number for number, said in enumerate(texts.completions) if said.strip()], dtype=int)
    answered = rows if len(answering) == len(rows) else [rows[i] for i in answering.tolist()]  # models are asked of these
    found = doubts(lms, answered, kept) if lms else None
    signals = _signals(found, answered, asked)
    findings = [Finding("empty", row, "says nothing") for row in sorted({*range(len(rows))} - {*answering.tolist()})]
    findings.extend(duplicates(texts, kept))
    findings.extend(contamination(texts, against, kept))
    vectors = _vectors(texts, asked.encoder, kept)
    if asked.encoder:
        findings.extend(same_meaning(texts, vectors, _of_answers(texts, vectors, asked.encoder, kept), kept))
    findings.extend(outliers(texts.whole, vectors, kept))
    wrong = [] if found is None or found.wrong is None else np.flatnonzero(found.wrong).tolist()
    findings.extend(replace(one, row=int(answering[one.row])) for one in suspects(signals, asked.suspects, wrong))
    signals = {name: _spread(values, answering, len(rows)) for name, values in signals.items()}
    unsure = None if found is None else _spread(found.uncertainty, answering, len(rows))
    chosen = _chosen(unsure, vectors, asked)
    kept.tidy()
    models: list[dict[str, str]] = [{**lm.record(), **lm.fingerprint()} for lm in lms]
    run = _run(lms, len(against))
    if found and found.wrong is not None:
        run["called wrong"] = answering[wrong].tolist()
    return Curation(rows, findings, run, signals, chosen, test_rows, models)


def _check(asked: Asked, n: int) -> None:
    """Refuse what cannot be chosen before any model is asked."""
    for name, k in {"stand for all (--diverse)": asked.diverse, "are labelled next (--label-next)": asked.label_next}.items():
        if k > n:
            raise LlmattrError(f"{k} rows that {name} are to be chosen, and there are {n}")
    if asked.label_next and not asked.models:
        raise LlmattrError("what to label next is what a model is unsure of: give one (--model)")


def suspects(signals: Mapping[str, Float[np.ndarray, " n"]], k: int, wrong: Collection[int] = ()) -> list[Finding]:
    """The k rows that are most suspect by the mean of their ranks by all signals, the first the most.

    `wrong`: the rows that confident learning calls so, which is told of them.
    """
    if not signals:
        return []
    order = np.argsort(-mean_rank(signals), kind="stable")[:k].tolist()
    shares = {row: {name: float((values < values[row]).mean()) for name, values in signals.items()} for row in order}
    told = {row: ", ".join(f"{share:.0%} of the rows by {name}" for name, share in of.items()) for row, of in shares.items()}
    called = {row: "called wrong by confident learning; " if row in wrong else "" for row in order}
    return [Finding("suspects", row, f"{called[row]}more suspect than {told[row]}") for row in order]


def _signals(found: Doubts | None, rows: Sequence[Mapping[str, Any]], asked: Asked) -> dict[str, np.ndarray]:
    """Those of the models, and Data-OOB's."""
    signals: dict[str, np.ndarray] = dict(found.signals) if found else {}
    if asked.retraining:
        signals["data-oob"] = out_of_bag(rows, asked.retraining, asked.runs)
    return signals


def _spread(values: Float[np.ndarray, " k"], rows: Int[np.ndarray, " k"], n: int) -> Float[np.ndarray, " n"]:
    """Values of some rows for all n: what answers nothing is doubted the least, for "empty" says it."""
    found = np.full(n, values.min(initial=np.inf))
    found[rows] = values
    return found


def _vectors(texts: Texts, encoder: str | None, kept: Kept) -> Float[np.ndarray, "n d"]:
    """The rows as vectors: of their words without an encoder."""
    if encoder is None:
        return kept.part("vectors", lambda: word_vectors(texts.whole))
    return embedded(texts.whole, encoder, Kept(kept.folder, f"{kept.identity} whole"))


def _of_answers(texts: Texts, whole: Float[np.ndarray, "n d"], encoder: str, kept: Kept) -> Float[np.ndarray, "n d"]:
    """The completions as vectors; those of the whole where no row has a prompt."""
    return embedded(texts.completions, encoder, Kept(kept.folder, f"{kept.identity} answers")) if any(texts.prompts) else whole


def _chosen(unsure: Float[np.ndarray, " n"] | None, vectors: Float[np.ndarray, "n d"], asked: Asked) -> dict[str, list[int]]:
    """Rows that stand for all, and rows to label next."""
    chosen: dict[str, list[int]] = {}
    if asked.diverse:
        chosen["diverse"] = facility_location(vectors, asked.diverse).tolist()
    if asked.label_next and unsure is not None:
        chosen["label next"] = label_next(unsure, vectors, asked.label_next).tolist()
    return chosen


def _run(lms: Sequence[LM], test_rows: int) -> dict[str, Any]:
    """How it was looked for."""
    run: dict[str, Any] = {"test rows": test_rows, "checkpoints": [lm.name for lm in lms]}
    if lms:
        run |= lms[-1].record()
    return run
