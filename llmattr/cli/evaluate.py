"""`llmattr eval lds | drop | retrieval | citation`: how good are saved scores, of any tool?"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from llmattr.cli.given import Input, refuse
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    import numpy as np

    from llmattr.ablation import Ablation
    from llmattr.cli.measured import Judging
    from llmattr.cli.scored import Scored, Seen

Measures = dict[str, Any]  # name -> a number for each target
FILE = click.Path(path_type=Path)
INPUT = Input(FILE)


FORMS = """SCORES are files, one for each method:

\b
.npy   scores [t, n] as numpy.save writes them: t targets, n sources
.json  what llmattr saved (--json, Attribution.save), or of your own making
       {"targets": [{"values": [0.5, -1.2, ...]}, ...]}
       where only the highest are listed, with their row numbers from 0:
       {"targets": [{"values": [7.1, 6.8], "index": [812, 40]}, ...]}

Higher = the source did more for the target. Each measure is the mean over the targets with its 95% bootstrap interval; with
several files each is also compared with the first, target by target."""


@click.group("eval", epilog=FORMS)
def evaluate() -> None:
    """Judge saved scores of any tool: by ablations (lds, drop) or by gold sources (retrieval, citation)."""


def _scores(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.argument("scores", nargs=-1, required=True, type=INPUT),
        click.option("--groups", type=INPUT, help=".npy [t]: the same number for targets that depend on each other"),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of the bootstrap"),
        click.option("--json", type=FILE, help="write the numbers of every target as JSON"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _ablations(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--masks", type=INPUT, help=".npy [m, n]: 1 where a source is kept"),
        click.option("--outputs", type=INPUT, help=".npy [m, t]: what the targets are then; [m, r, t] of r runs of each mask"),
        click.option("--runs", type=INPUT, help="instead of both: the --out folder of llmattr trace datamodel, or of another"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@evaluate.command(epilog=FORMS)
@_scores
@_ablations
def lds(
    scores: tuple[Path, ...], masks: Path | None, outputs: Path | None, runs: Path | None, **how: "Unpack[Judging]"
) -> None:
    """Do the scores predict ablations that they have not seen?

    The linear datamodeling score: the rank correlation, over the masks, of the outputs with the sum of the scores that a mask
    keeps; 1 = best, 0 = as by chance. Take masks that no method was fitted on. With several runs of a mask the ceiling is
    printed: no prediction of such noisy outputs does better. Of a file with baselines also the counterfactual error: how far
    off baseline + the sum of the kept scores is, in the outputs' unit; lower is better.
    """
    from llmattr import metrics
    from llmattr.cli.measured import report
    from llmattr.cli.scored import n_sources, read_seen

    scored = _read(scores, how["json"])
    seen = read_seen(masks, outputs, runs, scored)
    if len(seen.masks) < 3:
        raise LlmattrError(f"a rank correlation over {len(seen.masks)} masks says nothing: give dozens")
    n = n_sources(scored, None, seen.masks.shape[1]) or 0
    found = {one.name: _prediction(one, seen, n) for one in scored}
    heading = f"over {len(seen.masks)} masks that keep {seen.masks.mean():.0%} of {n} sources"
    extra: dict[str, Any] = {"masks": len(seen.masks), "sources": n, "keep": float(seen.masks.mean())}
    closing = ""
    if seen.replicates is not None:
        ceiling = metrics.lds_ceiling(seen.replicates, of=seen.per_mask)
        extra["ceiling"] = ceiling
        k, r = seen.replicates.shape[:2]
        closing = f"Ceiling of the LDS, from {r} runs of each of {k} masks: {metrics.bootstrap_interval(ceiling).mean:.3f}"
    report(found, heading, extra, closing=closing, **how)


def _prediction(one: "Scored", seen: "Seen", n: int) -> Measures:
    from llmattr import metrics

    values = one.summed(n)
    found: Measures = {"LDS": metrics.lds(values, seen.masks, seen.outputs)}
    if one.baseline is not None:
        found["error"] = metrics.counterfactual_error(one.baseline + seen.masks @ values.T, seen.outputs)
    return found


@evaluate.command(epilog=FORMS)
@_scores
@_ablations
@click.option("--top", type=click.IntRange(min=1), multiple=True, default=(1,), show_default=True, help="so many are removed")
@click.option("--curves", is_flag=True, help="also the areas under the deletion and insertion curves (n masks each a target)")
@click.option("--n-sources", type=click.IntRange(min=1), help="where the scores list only some of them")
@click.option("--write-masks", type=FILE, help="write the masks that are needed, [m, n], instead of judging")
def drop(
    scores: tuple[Path, ...],
    *,
    masks: Path | None,
    outputs: Path | None,
    runs: Path | None,
    top: tuple[int, ...],
    curves: bool,
    n_sources: int | None,
    write_masks: Path | None,
    **how: "Unpack[Judging]",
) -> None:
    """What does each target lose without its highest sources?

    f(all) - f(all but the top k), in the outputs' unit; higher is better. It needs certain masks: --write-masks makes them,
    your tool or model says what the targets are under each, and --masks with --outputs reads it back. Of the curves' areas 1/2
    is what a random order gets where sources add up; higher is better.
    """
    from llmattr.cli.files import check_outputs
    from llmattr.cli.measured import report
    from llmattr.cli.scored import n_sources as agreed
    from llmattr.cli.scored import read_seen

    scored = _read(scores, how["json"])
    if write_masks is not None:
        if masks or outputs or runs:
            raise LlmattrError("--write-masks makes masks: --masks, --outputs and --runs come afterwards")
        refuse("--write-masks judges nothing", "groups", "seed", "json")
        check_outputs(tuple(map(str, scores)), [write_masks])
        n = agreed(scored, n_sources)
        if n is None:
            raise LlmattrError("how many sources are there? The scores list only some, so say it with --n-sources")
        needed = _needed(scored, n, top, curves)
        _save(write_masks, needed)
        click.echo(f"masks {list(needed.shape)} (1 = the source is kept): {write_masks}")
        return
    seen = read_seen(masks, outputs, runs, scored)
    n = agreed(scored, n_sources, seen.masks.shape[1]) or 0
    found = {one.name: _losses(one, _lookup(seen), n, top, curves) for one in scored}
    report(found, f"of {n} sources", {"sources": n}, **how)


def _losses(one: "Scored", ablation: "Ablation", n: int, top: tuple[int, ...], curves: bool) -> Measures:
    from llmattr import metrics

    most = one.highest(n)
    if max(top) > most or (curves and most < n):
        asked = f"--top {max(top)} needs more" if max(top) > most else "--curves need all"
        raise LlmattrError(f"{one.name} has the {most} highest of {n} sources: {asked}")
    values = one.ranked(n)
    lost = metrics.deletion_curve(values, ablation, list(top))
    found: Measures = {f"drop {k}": lost[:, column] for column, k in enumerate(top)}
    if curves:
        found["deletion"] = metrics.curve_area(metrics.deletion_curve(values, ablation))
        found["insertion"] = metrics.curve_area(metrics.insertion_curve(values, ablation))
    return found


def _lookup(seen: "Seen") -> "Ablation":
    """The ablation that answers from what was seen; equal masks are runs of one, and their mean counts."""
    import numpy as np

    from llmattr.ablation import from_function

    groups: dict[bytes, list[Any]] = {}
    for mask, outputs in zip(seen.masks, seen.outputs, strict=True):
        groups.setdefault(mask.tobytes(), []).append(outputs)

    def outputs_of(masks: "np.ndarray") -> "np.ndarray":
        missing = {mask.tobytes() for mask in masks} - set(groups)
        if missing:
            raise LlmattrError(f"{len(missing)} of the masks needed are not there: --write-masks writes all, add their outputs")
        return np.array([np.mean(groups[mask.tobytes()], axis=0) for mask in masks])

    return from_function(outputs_of, seen.masks.shape[1], seen.outputs.shape[1])


def _needed(scored: list["Scored"], n: int, top: tuple[int, ...], curves: bool) -> "np.ndarray":
    """Every mask that `drop` asks for, each once."""
    import numpy as np

    from llmattr.ablation import from_function

    t, asked = len(scored[0].values), []

    def remember(masks: "np.ndarray") -> "np.ndarray":
        asked.append(masks)
        return np.zeros((len(masks), t))

    for one in scored:
        _losses(one, from_function(remember, n, t), n, top, curves)
    return np.unique(np.concatenate(asked), axis=0)


def _save(path: Path, array: "np.ndarray") -> None:
    import numpy as np

    from llmattr.core.files import whole

    with whole(path) as part, part.open("wb") as file:
        np.save(file, array)


@evaluate.command(epilog=FORMS)
@_scores
@click.option("--gold", required=True, type=INPUT, help="the right sources: .npy [t, n] 0/1; .json [[3, 17], [5]]; .jsonl")
@click.option(
    "--k", type=click.IntRange(min=1), multiple=True, default=(10,), show_default=True, help="of recall and precision"
)
@click.option("--n-sources", type=click.IntRange(min=1), help="where the scores list only some of them")
def retrieval(
    scores: tuple[Path, ...], gold: Path, k: tuple[int, ...], n_sources: int | None, **how: "Unpack[Judging]"
) -> None:
    """Do the scores find the gold sources?

    MRR = 1 / the rank of the first gold source; recall = share of the gold that is among the k highest; precision = share of
    the k highest that is gold; AP = average precision; AUC = chance that a gold source scores higher than another (1/2 = by
    chance; of self-influence and mislabelled rows the mislabel AUC). From 0 to 1. Equal scores count as the mean over their
    orders. --gold .jsonl has one list of row numbers on each line. Sources that a file does not list share the places
    behind those that it does.
    """
    from llmattr import metrics
    from llmattr.cli.measured import report

    scored, right = _against_gold(scores, gold, n_sources, how["json"])
    found = {}
    for one in scored:
        values = one.ranked(right.shape[1])
        found[one.name] = {
            "MRR": metrics.reciprocal_rank(values, right),
            **{f"recall@{at}": metrics.recall_at_k(values, right, at) for at in k},
            **{f"precision@{at}": metrics.precision_at_k(values, right, at) for at in k},
            "AP": metrics.average_precision(values, right),
            "AUC": metrics.roc_auc(values, right),
        }
    report(found, f"among {right.shape[1]} sources", {"sources": right.shape[1]}, **how)


@evaluate.command(epilog=FORMS)
@_scores
@click.option("--gold", required=True, type=INPUT, help="the right sources: .npy [t, n] 0/1; .json [[3, 17], [5]]; .jsonl")
@click.option("--above", type=float, help="a source is cited when its score is above this")
@click.option("--n-sources", type=click.IntRange(min=1), help="where the scores list only some of them")
def citation(
    scores: tuple[Path, ...], gold: Path, above: float | None, n_sources: int | None, **how: "Unpack[Judging]"
) -> None:
    """Are the gold sources cited, and only those?

    precision = share of the cited that is gold, recall = share of the gold that is cited, F1 their harmonic mean; from 0 to 1,
    0 where nothing is cited. What is cited: of JSON each target's "cited": [true, false, ...], of .npy a 1 where it holds only
    0 and 1; with --above what scores higher than that.
    """
    from llmattr import metrics
    from llmattr.cli.measured import report

    scored, right = _against_gold(scores, gold, n_sources, how["json"])
    found = {}
    for one in scored:
        cited = one.cited if above is None else one.values > above
        if cited is None:
            raise LlmattrError(f"{one.name} does not say what is cited: say with --above from which score a source is")
        measured = metrics.citation(one.dense(right.shape[1], cited, False), right)
        found[one.name] = dict(zip(("precision", "recall", "F1"), measured, strict=True))
    report(found, f"among {right.shape[1]} sources", {"sources": right.shape[1]}, **how)


def _against_gold(
    scores: tuple[Path, ...], gold: Path, given: int | None, json: Path | None
) -> "tuple[list[Scored], np.ndarray]":
    from llmattr.cli.scored import n_sources, read_gold

    scored = _read(scores, json)
    right = read_gold(gold, len(scored[0].values), n_sources(scored, given))
    if not right.any():
        raise LlmattrError(f"{str(gold)!r} names no gold source at all")
    return scored, right


def _read(scores: tuple[Path, ...], json: Path | None) -> list["Scored"]:
    from llmattr.cli.files import check_outputs
    from llmattr.cli.scored import read_scores

    check_outputs(tuple(map(str, scores)), [json] if json else [])
    return read_scores(scores)
