"""The arrays that metrics take and give: t targets, n sources."""

import numpy as np
from jaxtyping import Bool, Float

Scores = Float[np.ndarray, "t n"]  # positive = the source made the target likelier
Gold = Bool[np.ndarray, "t n"]  # what is right to find, or to cite
PerTarget = Float[np.ndarray, " t"]  # a measure of every target, nan where it is not defined
