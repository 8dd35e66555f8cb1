"""llmattr itself as a runner: the index or EK-FAC, and the queries' scores."""

from pathlib import Path
from typing import Any

import numpy as np

from eval.speed.peers.common import Job, folder_bytes, main
from eval.training.scoring import dense
from llmattr.model.batches import batch_tokens
from llmattr.model.lm import LM
from llmattr.text.rows import Examples, tokenize
from llmattr.training.index.search import Products, Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods import Ekfac
from llmattr.training.projection import Projection
from llmattr.training.trace import trace
from llmattr.training.vectors.fill import fill, project
from llmattr.training.vectors.projector import Projector, save_fitted


def write_index(projector: Projector, examples: Examples, folder: Path) -> GradientIndex:
    """What `build_index` does once its projection is fitted."""
    run = {"data_hash": examples.fingerprint(), "row_type": "int8", "dim": projector.dim, **projector.settings}
    index = GradientIndex.create(folder, run, examples.rows)
    save_fitted(folder, projector.fitted)
    fill(index, projector, examples, "loss", batch_tokens(projector.lm.device))
    index.finish()
    return GradientIndex.open(folder)


def work(job: Job) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Fit, index and score, each timed apart; EK-FAC is one call."""
    lm = LM.load((job.model(), job.tokenizer()))
    rows, queries = ([{"text": text} for text in lm.tokenizer.batch_decode(ids)] for ids in (job.rows, job.queries))
    if job.options["method"] == "ekfac":
        with job.clock("all"):
            answer = trace(lm, rows, queries, Ekfac(parameters="blocks"))
        return dense(answer), {}
    examples, folder = tokenize(rows, lm.tokenizer), job.scratch("index")
    projection = Projection(job.options["kind"], dim=job.options["dim"], width=job.options["width"])
    with job.clock("fit"):
        projector = Projector.fit(lm, projection, "", examples)
    with job.clock("index"):
        index = write_index(projector, examples, folder)
    size = {"index_bytes": folder_bytes(folder)}
    if not len(job.queries):
        return None, size
    with job.clock("score"):
        asked = project(projector, tokenize(queries, lm.tokenizer), "loss")
        scores = np.concatenate([scores for _, scores in Products(index, Weighed(asked))], axis=1)
    return scores, size


if __name__ == "__main__":
    main("llmattr", work)
