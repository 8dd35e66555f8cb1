"""Data in the forms in which others publish it, read into ours.

Ours are the rows that `--data`, `--train` and `--queries` take (`python -m eval data --example ...` prints some), with `claims`
beside a question where people judged them, and masks [m, n] with outputs [m, t] where models were trained on parts of the rows.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from llmattr.errors import LlmattrError
from llmattr.text import split

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


def attribution_bench(path: Path) -> Iterator[Row]:
    """AttributionBench (arXiv 2402.15089): a claim with references, and whether these support it.

    Gives questions with one claim each, `{"text", "supported"}`, and the `set` from which it comes. Some have no documents.
    """
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            claim = {"text": row["claim"], "supported": row["attribution_label"] == "attributable"}
            documents = [_document(text) for text in row["references"]]
            asked = {"id": row["id"], "set": row["src_dataset"], "question": row["question"]}
            yield asked | {"documents": documents, "claims": [claim]}


def _document(text: str) -> Row:
    """A text, whose first line may say `Title: ...`."""
    titled = re.match(r"Title: (.*)\n", text)
    title = {"title": titled[1].strip()} if titled else {}
    return title | {"sentences": split.sentences(text[titled.end() :] if titled else text)}


def longbench_cite(path: Path) -> Iterator[Row]:
    """LongBench-Cite (arXiv 2409.02897): questions about one long document, English or Chinese, and the answers that are right.

    The fields are those that its own programs read (THUDM/LongCite at d7d772e, pred_sft.py and eval_correct.py).
    """
    for row in json.loads(path.read_text(encoding="utf-8")):
        documents = [{"sentences": split.sentences(row["context"])}]
        name = {"id": f"{row['dataset']}-{row['idx']}", "set": row["dataset"]}
        yield name | {"question": row["query"], "documents": documents, "answer": row["answer"][0], "answers": row["answer"]}


def date_lm_facts(train: Rows, ref: Rows) -> tuple[list[Row], list[Row]]:
    """Factual attribution of DATE-LM (arXiv 2507.09424), its set Counterfact: training rows and queries with their `fact`.

    A row states what a query asks where both have the same true and the same counterfactual entity, as DATE-LM judges it (its
    evaluate_application.py at 95c9a6d). Rows without entities have a fact of their own. Prompts and responses are as they
    stand; DATE-LM makes them the two turns of a chat.
    """

    def fact(row: Mapping[str, Any]) -> str | None:
        entities = row.get("true_entity"), row.get("counterfactual_entity")
        return json.dumps(entities, ensure_ascii=False) if all(entities) else None

    return _stated(train, [fact(row) for row in train]), _stated(ref, [fact(row) for row in ref])


def date_lm_toxicity(train: Rows, ref: Rows) -> tuple[list[Row], list[Row]]:
    """Toxicity and bias filtering of DATE-LM: any query should find the rows of the type "Unsafe", which are one `fact`."""
    facts = ["Unsafe" if row["type"] == "Unsafe" else None for row in train]
    return _stated(train, facts), _stated(ref, ["Unsafe"] * len(ref))


def _stated(rows: Rows, facts: Sequence[str | None]) -> list[Row]:
    known = [f"row {i}" if fact is None else fact for i, fact in enumerate(facts)]
    return [
        {"prompt": row["prompt"], "completion": row["response"], "fact": fact} for row, fact in zip(rows, known, strict=True)
    ]


class Retrained(NamedTuple):
    """Models that were trained on parts of the rows: which rows each was given, and what the queries' outputs were."""

    masks: Bool[np.ndarray, "m n"]
    outputs: Float[np.ndarray, "m t"]


def bergson_bank(folder: Path, n_rows: int) -> Retrained:
    """What `bergson validate` (0.26 to 2.5) measured of models that it trained without some of the `n_rows` rows each.

    Row i of subsets.json lists the rows that model i was not given (its `subset_weight` is 0). `diff` of validation.csv, or of
    its parts validation_START_STOP.csv, says how much higher a query's mean log-likelihood is than by the model of all rows, in
    nats. Models that were not measured for every query are left out; the models themselves, in `retrained/`, are not read.
    Raises `LlmattrError` where the files do not fit.
    """
    left_out = json.loads((folder / "subsets.json").read_text(encoding="utf-8"))
    tables = [pd.read_csv(path, float_precision="round_trip") for path in sorted(folder.glob("validation*.csv"))]
    if not tables:
        raise LlmattrError(f"{folder.name!r} has no validation.csv: its models were not measured")
    measured = pd.concat(tables)
    if "query" not in measured:
        measured["query"] = 0
    outputs = measured.drop_duplicates(["subset", "query"]).pivot(index="subset", columns="query", values="diff").dropna()
    masks = np.ones((len(outputs), n_rows), dtype=bool)
    try:
        for mask, model in zip(masks, outputs.index, strict=True):
            mask[left_out[model]] = False
    except IndexError:
        there = f"{n_rows} rows and {len(left_out)} subsets"
        raise LlmattrError(f"{folder.name!r} names a row or a model that {there} do not have") from None
    return Retrained(masks, outputs.to_numpy())
