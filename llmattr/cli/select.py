"""`llmattr trace select`: choose training rows for the sake of some queries, train on them, and compare with other choices."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.files import check_folder, check_outputs, quiet, write_json
from llmattr.cli.given import Input, refuse, taken
from llmattr.cli.methods import options_of
from llmattr.cli.retrain import RUN_OPTIONS, Retraining
from llmattr.core.method import check_options
from llmattr.errors import LlmattrError
from llmattr.retraining import METHODS, Recipe
from llmattr.retraining.contract import Method

if TYPE_CHECKING:
    from llmattr.core.attribution import Attribution
    from llmattr.curation.selection import By, Outcome, Selected
    from llmattr.retraining.ablation import RetrainingAblation

DATAMODEL = METHODS["datamodel"]
DRAWS = 3  # random selections that are compared

OPTIONS = [
    *RUN_OPTIONS,
    click.Option(["--k"], required=True, type=click.IntRange(min=1), help="rows to choose"),
    click.Option(
        ["--scores"],
        type=Input(click.Path(path_type=Path, exists=True, dir_okay=False)),
        help="a trace of these rows and queries by any method (its --json), instead of a datamodel",
    ),
    click.Option(
        ["--by"],
        type=click.Choice(["mean", "best", "turns"]),
        help="with --scores: of several queries a row's mean counts, or its best (less), or queries take turns (rds)",
    ),
    click.Option(
        ["--runs"],
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help="models with different seeds that are trained on each choice",
    ),
    click.Option(["--json"], type=click.Path(path_type=Path), help="write the chosen rows' numbers and the outcomes as JSON"),
]


def select_command() -> click.Command:
    """The command, with the options of a datamodel and of a recipe."""
    params: list[click.Parameter] = [*OPTIONS, *options_of(DATAMODEL), *options_of(Recipe)]
    about = "Choose the rows that help the queries most, train on them alone, and compare with random, BM25 and DSIR."
    usage = "--data D --queries Q --out RUNS --k K [OPTIONS]"

    def run(**given: Any) -> None:
        _select(taken(DATAMODEL, given), taken(Recipe, given), taken(Retraining, given), **given)

    return click.Command("select", callback=run, params=params, help=about, options_metavar=usage)


def _select(
    method: Method,
    recipe: Recipe,
    retraining: Retraining,
    *,
    k: int,
    scores: Path | None,
    by: "By | None",
    runs: int,
    json: Path | None,
) -> None:
    _ = retraining.asked  # mistakes show before anything is loaded
    if scores:
        refuse("with --scores no datamodel is fitted", *(field.name for field in fields(DATAMODEL)))
    else:
        refuse("without --scores a datamodel's means count", "by")
    check_folder(retraining.out)
    check_outputs((str(scores),) if scores else (), [json] if json else [])
    quiet()
    from llmattr.core.attribution import Attribution
    from llmattr.curation.selection import compare_selections
    from llmattr.retraining.build import attributed

    check_options(method)
    given = Attribution.load(scores) if scores else None
    ablation = retraining.ablation(recipe)
    if k > len(ablation.sources):
        raise LlmattrError(f"--k {k} is more than the {len(ablation.sources)} {ablation.sources.kind} that there are")
    selections = _selections(given or attributed(ablation, method), ablation, k, by)
    found = compare_selections(ablation, selections, runs)
    lines = _table(found, ablation, k)
    if json:
        made = {name: {**outcome._asdict(), "rows": outcome.rows.tolist()} for name, outcome in found.items()}
        record = {"k": k, "measure": ablation.targets.measure, "selections": made, "run": ablation.record()}
        lines.append(write_json(json, record, retraining.models(ablation)))
    click.echo("\n".join(lines))


def _selections(scores: "Attribution", ablation: "RetrainingAblation", k: int, by: "By | None") -> dict[str, "Selected"]:
    """Each way to choose, and the source numbers that it chooses."""
    import numpy as np

    from llmattr.curation.selection import bm25_selection, dsir_selection, random_selection, select
    from llmattr.text.rows import row_text

    texts, n = ablation.sources.texts, len(ablation.sources)
    asked = [row_text(row) for row in ablation.causal("select").queries.rows]
    return {
        scores.method["name"]: select(scores, k, ablation.sources, by),
        "bm25": bm25_selection(texts, asked, k),
        "dsir": dsir_selection(texts, asked, k, ablation.seed),
        "random": np.stack([random_selection(n, k, ablation.seed + draw) for draw in range(DRAWS)]),
        "all": np.arange(n),
    }


def _table(found: Mapping[str, "Outcome"], ablation: "RetrainingAblation", k: int) -> list[str]:
    import numpy as np

    lines = [f"Trained on {k} of {len(ablation.sources)} {ablation.sources.kind} by each choice, and on all:", ""]
    lines.append(f"{'chosen by':<16} {'mean ' + ablation.targets.measure:>14} {'stderr':>8}  first")
    for name, (rows, value, stderr) in found.items():
        chosen: list[int] = rows.reshape(-1, rows.shape[-1])[0, :8].tolist()
        first = " ".join(ablation.sources.ids[i] for i in chosen)
        error = "-" if np.isnan(stderr) else f"{stderr:.3f}"
        lines.append(f"{name:<16} {value:>14.3f} {error:>8}  {first}{' ...' * (rows.shape[-1] > 8)}")
    explained = "Higher is better: the mean over the queries, in nats; minus it is the loss."
    errors = f"Standard errors are over models with different seeds, of random over {DRAWS} draws."
    return [*lines, "", explained, errors, _against_chance(found)]


def _against_chance(found: Mapping[str, "Outcome"]) -> str:
    """Whether the first choice is any better than a random one."""
    import numpy as np

    name = next(iter(found))
    error = np.hypot(found[name].stderr, found["random"].stderr)
    if np.isnan(error):
        return f"Whether {name} is better than chance is not known from one model: take more (--runs)."
    gain = found[name].value - found["random"].value
    clear = "is better than" if gain > 2 * error else "is worse than" if -gain > 2 * error else "cannot be told from"
    return f"{name} {clear} chance: {gain:+.3f} ± {error:.3f} against random."
