"""`check_method`: which kind a method is of, and how each kind is tried."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Protocol, get_args, runtime_checkable
from unittest.mock import patch

import numpy as np
from jaxtyping import Float

from llmattr import components, context, retraining, training
from llmattr.components.build import attribute
from llmattr.components.contract import Method as ComponentMethod
from llmattr.context.cite import cite
from llmattr.context.contract import Method
from llmattr.core.attribution import Attribution
from llmattr.core.fields import check_field
from llmattr.core.kinds import Kind, kinds_of, public_names
from llmattr.core.method import by_default, find_method
from llmattr.core.returned import returned_scores, unchanged
from llmattr.errors import LlmattrError, LlmattrNote, check_choice, nearest
from llmattr.model import batches
from llmattr.model.lm import LM
from llmattr.retraining.build import retrain
from llmattr.retraining.contract import Method as RetrainingMethod
from llmattr.testing import worlds
from llmattr.testing.properties import (
    AskingMethod,
    check_contract,
    check_names,
    check_near,
    check_retrieved,
    check_scores,
    check_shape,
    check_supports,
    check_worlds_of_sums,
    require,
    state_of,
)
from llmattr.text.rows import row_text
from llmattr.training.contract import (
    VERBS,
    IndexMethod,
    StreamMethod,
    TextMethod,
    TrainingMethod,
    UnrolledMethod,
    WholeMethod,
    find_training_method,
    misspelt,
)
from llmattr.training.projection import Projection
from llmattr.training.trace import trace

SAME = 1e-5  # of the largest score: what other batches may leave of rounding


@runtime_checkable
class RetrievesItself(Protocol):
    """A training method that may claim that a training row, asked for again, is the first of its own answers."""

    retrieves_itself: ClassVar[bool]


def check_method(method: object, kind: Kind | None = None) -> None:
    """Check that a method keeps what every method of its kind keeps; it takes some seconds.

    `method`: an instance, with options that make it cheap (`n_models=40`), or a class. `kind`: a method with a verb of training
    (`weigh`, `transform`, `unroll`, `precondition`, `retrieve`, `quote`) is of training; one that has `attribute` is of
    retraining where that takes a `RetrainingAblation`, of components where it takes a `ComponentAblation`, else of the context,
    unless you say it where that says none.

    Of all: a frozen dataclass with a name, a family and described options, none of which takes nonsense; finite scores of the
    right shape, the same for the same seed, that come back from JSON unchanged; what it is given stays as it is (`cite`,
    `retrain` and `trace` notice changed texts, rows, layers and queries themselves; a model's weights and hooks are compared
    here alone, since that takes as long as they are large). Batch sizes change no score by more than 1e-5 of the largest. Of
    contexts no score changes with what the other targets are; of training none with the order of the rows, rows support
    themselves, in the mean, and a row that is asked for comes first where the class says `retrieves_itself:
    ClassVar[bool] = True`. Of families that ask ablations, where masks are all that the method needs: where sources only add
    up, scores are what they add, positive = support, in any order, and the baseline is what is left without them.

    Raises `AssertionError` with the property, what was got and why it matters, and `LlmattrError` for what is no method at all.
    """
    if kind is not None:
        check_choice("kind", kind, get_args(Kind))
    method = by_default(method) if isinstance(method, type) else method
    named = check_contract(method)
    checks: dict[Kind, Callable[[Any], None]] = {
        "context": check_context,
        "training": check_training,
        "retraining": check_retraining,
        "components": check_components,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)
        kind = kind or kind_of(method)
        check_names(named, kind)
        checks[kind](method)


def kind_of(method: object) -> Kind:
    """Which kind a method is of; where its `attribute` says nothing of the ablation that it takes, the context's."""
    kinds = kinds_of(method)
    if not kinds:
        verbs = ("attribute", *VERBS)
        instead = misspelt(public_names(method), verbs)
        raise LlmattrError(f"a method has one of the verbs {', '.join(verbs)}; {type(method).__name__} has {instead}")
    return "context" if "context" in kinds else min(kinds)


