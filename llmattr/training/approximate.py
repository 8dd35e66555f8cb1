"""Approximate search with faiss (an extra): it proposes rows by cells and 8-bit codes; they are scored as ever."""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import Int

from llmattr.errors import LlmattrError
from llmattr.files import whole
from llmattr.training.index import GradientIndex
from llmattr.training.search import Weighed

PROBED = 1 / 8  # share of the cells that a query looks into
SAMPLE = 50_000  # rows that the cells are made of


def candidates(index: GradientIndex, weighed: Weighed, k: int) -> Int[np.ndarray, " c"]:
    """Rows that are likely among the k highest or k lowest of some query. The cells are kept beside the index.

    Raises `LlmattrError` where faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise LlmattrError("approximate search needs faiss: pip install 'llmattr[faiss]'") from None
    factor = np.ones(len(index), dtype=np.float32)
    for part in (weighed.factor, weighed.outer):
        factor = factor if part is None else factor * part.astype(np.float32)
    engine = _engine(faiss, index, factor)
    engine.nprobe = max(1, round(engine.nlist * PROBED))
    queries = np.ascontiguousarray(weighed.queries, dtype=np.float32)
    found = [engine.search(side, min(k, len(index)))[1] for side in (queries, -queries)]
    rows = np.unique(np.concatenate(found))
    return rows[rows >= 0]


def _engine(faiss: Any, index: GradientIndex, factor: np.ndarray) -> Any:
    """The cells of rows times their factor, read or made."""
    path = index.folder / f"faiss.{hashlib.sha256(factor.tobytes()).hexdigest()[:12]}.index"
    if path.exists():
        return faiss.read_index(str(path))
    cells = int(np.clip(4 * len(index) ** 0.5, 1, max(1, len(index) // 39)))
    engine = faiss.index_factory(index.run["dim"], f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    some = np.random.default_rng(0).permutation(len(index))[:SAMPLE]
    engine.train(_rows(index, np.sort(some), factor))
    for start in range(0, len(index), SAMPLE):
        engine.add(_rows(index, np.arange(start, min(start + SAMPLE, len(index))), factor))
    with whole(path) as part:
        faiss.write_index(engine, str(part))
    return engine


def _rows(index: GradientIndex, rows: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return index.vectors[rows].astype(np.float32) * (index.scales[rows] * factor[rows])[:, None]
