"""How far to trust an attribution, in a line or two."""

import numpy as np

from llmattr.types import Attribution


def fit_quality(attribution: Attribution) -> list[str]:
    """One line on how well the scores predict ablations that they were not fitted to; none where nothing was fitted."""
    known = [] if attribution.lds is None else attribution.lds[np.isfinite(attribution.lds)].tolist()
    if not known:
        return []
    spread = " to ".join(dict.fromkeys((f"{min(known):.2f}", f"{max(known):.2f}")))
    lines = [f"Held-out ablations are predicted with a rank correlation of {spread} (LDS; 1 = perfectly)."]
    ceiling = np.array(attribution.run.get("ceiling", []), dtype=float)
    if np.isfinite(ceiling).any():
        lines.append(f"The noise between seeds allows {np.nanmean(ceiling):.2f} on average.")
    return lines
