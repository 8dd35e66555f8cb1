"""Arrays of numbers as users give them, in files of NumPy."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from llmattr.errors import LlmattrError


def read_array(path: Path, what: str, dimensions: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """The one array of numbers in a .npy or .npz file, with one of these counts of dimensions."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found as saved:
                found = saved[saved.files[0]] if len(saved.files) == 1 else None
    except OSError as error:
        raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror or 'it is no NumPy file'}") from None
    except Exception:  # damaged bytes lead the reader anywhere
        raise LlmattrError(f"cannot read {str(path)!r}: it is not one array of numbers as numpy.save writes it") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise LlmattrError(f"{str(path)!r} must hold one array of numbers: {what}")
    if found.ndim not in dimensions or not found.size:
        raise LlmattrError(f"{str(path)!r} has the shape {list(found.shape)}: it must be {what}")
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise LlmattrError(f"{str(path)!r} holds {bad} value{'s' * (bad != 1)} that are no numbers (nan or infinite)")
    return found.astype(float)
