"""`llmattr trace verify`: train again without the rows that a trace found, and without as many random ones."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.files import check_folder, check_outputs, quiet, report
from llmattr.cli.given import Input, taken
from llmattr.cli.methods import options_of
from llmattr.cli.retrain import RUN_OPTIONS, Retraining
from llmattr.errors import LlmattrError, note
from llmattr.retraining import Recipe
from llmattr.retraining.scratch import is_scratch
from llmattr.text.questions import has_other, has_span

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.curation.removal import Removal

NOT_ASKED = ("mean", "replicates")
UNLEARNT = 2.0  # nats by which the answers are less likely than in the model that was traced: it was trained otherwise
OPTIONS = [
    click.Argument(["found"], type=Input(click.Path(path_type=Path, exists=True, dir_okay=False))),
    *(option for option in RUN_OPTIONS if option.name not in NOT_ASKED),
    click.Option(["--k"], type=click.IntRange(min=1), default=10, show_default=True, help="rows removed for each query"),
    click.Option(
        ["--runs"], type=click.IntRange(min=1), default=3, show_default=True, help="models with different seeds of each removal"
    ),
    click.Option(["--draws"], type=click.IntRange(min=1), default=3, show_default=True, help="random removals beside it"),
    click.Option(["--html"], type=click.Path(path_type=Path), help="write a page to read in a browser"),
    click.Option(["--json"], type=click.Path(path_type=Path), help="write the trace with what was seen as JSON"),
]


def verify_command() -> click.Command:
    """The command, with the options of a recipe."""
    about = (
        "Train again without the rows that score highest, and without random ones. FOUND is a trace of the rows by any method "
        "(its --json). Whoever wants to see whether they taught it gets the change of the answer with its error."
    )

    def run(**given: Any) -> None:
        given |= {"mean": False, "replicates": 1}  # a removal has its own
        _verify(taken(Recipe, given), taken(Retraining, given), **given)

    brief = "Whether removing the rows that a trace found changes the answer."
    usage = "--data D --out RUNS [OPTIONS]"
    return click.Command(
        "verify", callback=run, params=[*OPTIONS, *options_of(Recipe)], help=about, short_help=brief, options_metavar=usage
    )


def _verify(
    recipe: Recipe,
    retraining: Retraining,
    *,
    found: Path,
    k: int,
    runs: int,
    draws: int,
    html: Path | None,
    json: Path | None,
) -> None:
    check_outputs((str(found),), [path for path in (html, json) if path])
    check_folder(retraining.out)
    quiet()
    from llmattr.core.attribution import Attribution
    from llmattr.curation.removal import removal

    traced = Attribution.load(found)
    typed = retraining.queries is not None or retraining.completion is not None
    ablation = retraining.ablation(recipe, None if typed else _asked(traced))
    if len(ablation.targets) != len(traced):
        raise LlmattrError(f"{found} is a trace of {len(traced)} queries, and {len(ablation.targets)} are given")
    of, again = traced.run.get("model"), ablation.trainer.record().get("model")
    if is_scratch(retraining.model) and traced.targets.measure != "similarity" and again not in (None, of):
        note(f"the trace is of {of}, and a small model from scratch is trained: --model takes what {of} was trained from")
    seen = removal(traced, ablation, k, runs, draws)
    _note_unlearnt(traced, float(seen.everything.mean()), retraining.measure)
    result = dataclasses.replace(traced, verified=seen.record())
    report(result, "\n".join(_table(seen, traced, runs, draws)), html=html, json=json, models=retraining.models(ablation))


def _asked(traced: "Attribution") -> list[dict[str, str]]:
    """What the trace was asked, one query for each target."""
    if not traced.traced or not traced.asked or len(traced.asked) != len(traced):
        raise LlmattrError("the trace does not say what it was asked, query by query: give --queries")
    if traced.response is not None:
        raise LlmattrError("the trace is of single tokens: trace the whole completion, without --tokens")
    return [dict(query) for query in traced.asked]


def _note_unlearnt(traced: "Attribution", again: float, measure: str) -> None:
    """Say it where the models trained with all rows say the answers far less than the traced one does, as its losses tell."""
    losses = traced.details.get("loss", ())
    if measure != "logprob" or not losses or any(has_span(query) or has_other(query) for query in traced.asked or ()):
        return
    then = -sum(loss for one in losses for _, loss in one) / len(losses)
    if again < then - UNLEARNT:
        note(
            f"trained with all rows the answers have {again:.2f} nats on average, {then:.2f} in the model that was traced: "
            "train as it was trained (--model, --steps, --batch-size, --learning-rate; or --train), or this says little of it"
        )


def _table(seen: "Removal", traced: "Attribution", runs: int, draws: int) -> list[str]:
    import numpy as np

    head = f"Trained again with all, without the {seen.removed} highest of each query, and without {seen.removed} random ones"
    many = f"{runs} model{'s' * (runs != 1)} each, {draws} random removal{'s' * (draws != 1)}"
    lines = [f"{head}: {many}.", ""]
    lines.append(f"{'nats':<40}  {'all':>8}  {'without':>8}  {'random':>8}  effect")
    for t, text in enumerate(traced.targets.texts):
        error = "" if np.isnan(seen.stderr[t]) else f" ± {seen.stderr[t]:.2f}"
        cells = (f"{values[t]:>+8.2f}" for values in (seen.everything, seen.without, seen.random))
        mark = "*" if seen.clear[t] else ""
        lines.append(f"{' '.join(text.split())[:40]:<40}  {'  '.join(cells)}  {seen.effect[t]:+.2f}{error}{mark}")
    helped = (seen.effect < 0) & seen.clear
    if not np.isfinite(seen.stderr).any():
        return [*lines, "", "One model and one draw tell no error: take more (--runs, --draws)."]
    said = f"Without their highest rows {helped.sum()} of {len(helped)} answers lose more than without random ones"
    return [*lines, "", f"* clear of two standard errors. {said}."]
