"""Approximate search with faiss (an extra): it proposes rows by cells and 8-bit codes; they are scored as ever."""

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import LlmattrError
from llmattr.training.index.search import Weighed, inverse
from llmattr.training.index.store import GradientIndex

PROBED = 1 / 8  # share of the cells that a query looks into
SAMPLE = 50_000  # rows that the cells are made of


def candidates(index: GradientIndex, weighed: Weighed, alone: Weighed, k: int) -> Int[np.ndarray, " c"]:
    """Rows that are likely among the k highest or k lowest of some query.

    The cells hold `outer g`, of a cosine `outer g / |g|` or `outer g W / |g W|`. W is the root of `alone`, the weights of one
    query by itself, so that the cells are the same whatever is asked: they are made once and kept beside the index.
    Raises `LlmattrError` where faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise LlmattrError("approximate search needs faiss: pip install 'llmattr[faiss]'") from None
    engine = _kept(faiss, index) or _made(faiss, index, alone)
    engine.nprobe = max(1, round(engine.nlist * PROBED))
    queries = weighed.queries if alone.root is None else np.linalg.solve(alone.root, weighed.queries.T).T
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    rows = np.unique(np.concatenate([engine.search(side, min(k, len(index)))[1] for side in (queries, -queries)]))
    return rows[rows >= 0]


def _kept(faiss: ModuleType, index: GradientIndex) -> Any:
    """The cells that were made of these rows before; None where there are none, or a byte of them was changed."""
    for path in index.folder.glob("faiss.*.index"):
        with suppress(LlmattrError):
            engine = _read(faiss, path)
            if engine.ntotal == len(index):
                return engine
    return None


@lru_cache(maxsize=1)
def _read(faiss: ModuleType, path: Path) -> Any:
    if path.name != _name(path):  # faiss itself would not survive it
        raise LlmattrError(f"{str(path)!r} is damaged")
    return faiss.read_index(str(path))


def _name(path: Path) -> str:
    """The file's name: by the digest of its bytes."""
    with path.open("rb") as file:
        return f"faiss.{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.index"


def _made(faiss: ModuleType, index: GradientIndex, weighed: Weighed) -> Any:
    """The cells of the rows, written beside the index where that is allowed."""
    cells = int(np.clip(4 * len(index) ** 0.5, 1, max(1, len(index) // 39)))
    engine = faiss.index_factory(index.run["dim"], f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    some = np.random.default_rng(0).permutation(len(index))[:SAMPLE]
    engine.train(_rows(index, np.sort(some), weighed))
    for start in range(0, len(index), SAMPLE):
        engine.add(_rows(index, np.arange(start, min(start + SAMPLE, len(index))), weighed))
    part = index.folder / f"faiss.{os.getpid()}.part"
    with suppress(OSError, RuntimeError):  # an index that may only be read is asked all the same
        faiss.write_index(engine, str(part))
        for stale in index.folder.glob("faiss.*.index"):
            stale.unlink(missing_ok=True)
        part.replace(index.folder / _name(part))
    return engine


def _rows(index: GradientIndex, rows: Int[np.ndarray, " b"], weighed: Weighed) -> Float[np.ndarray, "b d"]:
    block = index.vectors[rows].astype(np.float32) * index.scales[rows, None]
    if weighed.root is not None:
        block = block @ weighed.root.astype(np.float32)
    if weighed.cosine:
        block *= inverse(np.linalg.norm(block, axis=1))[:, None]
    return block if weighed.outer is None else block * weighed.outer[rows, None].astype(np.float32)
