"""The page of many questions: each with its answer, what holds of it and what does not, and a filter that needs no script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmattr.core.evidence import CITING, VERDICTS
from llmattr.report.html import environment

State = Literal["fine", "plain", "lacks", "wrong"]
FILTERS = {
    "unsupported": "a sentence is not supported",
    "wrong": "a marker is wrong",
    "missing": "a marker is missing",
    "failed": "not answered",
}


@dataclass(frozen=True)
class Said:
    """A sentence of an answer: whether it holds, what is found of it in words, and what it is cited for."""

    text: str
    state: State
    told: str
    quotes: list[str]


@dataclass(frozen=True)
class Asked:
    """A row of the batch: what was asked, its sentences, or why there are none; `kinds` are the filters that show it."""

    line: int
    id: str
    query: str
    said: list[Said]
    error: str
    kinds: list[str]


def batch_page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole HTML document of the lines that `--questions` writes: self-contained, without scripts, every text escaped."""
    rows = [_asked(result) for result in results]
    counts = {kind: sum(kind in row.kinds for row in rows) for kind in FILTERS}
    kinds = {kind: (FILTERS[kind], count) for kind, count in counts.items() if count}
    first = next((result for result in results if "error" not in result), {"run": {}})
    run = {key: value for key, value in first["run"].items() if key in ("model", "dtype")}
    a = {"run": run, "method": {"name": first.get("method", {}).get("name") or first["run"].get("method", "none")}}
    view = {"rows": rows, "kinds": kinds}
    return environment().get_template("batch.html.j2").render(view, a=a, options=[], base=None)


def _asked(result: Mapping[str, Any]) -> Asked:
    line, name = result["line"], "" if result.get("id") is None else str(result["id"])
    if "error" in result:
        return Asked(line, name, "", [], result["error"], ["failed"])
    said = _checked(result) if "markers" in result else _cited(result)
    kinds = ["unsupported"] if any(one.state == "wrong" for one in said) else []
    kinds += [kind for kind in ("wrong", "missing") if kind in result.get("failures", ())]
    return Asked(line, name, result["run"].get("query") or "", said, "", kinds)


def _cited(result: Mapping[str, Any]) -> list[Said]:
    """The sentences of a result of `cite`, with the sources that it cites for each."""
    targets = result["targets"][1:] or result["targets"]
    return [_said(one, [source["text"] for source in _sources_of(one, result["sources"])]) for one in targets]


def _sources_of(target: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    places = target.get("index", range(len(sources)))
    return [sources[place] for place, cited in zip(places, target["cited"], strict=True) if cited]


def _said(target: Mapping[str, Any], quotes: list[str]) -> Said:
    evidence = target.get("evidence")
    if evidence is None:
        return Said(target["text"], "plain", "", quotes)
    return Said(target["text"], _state(evidence["verdict"]), VERDICTS[evidence["verdict"]], quotes)


def _checked(result: Mapping[str, Any]) -> list[Said]:
    """The sentences of a result of `check`, with what each of its markers is worth."""
    found = []
    for t, one in enumerate(result["sentences"]):
        own = [marker for marker in result["markers"] if marker["sentence"] == t]
        told = [f"{_mark(marker, result['written'])} {marker['meaning']}" for marker in own]
        state: State = "lacks" if one["missing_marker"] else _state(one["verdict"])
        lacks = ["supported without a marker"] if one["missing_marker"] else []
        found.append(Said(one["text"], state, "; ".join([*told, *lacks] or [VERDICTS[one["verdict"]]]), []))
    return found


def _mark(marker: Mapping[str, Any], written: str) -> str:
    """A marker as it was written, or what it calls its source."""
    named = marker["title"] or marker["key"] or marker["number"]
    return written[slice(*marker["written"])] if marker["written"] else f"[{named}]"


def _state(verdict: str) -> State:
    return "fine" if verdict in CITING else "plain" if verdict == "refusal" else "wrong"
