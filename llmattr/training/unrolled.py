"""Scores over the checkpoints of one run, whose later steps stand between a query and what a row did at an earlier one."""

from collections.abc import Sequence

from llmattr.core.returned import returned
from llmattr.errors import LlmattrError, note
from llmattr.text.rows import Examples
from llmattr.training.checkpoint import Checkpoint
from llmattr.training.contract import UnrolledMethod
from llmattr.training.gradients.flat import Parts, Transform, split
from llmattr.training.index.search import Scores, gathered
from llmattr.training.loaded import layered
from llmattr.training.stream import Layered, checked, contracted, whole_gradients


def unrolled(
    method: UnrolledMethod, checkpoints: Sequence[Checkpoint], asked: Examples, rows: Sequence[int] | None
) -> list[Scores]:
    """`<R_c S_c+1 ... S_C g_C(z_q), g_c(z_i)>` of every checkpoint c, from the last to the first; one model runs at a time."""
    parts: list[Scores] = []
    gradients: Parts | None = None
    if any("span" not in checkpoint.index.run for checkpoint in checkpoints):
        note(f"{method.name}: no learning rates and steps are known, and 1 is taken for their product: give --learning-rates")
    for checkpoint in reversed(checkpoints):
        at = layered(checkpoint.index, checkpoint.load())
        if gradients is None:
            gradients = split(whole_gradients(method, at, asked), at.layers)
        here, before = _functions(method, at, checkpoint.index.run.get("span", 1.0))
        sides = {name: here(name, gradient) for name, gradient in gradients.items()}
        train = at.lm.tokenize(checkpoint.index.rows())
        parts.append(Scores(gathered(contracted(sides, at, train, rows)), added=True))
        gradients = {name: before(name, gradient) for name, gradient in gradients.items()}
    return parts


def _functions(method: UnrolledMethod, at: Layered, span: float) -> tuple[Transform, Transform]:
    """`R_c` and `S_c`, checked."""
    both = returned(method, "unroll", method.unroll(dict(at.fitted), dict(at.groups), span), tuple)
    if len(both) != 2:
        raise LlmattrError(f"{method.name}: unroll gave {len(both)} functions, and must give two")
    return checked(method, "unroll", both[0]), checked(method, "unroll", both[1])
