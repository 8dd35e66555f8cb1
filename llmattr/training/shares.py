"""Whose is it: how much of a question's support each group of training rows has."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources
from llmattr.errors import note
from llmattr.retrieval.duplicates import near_duplicates
from llmattr.text.columns import group_names

TIMES = 5  # times as many rows are looked at as different ones are wanted, and again where copies crowd these out
MOST = 2**15  # rows that are looked at


def above_median(scores: Float[np.ndarray, "t n"]) -> Float[np.ndarray, "t n"]:
    """What rows have beyond the median of all, which stands for a row that has nothing to do with it, and beyond 0."""
    return np.maximum(scores - np.maximum(np.median(scores, axis=1, keepdims=True), 0), 0)


def shares(look: Callable[[int], Attribution], column: str, top: int) -> Attribution:
    """Each group's share of the support of a target's `top` best rows, near-duplicates as one row: they add up to 1.

    `look`: from k to the support of the k best rows (of fewer, where there are no more), 0 or more, best first, with the rows'
    own columns. It is asked for as many as it takes to find `top` different ones. Copies of a row have their mean support
    together, each an equal part. Of m different rows u with the support `w_u`, of which `p_ug` is group g's, the share is
    `sum_u w_u p_ug / W`, and its error that of a ratio of sums over rows that are drawn (Cochran 1977, section 6.4),
    `sqrt(m / (m - 1) sum_u w_u^2 (p_ug - share_g)^2) / W`, nan of one row alone. Where no row supports a target all are 0.
    """
    rows, copies = _different(look, top)
    assert rows.index is not None  # of some rows only
    sources = rows.sources
    member = group_names([sources.metadata(i) for i in range(len(sources))], column, sources.ids)
    names = list(dict.fromkeys(member))
    of_group = (np.array(member)[:, None] == np.array(names)).astype(float)
    found = []
    for values, places, same in zip(rows.values, rows.index, copies, strict=True):
        found.append(_share(_parts(values, same, top) @ of_group[places]))
    for t in np.flatnonzero(~rows.values.any(axis=1)).tolist():
        note(f"no row supports query {t} beyond the median row, so there is nothing to share out (do most rows answer it?)")
    best: list[int] = np.where(of_group.T > 0, _highest(rows), -1.0).argmax(axis=1).tolist()
    return replace(
        rows,
        values=np.stack([share for share, _ in found]),
        stderr=np.stack([error for _, error in found]),
        p_values=_of_best(rows, of_group),
        index=None,
        sources=Sources(f"groups by {column}", names, [sources.texts[i] for i in best]),
        unit="shares of the support",
        meaning=f"what each {column} has of the support of the {top} best rows, near-duplicates as one; they add up to 1",
    )


def _different(look: Callable[[int], Attribution], top: int) -> tuple[Attribution, list[Int[np.ndarray, " k"]]]:
    """The best rows of each target, so many that `top` different ones support it, and which are copies of one another."""
    many = TIMES * top
    while True:
        rows = look(many)
        assert rows.index is not None  # of some rows only
        copies = [near_duplicates(rows.sources.subset(places).texts) for places in rows.index]
        there = rows.values.shape[1]
        ended = [values[-1] <= 0 or len(set(same.tolist())) >= top for values, same in zip(rows.values, copies, strict=True)]
        if there < many or all(ended):
            return rows, copies
        if many >= MOST:
            note(f"copies crowd out other rows: shares are of the {there} best rows alone")
            return rows, copies
        many *= TIMES


def _of_best(rows: Attribution, of_group: Float[np.ndarray, "s g"]) -> Float[np.ndarray, "t g"] | None:
    """The p-value of each group's best row, 1 where none of its rows was looked at."""
    if rows.p_values is None or rows.index is None:
        return None
    return np.where(of_group[rows.index] > 0, rows.p_values[:, :, None], 1.0).min(axis=1)


def _highest(rows: Attribution) -> Float[np.ndarray, " s"]:
    """Each row's highest support of any target, 0 or more."""
    assert rows.index is not None  # of some rows only
    highest = np.zeros(len(rows.sources))
    np.maximum.at(highest, rows.index, rows.values)
    return highest


def _parts(weights: Float[np.ndarray, " k"], copies: np.ndarray, top: int) -> Float[np.ndarray, "u k"]:
    """What each row has of the support of each of the `top` first different rows: of copies each a part of their mean."""
    kept = list(dict.fromkeys(copies.tolist()))[:top]
    same = np.array([copies == one for one in kept], dtype=float)
    return same * weights / same.sum(axis=1, keepdims=True)


def _share(parts: Float[np.ndarray, "u g"]) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
    """Shares and their errors, from what each group has of each different row."""
    each, whole = parts.sum(axis=1, keepdims=True), parts.sum()
    if not whole:
        return np.zeros(parts.shape[1]), np.zeros(parts.shape[1])
    share, m = parts.sum(axis=0) / whole, int((each > 0).sum())
    if m < 2:
        return share, np.full(parts.shape[1], np.nan)
    return share, np.sqrt(m / (m - 1) * np.square(parts - each * share).sum(axis=0)) / whole
