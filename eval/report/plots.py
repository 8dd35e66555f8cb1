"""Pictures of the results, as SVG: LDS against cost, recall against rank, agreement between methods, what was foretold."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.harness.record import Figure
from eval.report.labels import label
from eval.report.panels import COSTS, SCATTER, Panel, panels, recall
from eval.report.tables import family, number
from eval.report.views import FAMILIES, REFERENCE, Parts

ACROSS = 4  # small multiples in a row

# Okabe and Ito's palette: told apart with any kind of colour vision.
COLOURS: dict[str, str] = dict(zip(FAMILIES, ("#d08a00", "#0072b2", "#009e73", "#c0609a"), strict=True)) | {
    REFERENCE: "#7a7a7a"
}
SHAPES: dict[str, str] = dict(zip((*FAMILIES, REFERENCE), "os^Dx", strict=True))
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
INK, PAPER = "#1d1f23", "#fffffe"  # odd enough to be exchanged for the page's own colours
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "llmattr",
    "svg.fonttype": "none",  # text stays text: small files, and no font that stands in is wider than matplotlib's own
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,  # a method's name may have a $
    "figure.dpi": 72,  # one pixel is one point, as in SVG
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def write(results: Mapping[str, Parts], folder: Path) -> list[Path]:
    """Draw what there is into the folder; the files that were written."""
    try:
        import matplotlib as mpl
    except ImportError:
        warnings.warn("no plots: matplotlib is not installed (pip install 'llmattr[dev]')", stacklevel=2)
        return []
    mpl.use("svg")
    from matplotlib import pyplot as plt

    written = []
    for name, shown in panels(results).items():
        with plt.style.context(["default", STYLE]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script that the font has not
            figure = _scatter(plt, shown) if name.endswith(SCATTER) else _drawn(plt, name, shown)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)
        written.append(folder / f"{name}.svg")
    return written


def _drawn(plt: Any, name: str, shown: Sequence[Panel]) -> Any:
    """The figure with one panel under the other."""
    draw = {"lds_cost": _lds_cost, "recall_rank": _recall_rank, "agreement": _agreement}[name]
    heights = [1.2 + 0.34 * len(panel.rows) if name == "agreement" else 5.0 for panel in shown]
    size = {"figsize": (9, sum(heights)), "height_ratios": heights}
    figure, places = plt.subplots(len(shown), squeeze=False, layout="constrained", **size)
    for axes, panel in zip(places[:, 0], shown, strict=True):
        draw(axes, panel)
    _legend(figure, shown)
    if name == "lds_cost":
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # names are put where there is room, and move nothing
        for axes, panel in zip(places[:, 0], shown, strict=True):
            label(axes, _spots(panel), [row["method"] for row in panel.rows], [_colour(row) for row in panel.rows])
    return figure


def _colour(row: Figure) -> str:
    return COLOURS.get(family(row), COLOURS[REFERENCE])


def _legend(figure: Any, shown: Sequence[Panel]) -> None:
    from matplotlib.lines import Line2D

    there = {family(row) for panel in shown for row in panel.rows}
    marks = [Line2D([], [], marker=SHAPES[name], color=COLOURS[name], ls="", label=name) for name in COLOURS if name in there]
    figure.legend(handles=marks, loc="outside upper right", ncols=5, frameon=False, handletextpad=0)


def _plain_numbers(axes: Any) -> None:
    """`text.parse_math` is off, so matplotlib's own powers of ten would be shown as their source."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")


def _spots(panel: Panel) -> list[tuple[float, float]]:
    """Where each row's point stands. References cost nothing: they are no methods."""
    return [(0 if family(row) == REFERENCE else row[panel.cost], row["LDS"]) for row in panel.rows]


def _lds_cost(axes: Any, panel: Panel) -> None:
    """A point with its interval for each method, on a log axis that reaches 0; a line joins a method's budgets."""
    spots = _spots(panel)
    reached = [*spots, *(point for points in panel.curves.values() for point in points)]
    costs = [cost for cost, _ in reached]
    least = 10.0 ** np.floor(np.log10(min((cost for cost in costs if cost > 0), default=1.0)))
    trained = ", with the models that had to be trained for them" * any("models" in row for row in panel.rows)
    axes.set(xlabel=COSTS[panel.cost] + trained, ylabel="LDS (1 = foretells every ablation)", title=panel.title)
    axes.set_xscale("symlog", linthresh=least, linscale=0.4)
    _plain_numbers(axes)
    for row in panel.rows:
        if row["method"] in panel.curves:
            axes.plot(*zip(*panel.curves[row["method"]], strict=True), ".-", color=_colour(row), linewidth=1, alpha=0.5)
    for row, (cost, height) in zip(panel.rows, spots, strict=True):
        if len(bounds := re.findall(r"-?[\d.]+", str(row.get("LDS 95 %", "")))) == 2:
            axes.plot([cost, cost], [float(bound) for bound in bounds], color=_colour(row), linewidth=1.5, alpha=0.4)
        axes.plot(cost, height, SHAPES.get(family(row), "x"), color=_colour(row), markersize=6, alpha=0.9)
    name, most = panel.limit or ("", 0.0)  # what methods are held against
    heights = [most, *(height for _, height in reached)]
    room = 0.08 * (max(heights) - min(heights)) + 0.01
    axes.set_ylim(min(heights) - room, max(heights) + 2 * room)  # an interval may leave the picture, a point may not
    dearest = max(*costs, least)
    axes.set_xlim(-least / 2 if min(costs) == 0 else least, dearest * 1.2 * (dearest / least) ** 0.2)  # room for names
    if panel.limit is not None:
        axes.axhline(most, color=INK, linewidth=0.8, linestyle="--")
        style = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 9}
        axes.text(1, most, f"{name} {most:.2f}", **style)


