"""From what was measured on each example to tables with intervals and a plot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.context.measure import Measured
from eval.harness.record import Figure
from llmattr import metrics

WITHIN = 0.01
REFERENCE = "lasso, alpha .01 (context-cite 0.0.4)"  # of the curve
BASE = "context-cite"  # what the others are compared with

SECONDS = (
    "Seconds: CPU seconds if the method runs alone on an example, in the median: its own, and for each of its ablations what "
    "that took when it was first scored, whichever method asked first. Ablations that are scored together share prefixes; each "
    "has the part of their seconds that its tokens have of their tokens."
)
PREDICTION = (
    "LDS: rank correlation with held-out ablations, 1 = foretold, 0 = as random scores; a target whose scores are all 0 has 0.",
    "Drop k: nats of log-odds lost without the k highest sources. Both: mean over the answer and, where it has several, its "
    "sentences. 95 %: bootstrap over examples.",
    "Passes and tokens: what is forwarded if the method runs alone and shares no prefixes; a backward pass counts as one more, "
    "and looks with hidden sources, packed many to a pass, count in tokens.",
    SECONDS,
    "Counterfactual error k: nats from what the scores foretell without the method's own k highest sources to what happens; "
    "lower is better. Only of scores in nats that add up to a prediction; leave-one-out has 0 at k = 1, which it measured.",
    "p: the share of all ways to exchange the two methods, example by example, that differ as much.",
    "Linear ceiling: a ridge regression, its penalty chosen, on other masks than the held-out ones; the rest is interaction. "
    "Random: mean of 100 draws (drops: 4). Gold sentences: 1 for those that people marked.",
)
SUPPORT = (
    "The scores of the whole answer against the sentences that people marked as supporting the true answer, whether or not the "
    "model gave that one: average precision, reciprocal rank (MRR), precision at 1, recall at 3; equal scores are in a random "
    "order.",
    "Cited: scores above 0.1 nats and two standard errors; similarities cite nothing.",
)


def prediction(rows: Sequence[Measured]) -> list[Figure]:
    """A line for each method: cost, LDS, drops, and its LDS less the base's on the same targets."""
    base = [row for row in rows if row["label"] == BASE and "measures" in row]

    def columns(done: Sequence[Measured]) -> Figure:
        line = {"passes": None, "tokens": None, "seconds": None, **costs(done)}
        for name in ("LDS", "drop 1", "drop 3"):
            line |= interval(name, done)
        line |= {f"LDS minus {BASE}": difference("LDS", done, base)} if done[0]["label"] != BASE else {}
        return line | means(done, "counterfactual error 1", "counterfactual error 3")

    return lines(rows, columns)


def support(rows: Sequence[Measured]) -> list[Figure]:
    """A line for each method: does it find the gold sentences?"""

    def columns(done: Sequence[Measured]) -> Figure:
        found = means(done, "RR", "P@1", "R@3", "cited precision", "cited recall", "cited f1")
        return {**interval("AP", done), "MRR": found.pop("RR", None), **found, "recall": recall(done)}

    has_gold = [row for row in rows if "AP" in row.get("measures", {"AP": []})]
    return lines(has_gold, columns) if any("measures" in row for row in has_gold) else []


def curve(rows: Sequence[Measured]) -> list[Figure]:
    """A line for each fit and number of ablations."""
    figures = []
    for n in sorted({row["options"]["n_ablations"] for row in rows if row["part"] == "curve"}):
        here = [row for row in rows if row["part"] == "curve" and row["options"]["n_ablations"] == n]

        def columns(done: Sequence[Measured]) -> Figure:
            return {**costs(done), **interval("LDS", done)}

        figures += [{"method": line.pop("method"), "n": n, **line} for line in lines(here, columns, "curve")]
    return sorted(figures, key=lambda figure: figure["method"])


AGREEMENT = ("Kendall's tau-b of the scores of two methods, mean over targets: 1 = the same order, 0 = unrelated.",)
REACH = (
    "For each fit the least number of ablations at which its LDS is, in the median over examples, less by no more than "
    f"{WITHIN} than that of context-cite 0.0.4's lasso at 64 or 256, and the share of that one's tokens that it takes "
    "(median over examples). An LDS of 0.8 on 64 held-out ablations has itself an error of about 0.05.",
)