def check_context(method: Method) -> None:
    """On a small model, and where sentences only add up."""
    find_method(method, context.METHODS, Method)
    order = list(range(len(worlds.SENTENCES)))
    forwards, backwards = (worlds.context_of_sums(some) for some in (order, order[::-1]))
    _check_answer(method, forwards)
    model, tokenizer = worlds.model_of_the_context()
    model = model.double()  # in which equal paths give equal numbers

    @unchanged(method.name, lambda: state_of(model), AssertionError)
    def asked(tokens: int = 1024, side: str = "left") -> Attribution:
        lm = LM(model, tokenizer, "a small model", tokens, side)
        context = " ".join(worlds.SENTENCES)
        return cite(lm, context, worlds.QUESTION, response=worlds.ANSWER, method=method, verify=False)

    found = asked()
    check_scores(method, found, asked(), (3, len(worlds.SENTENCES)))
    for tokens, side in ((1, "left"), (4096, "right")):
        why = f"batches of {tokens} tokens, padded on the {side}, change scores: is padding read as text?"
        check_near(method.name, found.values, asked(tokens, side).values, 1e-8, why)
    alone = found.span(found.targets.texts[2]).values
    check_near(method.name, found.values[2:], alone, 0.0, "what other targets there are changes a target's scores")
    _check_sums(method, forwards, backwards)


def check_training(method: TrainingMethod) -> None:
    """On the rows of a small model."""
    find_training_method(method, training.METHODS)
    _check_claims(method)
    if isinstance(method, TextMethod):
        check_retrieved(method, *([row_text(row) for row in part] for part in (worlds.ROWS, worlds.ASKED)))
    pair = worlds.model_of_rows(*worlds.ROWS)
    model, tokenizer = pair[0].double(), pair[1]  # in which equal paths give equal numbers
    how: dict[str, Any] = {"projection": Projection(kind="random", dim=256), "modules": "1.*down_proj", "row_type": "float32"}

    @unchanged(method.name, lambda: state_of(model), AssertionError)
    def asked(rows: Sequence[dict[str, str]] = worlds.ROWS, queries: Sequence[dict[str, str]] = worlds.ASKED) -> Attribution:
        return trace((model, tokenizer), list(rows), list(queries), method, **how)

    found = asked()
    check_scores(method, found, asked(), (len(worlds.ASKED), len(worlds.ROWS)))
    require(not found.cited.any(), f"{method.name}: rows are cited by scores without a unit")
    one = _by_row(found)
    # float32 rows round to 2^-24; a preconditioner with damping d may amplify that by 1 / d at the most, d = 0.01 being usual.
    rounding = 2**-24 / 0.01 * float(np.abs(one).max())
    backwards = _by_row(asked(worlds.ROWS[::-1]))[:, ::-1]
    check_near(method.name, one, backwards, rounding, "rows in another order have other scores: is one known by its place?")
    with patch.object(batches, "BATCH_TOKENS", 40):
        small = _by_row(asked())
    check_near(method.name, one, small, rounding, "rows in smaller batches have other scores: is padding read as text?")
    if isinstance(method, RetrievesItself) and method.retrieves_itself:
        first = int(found[1].top(1)[0].id)
        same = worlds.ROWS[first] == worlds.ASKED[1]
        require(same, f"{method.name} claims that a row finds itself; row {first} came first: are queries treated as rows are?")
    if method.family != "reference":  # which knows nothing, not even that
        check_supports(method.name, _by_row(asked(queries=worlds.ROWS[:8]))[:, :8])


