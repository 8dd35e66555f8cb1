"""How far attributions agree, as text and as a page: the measures, and of each target which sources change."""

from typing import NamedTuple

import numpy as np

from llmattr.certainty.stability import MEASURES, Stability
from llmattr.metrics import Interval
from llmattr.report.html import environment
from llmattr.report.lines import one_line, plain

ABOUT = {
    "kendall": "Kendall's tau of all scores",
    "spearman": "Spearman's rank correlation of all scores",
    "jaccard": "Jaccard overlap of the best",
    "rbo": "rank-biased overlap of the best, in which the first count most",
}
LISTED = 20  # sources of a target on the page, at most
EQUAL = "no source stands out, in a run or in all: the best score the same as the rest"
MEANING = "1 = the same, 0 = as by chance (jaccard and rbo: nothing shared); ± = the error over runs (jackknife)"


class Source(NamedTuple):
    """A source that is among the best in some runs: in how many, and its best and worst rank."""

    name: str
    text: str
    runs: int
    ranks: tuple[int, int]


class Target(NamedTuple):
    """A target with the stability of its best sources, and those that are among them in any run, the surest first."""

    number: int
    text: str
    index: Interval
    sources: list[Source]

    def changing(self, of: int) -> list[Source]:
        """Those that are among the best in some of the runs alone."""
        return [source for source in self.sources if source.runs < of]


def targets_of(found: Stability) -> list[Target]:
    """The least stable first."""
    from scipy.stats import rankdata

    ranks = rankdata(-found.ranked, "min", axis=2).astype(int)
    targets = [Target(t, text, found.index[t], _sources(found, t, ranks[:, t])) for t, text in enumerate(_texts(found))]
    return sorted(targets, key=lambda target: np.nan_to_num(target.index.mean, nan=1.0))


def _texts(found: Stability) -> list[str]:
    return [plain(text) for text in found.runs.first.targets.texts]


def _sources(found: Stability, t: int, ranks: np.ndarray) -> list[Source]:
    counts, known = found.chosen[:, t].sum(axis=0), found.runs.sources
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: (-counts[i], ranks[:, i].mean()))
    kind = "row " if known.kind == "training rows" else ""
    return [
        Source(f"{kind}{known.ids[i]}", known.texts[i], int(counts[i]), (int(ranks[:, i].min()), int(ranks[:, i].max())))
        for i in order
    ]


def stability_text(found: Stability, top: int = 10) -> str:
    """Every measure's mean over the pairs of runs, and which sources are among the best in some of the runs alone."""
    r, targets = len(found.names), targets_of(found)
    lines = [f"Agreement of {r} runs about {len(targets)} target{'s' * (len(targets) != 1)}, mean over pairs of runs:"]
    lines += [f"  {name:<9} {_mean(found, name):<14} {ABOUT[name]}" for name in MEASURES]
    lines += [f"  {MEANING}.", ""]
    lines += [
        f"Stability of the {found.k} best sources of each target (Nogueira's index, its 95 % interval), least stable first:"
    ]
    for target in targets[:top]:
        lines.append(f"  {_interval(target.index):<22} {one_line(target.text)}")
        changing, same = target.changing(r)[:top], "the same in every run" if target.sources else EQUAL
        lines += [f"      {source.runs} of {r} runs  {plain(source.name)}  {one_line(source.text, 100)}" for source in changing]
        lines += [] if changing else [f"      {same}"]
    return "\n".join(lines)


def _mean(found: Stability, measure: str) -> str:
    mean, error = found.mean(measure)
    return f"{mean:.2f}" + (f" ±{error:.2f}" if np.isfinite(error) else "")


def _interval(index: Interval) -> str:
    return "-" if np.isnan(index.mean) else f"{index.mean:.2f} [{index.low:.2f}, {index.high:.2f}]"


def stability_page(found: Stability) -> str:
    """The whole HTML document: self-contained, without scripts, every text escaped."""
    targets = targets_of(found)
    shown = [target._replace(sources=target.sources[:LISTED]) for target in targets]
    view = {
        "names": found.names,
        "k": found.k,
        "measures": [(name, ABOUT[name], _mean(found, name), found.agreement[name].tolist()) for name in MEASURES],
        "targets": [(target, _interval(target.index), target.changing(len(found.names))) for target in shown],
        "meaning": MEANING,
        "equal": EQUAL,
    }
    a = {"run": {}, "method": {"name": ", ".join(dict.fromkeys(found.methods))}}
    return environment().get_template("stability.html.j2").render(view, a=a, options=[], base=None)