def reach(rows: Sequence[Measured]) -> list[Figure]:
    """A line for each fit: with how little it is as good as context-cite 0.0.4 with 64 and with 256 ablations."""
    points = [row for row in rows if row["part"] == "curve" and "measures" in row]
    of = {(row["label"], row["options"]["n_ablations"], row["example"]): row for row in points}
    sizes = sorted({n for _, n, _ in of})
    figures = []
    for label in dict.fromkeys(row["label"] for row in points):
        line: Figure = {"method": label}
        for target in (n for n in (64, 256) if n in sizes):
            base = {example: row for (name, n, example), row in of.items() if (name, n) == (REFERENCE, target)}
            enough = next((n for n in sizes if _median_gain(of, label, n, base) >= -WITHIN), None)
            line[f"n for its {target}"] = enough or "not reached"
            if enough:
                shares = [of[label, enough, example]["tokens"] / row["tokens"] for example, row in base.items()]
                line[f"share of its tokens at {target}"] = float(np.median(shares))
        figures.append(line)
    return figures


def _median_gain(of: dict[Any, Measured], label: str, n: int, base: dict[str, Measured]) -> float:
    """The median over examples of the fit's mean LDS less the reference's; minus infinity where one was not measured."""
    if not base or any((label, n, example) not in of for example in base):
        return -np.inf
    means = [numbers([row], "LDS")[0].mean() for row in (of[label, n, example] for example in base)]
    theirs = [numbers([row], "LDS")[0].mean() for row in base.values()]
    return float(np.median(np.array(means) - np.array(theirs)))


def lines(rows: Sequence[Measured], columns: Callable[[Sequence[Measured]], Figure], part: str = "methods") -> list[Figure]:
    """A line for each label, with what failed or was skipped in its place."""
    rows = [row for row in rows if row["part"] == part]
    figures = []
    for label in dict.fromkeys(row["label"] for row in rows):
        mine = [row for row in rows if row["label"] == label]
        done, wrong = ([row for row in mine if ("measures" in row) is good] for good in (True, False))
        line: Figure = {"method": label, **(columns(done) if done else {})}
        if wrong:
            kind = "failed" if "failed" in wrong[0] else "skipped"
            line["not measured"] = f"{kind} on {len(wrong)} of {len(mine)}: {wrong[0][kind]}".replace("|", "/")
        figures.append(line)
    return figures


def costs(rows: Sequence[Measured]) -> Figure:
    """The mean passes and tokens of an example; the median seconds, since what is used the first time is loaded then."""
    known = {name: [row[name] for row in rows if row.get(name) is not None] for name in ("passes", "tokens", "seconds")}
    line: Figure = {name: round(float(np.mean(known[name]))) for name in ("passes", "tokens") if known[name]}
    return line | ({"seconds": float(np.median(known["seconds"]))} if known["seconds"] else {})


def means(rows: Sequence[Measured], *names: str) -> Figure:
    """The means of measures that are defined somewhere."""
    found = {name: metrics.bootstrap_interval(*numbers(rows, name), draws=1).mean for name in names}
    return {name: mean for name, mean in found.items() if np.isfinite(mean)}


def recall(rows: Sequence[Measured]) -> list[list[float]]:
    """[[k, mean recall], ...] over the examples that have gold sentences."""
    known = np.array([row["recall"] for row in rows if row.get("recall")], dtype=float)
    return known.mean(axis=0).tolist() if len(known) else []


def agreement(rows: Sequence[Measured]) -> list[Figure]:
    """A line and a column for each method: Kendall's tau of their scores, mean over the targets for which it is defined."""
    known = [row for row in rows if row["part"] != "curve" and "values" in row]
    scored = {(row["label"], row["example"]): np.array(row["values"], dtype=float) for row in known}
    labels = list(dict.fromkeys(label for label, _ in scored))
    figures = []
    for one in labels:
        line: Figure = {"method": one}
        for other in labels:
            examples = [example for label, example in scored if label == one and (other, example) in scored]
            taus = [metrics.kendall(scored[one, example], scored[other, example]) for example in examples]
            defined = [tau for tau in np.concatenate(taus) if np.isfinite(tau)] if taus else []
            line[other] = float(np.mean(defined)) if defined else None
        figures.append(line)
    return figures