def _check_claims(method: TrainingMethod) -> None:
    """What a class says of itself: its family, and that it finds the row itself, under that name."""
    near = nearest("retrieves_itself", [name for name, said in vars(type(method)).items() if isinstance(said, bool)])
    require(near in (None, "retrieves_itself"), f"{method.name} says {near!r}, which nothing reads: retrieves_itself is meant")
    if isinstance(method, RetrievesItself):
        check_field(f"{method.name}: retrieves_itself", method.retrieves_itself, bool)
    of_gradients = isinstance(method, StreamMethod | UnrolledMethod | WholeMethod) or (
        isinstance(method, IndexMethod) and method.vectors == "gradients"
    )
    fits = method.family == "predictive" or not of_gradients
    require(fits, f"{method.name} is {method.family}: what asks the model's gradients is of the family 'predictive'")


def check_retraining(method: RetrainingMethod) -> None:
    """On a small model that is trained again and again, and where rows only add up."""
    find_method(method, retraining.METHODS, RetrainingMethod)
    forwards, backwards = (worlds.training_of_sums(order) for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]))
    _check_answer(method, forwards)
    model, tokenizer = worlds.model_of_rows(*worlds.FACTS, *worlds.QUERIES)
    pair = model.double(), tokenizer  # in which equal paths give equal numbers

    def asked(runs: str) -> Attribution:
        return retrain(pair, worlds.FACTS, worlds.QUERIES, method, recipe=worlds.SHORT, group_by="place", out=runs)

    of_model = unchanged(method.name, lambda: state_of(model), AssertionError)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other, of_model:
        found, again = asked(one), asked(one)
        with patch.object(batches, "BATCH_TOKENS", 40):
            small = asked(other)
    check_scores(method, found, again, (len(found), len(worlds.PLACES)))
    why = "trained anew by the same seed and asked in smaller batches, scores are others: what else do they depend on?"
    check_near(method.name, found.values, small.values, SAME * float(np.abs(found.values).max()), why)
    _check_sums(method, forwards, backwards)


def check_components(method: ComponentMethod) -> None:
    """On the parts of a small model, and where components only add up."""
    find_method(method, components.METHODS, ComponentMethod)
    forwards, backwards = (worlds.components_of_sums(order) for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]))
    _check_answer(method, forwards)
    model, tokenizer = worlds.model_of_rows(*worlds.FACTS, *worlds.QUERIES)
    model = model.double()  # in which equal paths give equal numbers

    @unchanged(method.name, lambda: state_of(model), AssertionError)
    def asked(tokens: int = 1024) -> Attribution:
        return attribute(LM(model, tokenizer, "a small model", tokens), worlds.QUERIES, method, parts="heads+mlps")

    found = asked()
    check_scores(method, found, asked(), (len(worlds.QUERIES), len(found.sources)))
    why = "batches of one mask change scores: does one row of a batch see another's mask?"
    check_near(method.name, found.values, asked(tokens=1).values, 1e-8, why)
    check_worlds_of_sums(method, forwards, backwards)


def _check_answer(method: AskingMethod, world: worlds.Sums) -> None:
    """What is asked and what comes back, before anything that costs more."""
    ablation = world.ablation
    with suppress(worlds.LooksInsideError):
        with unchanged(method.name, lambda: worlds.given(ablation), AssertionError):
            found = method.attribute(ablation, 0)
        check_shape(method.name, found, world.effects.shape)
        returned_scores(method, found, ablation.sources)


def _check_sums(method: AskingMethod, forwards: worlds.Sums, backwards: worlds.Sums) -> None:
    """Where sources only add up, in two orders; what looks inside is not tried there, since a sum has no inside."""
    with suppress(worlds.LooksInsideError):
        check_worlds_of_sums(method, forwards, backwards)


def _by_row(found: Attribution) -> Float[np.ndarray, "t n"]:
    """Scores in the order of the rows."""
    assert found.index is not None
    values = np.empty_like(found.values)
    np.put_along_axis(values, np.array([int(i) for i in found.sources.ids])[found.index], found.values, axis=1)
    return values
