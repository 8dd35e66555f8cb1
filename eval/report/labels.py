"""Names beside the points of a plot, where there is room for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Boxes = Float[np.ndarray, "n 4"]  # left, low, right, high, in pixels
# Where a name may stand: how far from its point, and in which direction.
DISTANCES, ANGLES = (axis.ravel() for axis in np.meshgrid(np.arange(8.0, 150, 7), np.arange(0, 2 * np.pi, np.pi / 8)))
FAR = DISTANCES + 2 * abs(np.sin(ANGLES))  # beside a point is a little better than above or below it
HIDDEN, CROSSED = 1000, 8  # what covering a point or a name costs, and covering an interval, in pixels of distance


def label(axes: Any, spots: Sequence[tuple[float, float]], names: Sequence[str], colours: Sequence[str]) -> None:
    """Write each name as near to its point as it stands free, with a line to the point where that is far.

    The axes must have their final place in the figure. Lines of two points are taken for the points' intervals.
    """
    points = axes.transData.transform(spots)
    inside = _boxes([axes])[0]
    taken = np.vstack([np.hstack([points - 5, points + 5]), _boxes(axes.texts)])
    intervals = _boxes([line for line in axes.lines if len(line.get_xdata()) == 2])
    for spot, point, name, colour in zip(spots, points, names, colours, strict=True):
        style = {"textcoords": "offset points", "fontsize": 8.5, "color": colour, "va": "center"}
        text = axes.annotate(name, spot, (0, 0), **style)
        left, low, right, high = _boxes([text])[0]
        boxes = _beside(point, right - left, high - low)
        outside = (boxes[:, :2] < inside[:2]).any(axis=1) | (boxes[:, 2:] > inside[2:]).any(axis=1)
        costs = HIDDEN * (outside + _overlaps(boxes, taken)) + CROSSED * _overlaps(boxes, intervals) + FAR
        box = boxes[np.argmin(costs)]
        taken = np.vstack([taken, box + np.array([-4, 0, 4, 0])])
        text.set_position((box[0] - point[0], (box[1] + box[3]) / 2 - point[1]))
        edge = np.clip(point, box[:2], box[2:]) - point
        if np.hypot(*edge) > 14:
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
            axes.annotate("", spot, edge, textcoords="offset points", arrowprops=line)


def _boxes(artists: Sequence[Any]) -> Boxes:
    return np.array([artist.get_window_extent().extents for artist in artists]).reshape(-1, 4)


def _beside(point: np.ndarray, width: float, height: float) -> Boxes:
    """A name's boxes in every place around its point."""
    x = point[0] + np.cos(ANGLES) * (DISTANCES + width / 2)
    y = point[1] + np.sin(ANGLES) * (DISTANCES + height / 2)
    return np.column_stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _overlaps(boxes: Boxes, others: Boxes) -> Int[np.ndarray, " n"]:
    """With how many of the others each box shares some area."""
    apart = (boxes[:, None, :2] >= others[None, :, 2:]) | (boxes[:, None, 2:] <= others[None, :, :2])
    return (~apart.any(axis=2)).sum(axis=1)