def _recall_rank(axes: Any, panel: Panel) -> None:
    """The gold sources among the k highest. The names stand at the side where the lines are farther apart, in their order."""
    from sklearn.isotonic import isotonic_regression

    curves = [recall(row) for row in panel.rows]
    left = np.std([curve[0, 1] for curve in curves]) > np.std([curve[-1, 1] for curve in curves])
    end = 0 if left else -1
    order = sorted(range(len(curves)), key=lambda i: (curves[i][end, 1], panel.rows[i]["method"]))
    seen: dict[str, int] = {}
    for row, curve in zip(panel.rows, curves, strict=True):
        nth = seen[family(row)] = seen.get(family(row), -1) + 1
        axes.plot(*curve.T, color=_colour(row), linestyle=DASHES[nth % len(DASHES)], linewidth=1.5, alpha=0.9)
    axes.set(xlabel="rank k", ylabel="gold sources among the k highest", title=panel.title, ylim=(-0.02, 1.02))
    axes.set_xscale("log")
    _plain_numbers(axes)
    if left:
        axes.yaxis.set(label_position="right", ticks_position="right")
        axes.spines[["left", "right"]].set(visible=False)
    gap = 0.042 * np.arange(len(order))
    ends = np.array([curves[i][end] for i in order])
    heights = isotonic_regression(ends[:, 1] - gap, y_min=0, y_max=max(0.0, 1 - gap[-1])) + gap
    side = {
        "va": "center",
        "ha": "right" if left else "left",
        "textcoords": axes.get_yaxis_transform(),
        "annotation_clip": False,
    }
    for i, spot, height in zip(order, ends, heights, strict=True):
        style = {"fontsize": 8.5, "color": _colour(panel.rows[i]), **side}
        line = {"arrowstyle": "-", "color": _colour(panel.rows[i]), "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
        line["relpos"] = (float(left), 0.5)
        axes.annotate(panel.rows[i]["method"], spot, (-0.04 if left else 1.04, height), arrowprops=line, **style)


def _scatter(plt: Any, shown: Sequence[Panel]) -> Any:
    """Small multiples: each point is an ablation, across what the scores foretold of it, upwards what came."""
    rows = -(-len(shown) // ACROSS)
    size = {"figsize": (9, 2.2 * rows + 0.8), "gridspec_kw": {"hspace": 0.1}}
    figure, places = plt.subplots(rows, ACROSS, squeeze=False, layout="constrained", **size)
    for axes in places.flat[len(shown) :]:
        axes.axis("off")
    for axes, panel in zip(places.flat, shown, strict=False):
        (row,) = panel.rows
        axes.plot(*np.array(row["scatter"]).T, ".", color=_colour(row), markersize=4, alpha=0.6)
        axes.set_title(panel.title, fontsize=8.5)
        axes.tick_params(labelsize=7.5)
        axes.locator_params(nbins=4)
    figure.supxlabel("what the scores foretell of the first target", fontsize=9)
    figure.supylabel("what came", fontsize=9)
    _legend(figure, shown)
    return figure


def _agreement(axes: Any, panel: Panel) -> None:
    """Every pair of methods, those that agree beside one another."""
    names = [row["method"] for row in panel.rows]
    values = np.array([[np.nan if number(row.get(name)) is None else row[name] for name in names] for row in panel.rows])
    np.fill_diagonal(values, 1.0)
    order = _alike(np.nan_to_num(np.where(np.isnan(values), values.T, values)))
    shown, rows = values[np.ix_(order, order)], [panel.rows[i] for i in order]
    axes.imshow(shown, cmap="PuOr_r", vmin=-1.2, vmax=1.2, interpolation="none", aspect="auto")
    for (i, j), value in np.ndenumerate(shown):
        if j < i and np.isfinite(value):  # the matrix is symmetric
            colour = "#ffffff" if abs(value) > 0.8 else "#000000"
            axes.text(j, i, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
    labels = [row["method"] for row in rows]
    axes.set_title(f"{panel.title}, Kendall's tau")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    for row, *ticks in zip(rows, axes.get_xticklabels(), axes.get_yticklabels(), strict=True):
        for tick in ticks:
            tick.set_color(_colour(row))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _alike(similarity: np.ndarray) -> np.ndarray:
    """An order in which methods that agree are neighbours: the leaves of average-linkage clustering."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))


def inline(svg: str, name: str) -> str:
    """An SVG as a part of a page: in the page's colours, with ids of its own."""
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r'<svg (.*?)width="[^"]*" (.*?)height="[^"]*"|<svg ', r'<svg role="img" \1\2', body, count=1)
    variables = {INK: "ink", PAPER: "card", **{colour: f"f{i}" for i, colour in enumerate(COLOURS.values())}}
    for colour, variable in variables.items():
        body = body.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", body)
