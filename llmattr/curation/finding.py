"""What a look through training rows finds: which rows one may want to drop, and why."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from llmattr.errors import check_choice
from llmattr.metrics import spearman
from llmattr.text.row_files import Rows

KINDS = {  # in the order in which one would act on them
    "contaminated": "says what a row of the test set says",
    "duplicates": "says exactly what another row says",
    "near-duplicates": "says nearly what another row says",
    "same-meaning": "says in other words what another row says",
    "empty": "answers nothing",
    "conflicts": "answers a prompt otherwise than most rows that have it",
    "suspects": "the model finds its answer wrong",
    "outliers": "is unlike the other rows",
}
ALIKE = ("duplicates", "near-duplicates", "same-meaning")  # of these another row stays, which says the same


@dataclass(frozen=True)
class Finding:
    """Why one may want to drop a row. `other`: the row that stays or says otherwise, of "contaminated" the test row."""

    kind: str
    row: int
    why: str
    other: int | None = None


@dataclass(frozen=True, eq=False)
class Curation:
    """What was found in n rows, and what they were compared with (`test`).

    `signals`: how suspect each row's answer is by each of several ways, high = suspect [n]; an empty answer is the least.
    `chosen`: by what for, numbers of rows, the first to take first. `run`: how it was looked for.
    """

    rows: Sequence[Mapping[str, Any]]
    findings: Sequence[Finding]
    run: Mapping[str, Any]
    signals: Mapping[str, Float[np.ndarray, " n"]] = field(default_factory=dict)
    chosen: Mapping[str, Sequence[int]] = field(default_factory=dict)
    test: Sequence[Mapping[str, Any]] = ()
    models: Sequence[Mapping[str, Any]] = ()  # the records of those that were asked

    def name(self, row: int) -> str:
        """What the row is called where it stands: by its line in a file."""
        return _name(self.rows, row)

    def other(self, one: Finding) -> tuple[str, Mapping[str, Any]] | None:
        """The other row of a finding, if it has one, and what it is called."""
        if one.other is None:
            return None
        rows = self.test if one.kind == "contaminated" else self.rows
        return _name(rows, one.other), rows[one.other]

    def counts(self) -> dict[str, int]:
        """How many rows there are of each kind that was found, in the order of `KINDS`."""
        of_kind = {kind: {one.row for one in self.findings if one.kind == kind} for kind in KINDS}
        return {kind: len(rows) for kind, rows in of_kind.items() if rows}

    def dropped(self, kinds: Collection[str]) -> dict[int, list[Finding]]:
        """The rows that go when all of these kinds do, each with why; raises `LlmattrError` for what is no kind.

        Where the row that stays for others goes for another reason, the first of them that has none stays in its place.
        """
        for kind in kinds:
            check_choice("what is dropped", kind, KINDS)
        found = [one for one in self.findings if one.kind in kinds]
        bad = {one.row for one in found if one.kind not in ALIKE}
        heirs: dict[int | None, int] = {}
        for one in found:
            if one.kind in ALIKE and one.other in bad and one.row not in bad:
                heirs.setdefault(one.other, one.row)
        gone: dict[int, list[Finding]] = {}
        for one in found:
            heir = heirs.get(one.other) if one.kind in ALIKE else None
            if heir != one.row:
                gone.setdefault(one.row, []).append(one if heir is None else replace(one, other=heir))
        return dict(sorted(gone.items()))

    def left(self, kinds: Collection[str]) -> Iterator[Mapping[str, Any]]:
        """The rows that stay, in their order."""
        gone = self.dropped(kinds)
        return (row for number, row in enumerate(self.rows) if number not in gone)

    def agreement(self) -> dict[str, dict[str, float]]:
        """The rank correlation of every two signals."""
        pairs = ((one, other) for one in self.signals for other in self.signals if one != other)
        found: dict[str, dict[str, float]] = {one: {} for one in self.signals}
        for one, other in pairs:
            found[one][other] = float(spearman(self.signals[one][None], self.signals[other][None])[0])
        return found

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            "rows": len(self.rows),
            "counts": self.counts(),
            "findings": [asdict(one) for one in self.findings],
            "signals": {name: values.tolist() for name, values in self.signals.items()},
            "agreement": self.agreement(),
            "chosen": {name: list(rows) for name, rows in self.chosen.items()},
            "run": dict(self.run),
        }


def _name(rows: Sequence[Mapping[str, Any]], row: int) -> str:
    return rows.name(row) if isinstance(rows, Rows) else f"row {row}"
