"""Random numbers that depend on a seed and on names alone: shards, queries, processes and devices agree."""

import hashlib
from typing import Any

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A counter-based generator (Philox) keyed by the seed and the names."""
    key = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.Generator(np.random.Philox(key=[seed, int.from_bytes(key[:8], "little")]))


def gaussian(rows: int, columns: int, seed: int, *names: str) -> Any:
    """A float32 tensor [rows, columns] of standard normal numbers from `generator`."""
    import torch

    return torch.from_numpy(generator(seed, *names).standard_normal((rows, columns), dtype=np.float32))