def numbers(rows: Sequence[Measured], name: str) -> tuple[np.ndarray, np.ndarray]:
    """A measure of every target, and the example that each is of."""
    pairs = [(number, row["example"]) for row in rows for number in row["measures"].get(name, [])]
    return np.array([x for x, _ in pairs], dtype=float), np.array([example for _, example in pairs])  # None is nan


def interval(name: str, rows: Sequence[Measured]) -> Figure:
    """A measure's mean over targets, and its interval over examples."""
    mean, low, high = metrics.bootstrap_interval(*numbers(rows, name))
    bounds = {f"{name} 95 %": f"{low:.2f} to {high:.2f}"} if np.isfinite(low) else {}
    return {name: mean, **bounds} if np.isfinite(mean) else {}


def difference(name: str, rows: Sequence[Measured], base: Sequence[Measured]) -> str | None:
    """The mean difference of a measure on the examples that both have, with its interval and p."""
    mine, theirs = ({row["example"]: row for row in side} for side in (rows, base))
    shared = sorted(mine.keys() & theirs.keys())
    one, examples = numbers([mine[example] for example in shared], name)
    other, _ = numbers([theirs[example] for example in shared], name)
    if not np.isfinite(one - other).any():
        return None
    mean, low, high, p = metrics.paired_comparison(one, other, examples)
    return f"{mean:+.2f}" + (f" ({low:+.2f} to {high:+.2f}, p {p:.2g})" if np.isfinite(low) else "")


def plot(methods: Sequence[Figure], points: Sequence[Figure], path: Path, title: str) -> bool:
    """LDS against forwarded tokens: fits as lines, methods as crosses, the free as levels. False if matplotlib is missing."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("svg")
    from matplotlib import pyplot as plt

    known = [method for method in methods if "LDS" in method]
    levels = [method for method in known if not method["tokens"] or method["method"] == "linear ceiling"]
    others = [method for method in known if method not in levels]
    with plt.rc_context({"svg.hashsalt": "llmattr", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
        for label in dict.fromkeys(point["method"] for point in points):
            line = [point for point in points if point["method"] == label and "LDS" in point]
            axes.plot([p["tokens"] for p in line], [p["LDS"] for p in line], marker="o", markersize=3, label=label)
        axes.scatter([m["tokens"] for m in others], [m["LDS"] for m in others], color="0.3", marker="x", s=20)
        axes.set(xscale="log", xlabel="tokens forwarded for one answer", ylabel="LDS on held-out ablations", title=title)
        axes.margins(x=0.15)
        for side, group in ((0.0, levels), (None, others)):
            for method, height in zip(group, _apart(group, axes), strict=True):
                start = (method["tokens"] if side is None else side, method["LDS"])
                coordinates = axes.transData if side is None else axes.get_yaxis_transform()
                style = {"fontsize": 7, "color": "0.2" if side is None else "0.5", "va": "center" if side is None else "bottom"}
                axes.text(start[0], height, f"  {method['method']}", transform=coordinates, **style)
        for method in levels:
            axes.axhline(method["LDS"], color="0.8", linewidth=0.8, linestyle="--", zorder=0)
        if points:
            figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


def _apart(group: Sequence[Figure], axes: Any) -> list[float]:
    """Heights for labels near their points, so that no two of about the same cost lie on one another."""
    low, high = axes.get_ylim()
    gap, placed = (high - low) / 36, dict[str, tuple[float, float]]()
    for method in sorted(group, key=lambda one: -one["LDS"]):
        x, y = np.log(max(method["tokens"], 1)), method["LDS"]
        while any(abs(x - other) < 1 and abs(y - height) < gap for other, height in placed.values()):
            y -= gap / 4
        placed[method["method"]] = (x, y)
    return [placed[method["method"]][1] for method in group]
