"""`attribute`: which components of the model made it say this, found by taking them away."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack, get_args

from llmattr.components.ablation import ComponentAblation
from llmattr.components.asked import Asked, asked_of, counterfactual
from llmattr.components.attended import attended
from llmattr.components.contract import Method
from llmattr.components.features.dictionary import Dictionary
from llmattr.components.features.folders import load_dictionary
from llmattr.components.features.splice import spliced
from llmattr.components.fills import Fill, Way, means, seen, zeros
from llmattr.components.methods import METHODS
from llmattr.components.methods.patching import Verified
from llmattr.components.sites import FEATURES, Site, sites_of
from llmattr.core.attribution import Attribution
from llmattr.core.method import check_options, find_method
from llmattr.core.returned import scores_of
from llmattr.core.sources import Measure
from llmattr.errors import LlmattrError, check_choice
from llmattr.metrics.circuits import FAITHFULNESS, faithfulness_curve
from llmattr.model.forward import abilities, uncompiled
from llmattr.model.lm import LM
from llmattr.text.reading import Queries, read_queries

MEANING = "positive = the component made the completion likelier"
COMPARED = f"{MEANING} than the one that it is set against"


class ComponentOptions(TypedDict, total=False):
    """What `component_ablation` takes beside the model and the queries."""

    parts: str
    dictionary: Dictionary | str | Path | None
    way: Way
    sample: Queries | None
    measure: Measure
    mean: bool


def attribute(
    model: object,
    queries: Queries,
    method: object = Verified(),
    *,
    seed: int = 0,
    circuits: bool = False,
    **options: Unpack[ComponentOptions],
) -> Attribution:
    """Attribute completions to components of the model; options as for `component_ablation`.

    `circuits`: also measure what the components with the highest scores do alone, by ten more ablations of each target: the
    detail "faithfulness", `metrics.circuits.faithfulness_curve` at the shares `KEPT`. Returns values [t, n] for all n
    components, in nats.
    """
    chosen: Method = find_method(method, METHODS, Method)
    return attributed(component_ablation(model, queries, **options), chosen, seed, circuits)


def attributed(ablation: ComponentAblation, method: Method, seed: int = 0, circuits: bool = False) -> Attribution:
    """What `attribute` returns, from an ablation that further questions can be put to."""
    check_options(method)
    started = time.perf_counter()
    found = scores_of(method, ablation, lambda: method.attribute(ablation, seed), ablation.targets)
    run = {**found.run, **ablation.record(), "seconds": {"ablate": time.perf_counter() - started}}
    said = {"run": run, "asked": ablation.asked.queries, "model": ablation.lm.fingerprint()}
    details = {**found.details, **attended(ablation)}
    details |= {FAITHFULNESS: faithfulness_curve(found.values, ablation).tolist()} if circuits else {}
    return dataclasses.replace(
        found, **said, details=details, traced=True, meaning=COMPARED if (ablation.asked.weights < 0).any() else MEANING
    )


def component_ablation(
    model: object,
    queries: Queries,
    *,
    parts: str = "heads",
    dictionary: Dictionary | str | Path | None = None,
    way: Way = "zero",
    sample: Queries | None = None,
    measure: Measure = "logprob",
    mean: bool = False,
) -> ComponentAblation:
    """An `Ablation` whose sources are components of a causal model and whose targets are completions of prompts.

    `model`: a name or folder, or a (model, tokenizer) pair. `queries`: rows with `prompt` and `completion`, or a file of them;
    with `rather_than`, another completion, the target is by how much the first is likelier: of single tokens the difference of
    their logits. `parts`: heads, mlps, attentions, layers, neurons, several with + between them; and features: those of the
    `dictionary` (or of its folder) that the prompts make active, and the error term, all that they leave. `way`: what a removed
    component gives, "zero", its "mean" over all tokens of the `sample` (rows; without it the queries), or "resample": what it
    computes on the query's `counterfactual`, a prompt of as many tokens. `measure`: "logprob", or "logit": log-odds, which are
    the margin over all other completions. `mean`: one target, the mean over the queries.
    """
    check_choice("way", way, get_args(Way))
    check_choice("measure", measure, get_args(Measure))
    if sample is not None and way != "mean":
        raise LlmattrError(f"a sample is what means are taken over, and components are removed by {way!r}: leave it out")
    lm, rows = _causal(model), read_queries(queries)
    asked = asked_of(lm, rows, measure, mean)
    sites = _sites(lm, parts, dictionary, asked, way)
    return ComponentAblation(lm, sites, asked, _fills(lm, sites, asked, way, sample), way)


def check_heads(model: object) -> None:
    """Raise `LlmattrError` where a model has no attention heads that could be removed."""
    sites_of(_causal(model), "heads")


def _sites(lm: LM, parts: str, dictionary: Dictionary | str | Path | None, asked: Asked, way: Way) -> list[Site]:
    """Of all parts that are named; features and the error term are the last."""
    named = parts.split("+")
    if FEATURES in named and dictionary is None:
        raise LlmattrError("features are those of a dictionary: give its folder (--dictionary)")
    if dictionary is not None and FEATURES not in named:
        raise LlmattrError(f"a dictionary is for the parts {FEATURES!r}, and {parts!r} are asked for: leave it out")
    built = [part for part in named if part != FEATURES]
    sites = sites_of(lm, "+".join(built)) if built else []
    if dictionary is None:
        return sites
    loaded = load_dictionary(dictionary, lm.device) if isinstance(dictionary, (str, Path)) else dictionary
    texts = [asked.requests[together[0]].ids for together in asked.passes]
    return [*sites, *spliced(lm, loaded, [*texts, *(counterfactual(lm, asked) if way == "resample" else [])]).sites]


def _causal(model: object) -> LM:
    lm = LM.load(model)
    if lm.kind != "causal":
        raise LlmattrError(f"components are those of causal models, not of the {lm.kind} model {lm.name!r}")
    lm = dataclasses.replace(lm, model=uncompiled(lm.model))  # what is compiled passes hooks by
    abilities(lm.model)  # asked before anything in it is changed
    return lm


def _fills(lm: LM, sites: Sequence[Site], asked: Asked, way: Way, sample: Queries | None) -> list[Fill]:
    """What removed components give, for each request."""
    if way == "resample":
        return [seen(lm, sites, ids) for ids in counterfactual(lm, asked)]
    if way == "zero":
        return [zeros(sites)] * len(asked.requests)
    texts = [request.ids for request in asked.requests] if sample is None else lm.tokenize(read_queries(sample)).ids
    return [means(lm, sites, texts)] * len(asked.requests)
