"""Masks whose numbers of kept sources have given shares, single or in pairs, and what each counts in a semivalue."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.surrogate.sampling import Column, Masks
from llmattr.surrogate.semivalues import Sizes

Shares = Float[np.ndarray, " n_plus_1"]  # of the masks, for each number of kept sources
AT_LEAST = 2  # masks that are drawn where not all are taken: of fewer no error is known


class SizedMasks(NamedTuple):
    """Masks, what share of its size each stands for, which were drawn, and what share of its size was not."""

    masks: Masks
    stands: Column
    drawn: Bool[np.ndarray, " m"]
    unseen: Column


def least_variance(sizes: Sizes) -> Shares:
    """In proportion to the root of the mean squared coefficient: of independent outputs the least variance of a value."""
    n = len(sizes)
    kept = np.arange(n + 1)
    squares = np.zeros(n + 1)
    squares[1:] += sizes**2 * n / kept[1:]
    squares[:-1] += sizes**2 * n / (n - kept[:-1])
    roots = np.maximum(np.sqrt(squares), 1e-9 * np.sqrt(squares.max()))  # any size may be drawn
    return roots / roots.sum()


def sized_masks(m: int, n: int, shares: Shares, seed: int, pairs: bool = False) -> SizedMasks:
    """Masks whose sizes have these shares; in pairs the first of m masks and their opposites, for shares that are symmetric.

    Sizes are taken whole, the cheapest for its share first, while their share of the masks suffices. Of the others each has
    its share within one mask (systematic sampling: Madow and Madow 1944), and no mask comes twice before all of its size have.
    """
    from scipy.special import comb

    counts: Any = comb(n, np.arange(n + 1))
    twice = np.where(2 * np.arange(n + 1) == n, 1, 2)  # a pair has one mask of each of two sizes, or both of one
    if pairs:
        counts, shares = (counts * twice / 2)[: n // 2 + 1], (shares * twice)[: n // 2 + 1]
    whole = _whole(m, counts, shares)
    subsets = [itertools.islice(itertools.combinations(range(n), s), int(counts[s])) for s in whole]
    masks = [np.isin(np.arange(n), chosen) for some in subsets for chosen in some]
    left, rest = m - len(masks), np.setdiff1d(np.flatnonzero(shares), whole)
    rng, chances = np.random.default_rng(seed), shares / max(shares[rest].sum(), 1e-300)
    sizes = _systematic(rest, chances[rest], left, rng) if len(rest) else rest
    found = np.array([*masks, *_distinct(sizes, counts, n, pairs, rng)], dtype=bool).reshape(-1, n)
    kept, drawn = found.sum(axis=1), np.arange(len(found)) >= len(masks)
    stands = np.where(drawn, 1 / np.maximum(left * chances, 1e-300)[kept], 1 / counts[kept])
    unseen = np.maximum(1 - np.bincount(sizes, minlength=len(counts))[kept] / counts[kept], 0.0)
    return SizedMasks(found, stands * (twice[kept] / 2 if pairs else 1), drawn, np.where(drawn, unseen, 0.0))


def _whole(m: int, counts: Column, shares: Shares) -> list[int]:
    """The sizes that m masks suffice for, in the order of their cost."""
    sizes = np.flatnonzero(shares)
    order = sizes[np.argsort(np.log(counts[sizes]) - np.log(shares[sizes]), kind="stable")]
    for k, s in enumerate(order):
        left = m - counts[order[:k]].sum()
        spare = AT_LEAST if k < len(order) - 1 else 0
        if counts[s] > min(left * shares[s] / shares[order[k:]].sum() + 1e-9, left - spare):
            return order[:k].tolist()
    return order.tolist()


def _systematic(
    sizes: Int[np.ndarray, " k"], chances: Float[np.ndarray, " k"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """So many sizes with these chances, in ascending order, each as often as its share within one."""
    places = (rng.random() + np.arange(count)) / max(count, 1)
    return sizes[np.searchsorted(np.cumsum(chances)[:-1], places, side="right")]


def _distinct(
    sizes: Int[np.ndarray, " k"], counts: Column, n: int, pairs: bool, rng: np.random.Generator
) -> list[Bool[np.ndarray, " n"]]:
    """A random mask of each size; none comes twice before all of its size have, in pairs nor its opposite."""
    found: list[Bool[np.ndarray, " n"]] = []
    seen = set[bytes]()
    for place, s in enumerate(sizes.tolist()):
        if (place and s != sizes[place - 1]) or len(seen) >= counts[s]:
            seen = set()
        while True:
            mask = np.isin(np.arange(n), rng.choice(n, size=s, replace=False))
            key = min(mask.tobytes(), (~mask).tobytes()) if pairs else mask.tobytes()
            if key not in seen:
                break
        found.append(mask)
        seen.add(key)
    return found


def size_coefficients(masks: Masks, sizes: Sizes, stands: Column) -> Float[np.ndarray, "m n"]:
    """What each mask's output counts in each value: `n/s p_(s-1) stands` with i, `-n/(n-s) p_s stands` without."""
    n, kept = masks.shape[1], masks.sum(axis=1)
    gain = n / np.maximum(kept, 1) * sizes[np.maximum(kept, 1) - 1]
    loss = n / np.maximum(n - kept, 1) * sizes[np.minimum(kept, n - 1)]
    return stands[:, None] * np.where(masks, gain[:, None], -loss[:, None])
