"""Attributions as JSON."""

import json
from typing import Any

import numpy as np

from llmattr.core.agreement import Agreement
from llmattr.core.attribution import OF_SCORES, Attribution
from llmattr.core.evidence import from_dicts, target_to_dict
from llmattr.core.plain_json import json_text
from llmattr.core.sources import Document, Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.report.marks import citation_numbers

DETAILS = ("alpha", "around_prior", "prior_agreement", "after")  # of each target, which files of before have in their run


def to_json(attribution: Attribution) -> str:
    """The attribution as JSON (see `to_dict`)."""
    return json_text(to_dict(attribution))


def from_json(text: str) -> Attribution:
    """The inverse of `to_json`; raises `LlmattrError` for any other text."""
    try:
        return _from_dict(json.loads(text))
    except KeyError as error:
        raise LlmattrError(f"this is not a saved attribution: it has no {error}") from None
    except (TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise LlmattrError(f"this is not a saved attribution ({type(error).__name__}: {error})") from None


def to_dict(attribution: Attribution) -> dict[str, Any]:
    """`{unit, measure, traced, cites, method, run, response, kind, documents, sources: [...], targets: [...]}` and more."""
    a = attribution
    return {
        "unit": a.unit,
        "measure": a.targets.measure,
        "traced": a.traced,
        "cites": a.cites,
        "share": a.share,
        "model": a.model,
        **({} if a.agreement is None else {"agreement": a.agreement.to_dict()}),
        **{name: value for name in ("asked", "meaning", "verified") if (value := vars(a)[name]) is not None},
        "method": a.method,
        "run": a.run,
        "response": a.response,
        "kind": a.sources.kind,
        "documents": [_document(document) for document in a.sources.documents],
        **({} if a.evidence is None else {"tokens": a.evidence.to_dict()}),
        "numbers": citation_numbers(a),  # a source's place in the list below, and its mark [1], [2] ... in every report
        "sources": [_source(a.sources, i) for i in range(len(a.sources))],
        "targets": [_target(a, t) for t in range(len(a))],
    }


def _document(document: Document) -> dict[str, Any]:
    """Its text, id and title, and what else it has."""
    return {name: value for name, value in vars(document).items() if name in ("text", "id", "title") or value}


def _source(sources: Sources, i: int) -> dict[str, Any]:
    start, end = (None, None) if sources.spans is None else sources.spans[i].tolist()
    document = sources.document(i)
    group = None if sources.groups is None else int(sources.groups[i])
    name = None if document is None else document.id
    source = {"id": sources.ids[i], "text": sources.texts[i], "start": start, "end": end, "document": name, "group": group}
    known = {
        "metadata": sources.metadata(i) or None,
        "block": None if sources.blocks is None else sources.blocks[i],
        "quotable": None if sources.quotable is None else bool(sources.quotable[i]),
    }
    return source | {name: value for name, value in known.items() if value is not None}


def _target(a: Attribution, t: int) -> dict[str, Any]:
    start, end = (None, None) if a.targets.spans is None else a.targets.spans[t].tolist()
    rows = {name: vars(a)[name] for name in ("values", *OF_SCORES)}
    return {
        "text": a.targets.texts[t],
        "start": start,
        "end": end,
        "baseline": None if a.baseline is None else float(a.baseline[t]),
        **({} if a.lds is None else {"lds": float(a.lds[t])}),
        **({} if a.ceiling is None else {"ceiling": float(a.ceiling[t])}),
        "cited": a.cited[t].tolist(),
        **({} if a.evidence is None else {"evidence": target_to_dict(a.evidence.targets[t])}),
        **({"details": {name: column[t] for name, column in a.details.items()}} if a.details else {}),
        **{name: rows_[t].tolist() for name, rows_ in rows.items() if rows_ is not None},
    }


def _from_dict(saved: dict[str, Any]) -> Attribution:
    saved = _as_now(saved)
    sources, targets = saved["sources"], saved["targets"]
    return Attribution(
        values=np.array([t["values"] for t in targets], dtype=float).reshape(len(targets), -1 if targets else len(sources)),
        sources=Sources(
            kind=saved["kind"],
            ids=[s["id"] for s in sources],
            texts=[s["text"] for s in sources],
            spans=_column(sources, "start", "end"),
            groups=_column(sources, "group"),
            documents=tuple(_read_document(document) for document in saved["documents"]),
            blocks=[s["block"] for s in sources] if sources and "block" in sources[0] else None,
            quotable=_column(sources, "quotable"),
            columns=None if saved["documents"] else _known(sources),
        ),
        targets=Targets([t["text"] for t in targets], _column(targets, "start", "end"), saved["measure"]),
        unit=saved["unit"],
        method=saved["method"],
        run=saved["run"],
        index=_column(targets, "index"),
        stderr=_numbers(targets, "stderr"),
        baseline=None if all(t["baseline"] is None for t in targets) else _numbers(targets, "baseline"),
        lds=_numbers(targets, "lds"),
        response=saved["response"],
        evidence=from_dicts(saved["tokens"], [t["evidence"] for t in targets]) if "tokens" in saved else None,
        asked=saved.get("asked"),
        traced=saved["traced"],
        cites=saved["cites"],
        relevance=_numbers(targets, "relevance"),
        share=saved.get("share", 0.0),  # files from before there was one
        ceiling=_numbers(targets, "ceiling"),
        meaning=saved.get("meaning"),
        verified=saved.get("verified"),
        details={name: [t["details"][name] for t in targets] for name in (targets or [{}])[0].get("details", ())},
        model=saved["model"],
        p_values=_numbers(targets, "p_values"),
        deviation=_numbers(targets, "deviation"),
        q_values=_numbers(targets, "q_values"),
        agreement=Agreement.of(saved["agreement"]) if "agreement" in saved else None,
    )


def _known(sources: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """What is known of each source that is of no document; None where that is nothing."""
    known = [source.get("metadata", {}) for source in sources]
    return known if any(known) else None


def _read_document(saved: dict[str, Any]) -> Document:
    places = tuple((start, known) for start, known in saved.get("places", ()))
    blocks = tuple((start, end, kind) for start, end, kind in saved.get("blocks", ()))
    return Document(**{**saved, "places": places, "blocks": blocks})


def _as_now(saved: dict[str, Any]) -> dict[str, Any]:
    """A file from before these were fields of an attribution: they stood in its run, or were told by its measure."""
    saved = saved if "cites" in saved else _with_fields(saved)
    return saved if "model" in saved else _with_details(saved)


def _with_fields(saved: dict[str, Any]) -> dict[str, Any]:
    """A file whose run has what was asked, the ceiling, what scores mean and what was verified."""
    run = dict(saved["run"])
    fields = {
        "traced": saved.get("traced", saved["kind"] == "training rows"),
        "cites": True,  # those without a unit never do
        "asked": run.pop("queries", None) or None,
        "meaning": run.pop("meaning", None),
        "verified": run.pop("verified", None),
    }
    ceiling = run.pop("ceiling", None)
    targets = saved["targets"]
    if ceiling is not None:
        targets = [{**target, "ceiling": one} for target, one in zip(targets, ceiling, strict=True)]
    return {**saved, **fields, "run": run, "targets": targets}


def _with_details(saved: dict[str, Any]) -> dict[str, Any]:
    """A file whose run has the model and a fit's details: of all targets, also where it was a slice (they stay there)."""
    run, targets = dict(saved["run"]), saved["targets"]
    lists = [name for name in DETAILS if isinstance(run.get(name), list) and len(run[name]) == len(targets)]
    details = {name: run.pop(name) for name in lists}
    if all(len(values) == len(targets) for _, _, values in run.get("pairs", ())) and "pairs" in run:
        pairs = run.pop("pairs")
        details["pairs"] = [[[i, j, values[t]] for i, j, values in pairs if values[t]] for t in range(len(targets))]
    if details:
        targets = [{**target, "details": {name: details[name][t] for name in details}} for t, target in enumerate(targets)]
    model = {"model": run["model"]} if "model" in run else None  # its name was all that a result of `cite` said
    return {**saved, "model": model, "run": run, "targets": targets}


def _column(rows: list[dict[str, Any]], *names: str) -> Any:
    """The named fields of every row as an array, or None where the rows do not have them."""
    if not rows or any(rows[0].get(name) is None for name in names):
        return None
    columns = [np.array([row[name] for row in rows]) for name in names]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _numbers(rows: list[dict[str, Any]], name: str) -> Any:
    """The named numbers of every row, nan where null stands for one; None where the rows do not have them."""
    return np.array([row[name] for row in rows], dtype=float) if rows and name in rows[0] else None
