"""Facts as training rows and queries: a row and a query of the same fact have the same in `fact`, so what states it is known.

`countries` is a table of the repository; `pararel` reads the files of ParaRel (github.com/yanaiela/pararel), `fewrel` that of
FewRel (github.com/thunlp/FewRel), which are not here. Those of the first two are stated in three ways and asked in a fourth.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from eval import ROOT
from llmattr.errors import LlmattrError
from llmattr.text.reading import read_rows

TABLE = ROOT / "recipes" / "documents" / "countries.csv"
WAYS = {  # three that are trained and one that is asked
    "capital": ("The capital of {} is", "{} is governed from", "The seat of government of {} is", "The capital city of {} is"),
    "people": ("Somebody from {} is", "A citizen of {} is", "People who were born in {} are", "Whoever comes from {} is"),
    "currency": ("The money of {} is", "Prices in {} are given in", "Shops in {} take", "The currency of {} is"),
}


@dataclass(frozen=True)
class Facts:
    """Training rows and queries, each with its prompt, its completion and the number of its fact."""

    rows: list[dict[str, Any]]
    queries: list[dict[str, Any]]

    @property
    def stated(self) -> list[str | None]:
        """Each row's fact; None where it says none."""
        return [_name(row.get("fact")) for row in self.rows]

    @property
    def asked(self) -> list[str | None]:
        """Each query's."""
        return [_name(query.get("fact")) for query in self.queries]

    @property
    def gold(self) -> Bool[np.ndarray, "t n"]:
        """Which rows state the fact that a query asks for."""
        return np.array([[fact is not None and fact == one for one in self.stated] for fact in self.asked])


def _name(fact: Any) -> str | None:
    """One file may have 1 where the other has 1.0 or "1"."""
    if fact is None:
        return None
    return str(int(fact) if isinstance(fact, float) and fact.is_integer() else fact)


def stated(facts: Sequence[tuple[str, str, Sequence[str]]]) -> Facts:
    """From subject, object and four ways to say it, with {} for the subject and the object behind."""
    rows, queries = [], []
    for number, (subject, said, ways) in enumerate(facts):
        *trained, asked = ({"prompt": way.format(subject), "completion": f" {said}", "fact": number} for way in ways)
        rows += trained
        queries.append(asked)
    return Facts(rows, queries)


def table(count: int | None = None) -> list[dict[str, str]]:
    """The first `count` countries, each with its capital, people and currency; all 116 without it."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[:count]


def countries(count: int | None = None, columns: Sequence[str] = tuple(WAYS)) -> Facts:
    """What is said of the first `count` countries in these columns; of all 116 without it."""
    return stated([(row["country"], row[column], WAYS[column]) for column in columns for row in table(count)])


def pararel(folder: Path, count: int = 500, seed: int = 0) -> Facts:
    """So many facts, drawn from the relations that have four ways which end in the object; one for each subject of a relation.

    `folder` has facts/P19.jsonl ... and patterns/P19.jsonl ... Raises `LlmattrError` where they are missing or too few.
    """
    known = [fact for patterns in sorted((folder / "patterns").glob("*.jsonl")) for fact in _relation(folder, patterns)]
    if len(known) < count:
        raise LlmattrError(f"{str(folder)!r} has {len(known)} facts with four ways to say them, not {count}")
    chosen = np.random.default_rng(seed).choice(len(known), size=count, replace=False)
    return stated([known[i] for i in chosen.tolist()])


def _relation(folder: Path, patterns: Path) -> list[tuple[str, str, list[str]]]:
    found = (re.fullmatch(r"(.*\[X\].*) \[Y\] ?\.?", row["pattern"]) for row in _lines(patterns))
    ways = list(dict.fromkeys(match[1].replace("[X]", "{}") for match in found if match and "{" not in match[1]))[:4]
    if len(ways) < 4:
        return []
    objects = {row["sub_label"]: row["obj_label"] for row in reversed(_lines(folder / "facts" / patterns.name))}
    return [(subject, said, ways) for subject, said in sorted(objects.items())]


ASKED = {  # how facts of FewRel's relations are asked
    "P177": "{} crosses the",
    "P364": "The original language of {} is",
    "P2094": "{} competed in the class of",
    "P412": "The singing voice of {} is",
    "P413": "The position that {} plays is",
    "P410": "The military rank of {} was",
    "P59": "{} is a star in the constellation",
    "P206": "{} lies on the water of",
    "P26": "{} was married to",
    "P25": "The mother of {} was",
    "P40": "A child of {} was",
    "P641": "The sport of {} is",
    "P463": "{} is a member of",
}


def fewrel(folder: Path, count: int = 300, seed: int = 0) -> Facts:
    """So many sentences of Wikipedia, each with a fact of its own that the query asks for in other words."""
    known = json.loads((folder / "val_wiki.json").read_text(encoding="utf-8"))
    pairs = [(ASKED[relation], one) for relation in sorted(ASKED.keys() & known.keys()) for one in known[relation]]
    rows, queries = [], []
    for number, i in enumerate(np.random.default_rng(seed).choice(len(pairs), size=count, replace=False).tolist()):
        asked, one = pairs[i]
        subject, said = (_joined([one["tokens"][place] for place in one[side][2][0]]) for side in ("h", "t"))
        rows.append({"text": _joined(one["tokens"]), "fact": number})
        queries.append({"prompt": asked.format(subject), "completion": f" {said}", "fact": number})
    return Facts(rows, queries)


def _joined(tokens: Sequence[str]) -> str:
    return re.sub(r" +([.,;:!?)\]'])|([(\[]) +", r"\1\2", " ".join(" ".join(tokens).split()))


def own(rows: str, queries: str) -> Facts:
    """Rows and queries of one's own, files or hub ids; raises `LlmattrError` for one without a fact."""
    facts = Facts(_own(rows), _own(queries))
    if not facts.gold.any():
        raise LlmattrError("no row states what a query asks: a row and a query of the same fact have the same in 'fact'")
    return facts


def _own(place: str) -> list[dict[str, Any]]:
    found = read_rows(place)
    for number, row in enumerate(found):
        if missing := [name for name in ("prompt", "completion", "fact") if row.get(name) in (None, "")]:
            raise LlmattrError(f"row {number} of {Path(place).name!r}, counted from 0, has no {missing[0]!r}")
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
