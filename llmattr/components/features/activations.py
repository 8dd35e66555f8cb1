"""What stands at a place of a model over the tokens of many texts, kept on disk: a run that was killed goes on there."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from llmattr.components.features.splice import standing
from llmattr.components.sites import Site
from llmattr.core.files import write
from llmattr.core.progress import Progress
from llmattr.model.lm import LM
from llmattr.text.reading import Data, read_rows
from llmattr.text.rows import tokenize

STATES, DONE = "states.npy", "states.json"
PIECE = 256  # tokens of a pass: attention takes their square
EVERY = 30.0  # seconds between two notes of how far it is


def read_pieces(lm: LM, data: Data) -> list[list[int]]:
    """The tokens of rows as for training, in pieces of at most `PIECE`; the prompt of a row counts as its text does."""
    texts = tokenize(read_rows(data), lm.tokenizer, None, False, lm.kind).ids
    pieces = [list(ids[start : start + PIECE]) for ids in texts for start in range(0, len(ids), PIECE)]
    lm.check(pieces)
    return pieces


def activations(lm: LM, host: Site, texts: Sequence[Sequence[int]], most: int, folder: Path) -> Float32[np.ndarray, "tokens d"]:
    """Of every token but the first of each text, at most so many, as a memory map in this folder; one pass a text.

    The first is left out: many models hold numbers there a thousand times as large as elsewhere.
    """
    total = min(most, sum(len(ids) - 1 for ids in texts))
    first, tokens = _done(folder)
    width = lm.model.config.get_text_config().hidden_size
    mode = "r+" if first else "w+"
    states = np.lib.format.open_memmap(folder / STATES, mode, np.dtype(np.float32), (total, width))
    noted = time.monotonic()
    with Progress(total, "reading", "tokens", done=tokens) as bar:
        for number, ids in enumerate(texts[first:], first + 1):
            if tokens == total:
                break
            found = standing(lm, host, ids)[1:][: total - tokens]
            states[tokens : tokens + len(found)] = found.float().cpu().numpy()
            tokens += len(found)
            bar.update(len(found))
            if tokens == total or time.monotonic() - noted >= EVERY:
                states.flush()
                write(folder / DONE, json.dumps([number, tokens]))
                noted = time.monotonic()
    return np.load(folder / STATES, mmap_mode="r")


def _done(folder: Path) -> tuple[int, int]:
    """How many texts and tokens of them are there."""
    try:
        texts, tokens = json.loads((folder / DONE).read_text())
    except FileNotFoundError:
        return 0, 0
    return texts, tokens
