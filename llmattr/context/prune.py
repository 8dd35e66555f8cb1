"""The answer again, from what it cites alone: ContextCite's third use (Cohen-Wang et al. 2024, arXiv 2409.00729, section 5)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmattr.context.cite import ContextSession
from llmattr.core.attribution import Attribution, sentence_rows
from llmattr.core.processes import is_main, of_main
from llmattr.errors import LlmattrError


@dataclass(frozen=True)
class Pruned:
    """What the model says from the cited sources alone.

    `kept`: these sources. `response`: its answer (greedy). `full`, `pruned`, `empty`: the log-probability of the answer that
    was attributed with all sources, with the cited ones, and with none.
    """

    kept: tuple[int, ...]
    response: str
    full: float
    pruned: float
    empty: float

    @property
    def share(self) -> float | None:
        """Of what the whole context does for the answer, what the cited sources do; None where it does nothing for it."""
        return (self.pruned - self.empty) / (self.full - self.empty) if self.full > self.empty else None

    def to_dict(self) -> dict[str, Any]:
        """In plain lists."""
        return {**asdict(self), "kept": list(self.kept), "share": self.share}


def prune(result: Attribution, max_new_tokens: int = 256) -> Pruned:
    """Ask the model again with only the sources that some sentence cites.

    Raises `LlmattrError` where nothing is cited, and for a result that was loaded from a file.
    """
    if not isinstance(result.session, ContextSession):
        raise LlmattrError("only a fresh result of cite() can be pruned; run cite() again for this one")
    rows = sentence_rows(result)
    kept = np.asarray(result.cited[rows.start : rows.stop].any(axis=0))
    if not kept.any():
        raise LlmattrError("nothing is cited: there is nothing to answer from")
    ablation = result.session.ablation
    prompt, lm = ablation.prompt, ablation.lm
    rendered = prompt.render(kept)
    ids = lm.generate(rendered.ids[: rendered.response.start], max_new_tokens) if is_main() else []
    response = prompt.with_generated(of_main(ids)).response
    masks = np.stack([np.ones_like(kept), kept, np.zeros_like(kept)])
    full, pruned, empty = ablation.token_logprobs(masks).sum(axis=1).tolist()
    return Pruned(tuple(np.flatnonzero(kept).tolist()), response, full, pruned, empty)
