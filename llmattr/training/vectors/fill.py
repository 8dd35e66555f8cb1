"""From examples to rows of an index: batches of similar length, capture, projection; resumable at every batch."""

import numpy as np
from jaxtyping import Float

from llmattr.core.progress import Progress
from llmattr.model.batches import plan
from llmattr.text.rows import Examples
from llmattr.training.gradients.recorders import not_finite
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Measure
from llmattr.training.vectors.contract import Vectors


def fill(
    index: GradientIndex,
    vectors: Vectors,
    examples: Examples,
    measure: Measure,
    tokens: int,
    *,
    process: int = 0,
    processes: int = 1,
) -> None:
    """Compute this process's share of the last rows of the index that are not there yet; the examples are those rows.

    In batches of so many tokens, which are halved until memory suffices.
    """
    from accelerate.utils import find_executable_batch_size
    from accelerate.utils.memory import should_reduce_batch_size

    first = len(index) - len(examples)

    def compute(tokens: int) -> None:
        share = plan(examples, tokens)[process::processes]
        missing = [batch for batch in share if not index.done[first + np.array(batch)].all()]
        done = sum(map(len, share)) - sum(map(len, missing))
        with Progress(sum(map(len, share)), "indexing", "rows", done) as bar:
            for batch, rows, doubt in vectors.rows(examples, missing, measure):
                index.write([first + row for row in batch], rows, doubt)
                bar.update(len(batch))

    try:
        compute(tokens)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        # Only now: its garbage collection costs as much as a small index.
        find_executable_batch_size(compute, starting_batch_size=tokens // 2)()


def project(vectors: Vectors, examples: Examples, measure: Measure) -> Float[np.ndarray, "n d"]:
    """The rows of a few examples, in memory, less those of what they are set against."""
    rows = np.empty((len(examples), vectors.dim), dtype=np.float32)
    for batch, block, _ in vectors.rows(examples, plan(examples), measure):
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise not_finite(f"what the method takes of {examples.name(batch[int(finite.argmin())])}")
        rows[batch] = block
    for row, other in examples.others.items():
        rows[row] -= project(vectors, other, measure)[0]
    return rows
