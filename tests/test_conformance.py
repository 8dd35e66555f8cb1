"""`llmattr.testing.check_method`: over every method of the package, and on methods that are wrong in one thing each."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import ClassVar

import numpy as np
import pytest

from llmattr import components, context, retraining, surrogate, training
from llmattr.context.methods.games import LeaveOneOut
from llmattr.context.methods.retrieval import similarities
from llmattr.core.method import FAMILIES, option
from llmattr.errors import LlmattrError
from llmattr.model import batches
from llmattr.retraining.ablation import RetrainingAblation
from llmattr.testing import RetrievesItself, check_method
from llmattr.testing.checks import kind_of
from llmattr.training.index.search import Weighed

CHEAP = {"bootstraps": 10, "n_models": 40}  # bootstraps and trained models take most of the time
SHORT = {"cg": {"steps": 20}, "lissa": {"steps": 20}, "astra": {"steps": 20}, "arnoldi": {"steps": 20, "keep": 5}}
KINDS = {
    "context": context.METHODS,
    "training": training.METHODS,
    "retraining": retraining.METHODS,
    "components": components.METHODS,
}
SLOW = ("retraining-*", "training-astra", "training-lissa", "training-cg", "training-arnoldi", "components-shapley")  # seconds
EVERY = [
    pytest.param(
        kind, method, id=(one := f"{kind}-{name}"), marks=[pytest.mark.slow] * any(fnmatch(one, some) for some in SLOW)
    )
    for kind, methods in KINDS.items()
    for name, method in methods.items()
]


def cheap(method):
    options = {name: value for name, value in CHEAP.items() if name in method.__dataclass_fields__}
    return method(**options, **SHORT.get(method.name, {}))


@pytest.mark.parametrize(("kind", "method"), EVERY)
def test_every_method_conforms(kind, method):
    assert kind_of(method()) == kind
    check_method(cheap(method))


def test_retraining_is_no_baseline():
    assert {method.family for method in retraining.METHODS.values()} <= {*FAMILIES} - {"reference"}


def test_all_gradients_claim_to_find_the_row_itself():
    """And no baseline does, nor verbatim, which finds any row that has the completion's words, and none where they are few."""
    claim = {name for name, method in training.METHODS.items() if isinstance(method(), RetrievesItself)}
    assert claim >= {name for name, method in training.METHODS.items() if method.family == "predictive"}
    assert not claim & {"random", "length", "word-share", "verbatim"}


@dataclass(frozen=True)
class Mine:
    """What is lost without each source."""

    name: ClassVar[str] = "mine"
    family: ClassVar[str] = "game-theoretic"

    def attribute(self, ablation, seed=0):
        return surrogate.leave_one_out(ablation, seed)


OTHER_NAME = r"the method Slip has no 'attribute': is 'atribute' meant for it\?"
WRONG_VERB = {
    None: r"one of the verbs attribute, weigh, .*; Slip has 'atribute'; did you mean 'attribute'\?",
    "context": OTHER_NAME,
    "retraining": OTHER_NAME,
}


class TestContract:
    """What the command line and records would stumble over, before anything is run."""

    def refused(self, message, **changes):
        body = {"__doc__": "Mine.", "__annotations__": {}, **changes}
        with pytest.raises((AssertionError, LlmattrError), match=message):
            check_method(dataclass(frozen=True)(type("Mine", (Mine,), body)))

    def test_a_name_that_is_no_command(self):
        self.refused("becomes a sub-command", name="My method")

    def test_a_family_that_is_none(self):
        self.refused("'magic'; there are datamodel, game-theoretic, predictive, corroborative, reference", family="magic")

    def test_no_docstring(self):
        self.refused("no docstring, whose first line", __doc__=None)

    def test_no_dataclass(self):
        class Plain:
            name = "plain"

        with pytest.raises(AssertionError, match="Plain is no dataclass"):
            check_method(Plain())

    def test_not_frozen(self):
        @dataclass
        class Loose:
            """Loose."""

            name: ClassVar[str] = "loose"
            family: ClassVar[str] = "predictive"

        with pytest.raises(AssertionError, match="Loose is not frozen"):
            check_method(Loose)

    @pytest.mark.parametrize(
        ("kind", "made", "message"),
        [
            (int, field(default=3), "option much has no description"),
            (int, option(0, "how much", least=1), "much must be 1 or more"),
            (tuple, option((), "how much"), "of the type <class 'tuple'>, which no command line can give"),
            (int | None, option(None, "how much"), "of the type int | None, which no command line can give"),
            (int | str, option(1, "how much"), "of the type int | str, which no command line can give"),
            ("NoSuchType", option(1, "how much"), "the types of Mine's fields cannot be read"),
        ],
    )
    def test_an_option(self, kind, made, message):
        self.refused(message, much=made, __annotations__={"much": kind})

    @pytest.mark.parametrize(("kind", "name"), [("context", "top"), ("context", "no_cache"), ("retraining", "steps")])
    def test_an_option_that_the_command_has(self, kind, name):
        body = {"__doc__": "Mine.", "__annotations__": {name: int}, name: option(3, "so many")}
        mine = dataclass(frozen=True)(type("Mine", (Mine,), body))
        with pytest.raises(AssertionError, match=f"mine's option {name} is one of the command's own: give it another name"):
            check_method(mine, kind)

    def test_an_option_without_a_default(self):
        self.refused("every option needs a default", much=field(metadata={"help": "how much"}), __annotations__={"much": int})

    def test_no_verb_or_a_misspelt_one(self):
        @dataclass(frozen=True)
        class Slip:
            """A slip."""

            name: ClassVar[str] = "slip"
            family: ClassVar[str] = "corroborative"

            def retreive(self, rows, queries):
                return np.zeros((len(queries), len(rows)))

        with pytest.raises(LlmattrError, match="Slip has 'retreive'; did you mean 'retrieve'"):
            check_method(Slip)

    @pytest.mark.parametrize("kind", [None, "context", "retraining"])
    def test_a_misspelt_attribute(self, unchecked, kind):
        @dataclass(frozen=True)
        class Slip:
            """A slip."""

            name: ClassVar[str] = "slip"
            family: ClassVar[str] = "datamodel"

            def atribute(self, ablation, seed=0):
                return surrogate.leave_one_out(ablation, seed)

        with pytest.raises(LlmattrError, match=WRONG_VERB[kind]):
            check_method(Slip, kind)

    def test_a_kind_that_is_none(self, unchecked):
        with pytest.raises(LlmattrError, match="kind must be one of"):
            check_method(context.METHODS["bm25"], "contxt")


class TestBroken:
    """One property each that does not hold; the failure names it."""

    def broken(self, message, **changes):
        mine = dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", **changes}))
        with pytest.raises(AssertionError, match=message):
            check_method(mine())

    def test_a_look_into_the_model_is_not_asked_of_a_world_of_sums(self):
        def attribute(self, ablation, seed=0):
            assert not ablation.lm.model.training
            return surrogate.leave_one_out(ablation, seed)

        check_method(dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": attribute})))

    def test_the_sign(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=-found.values)

        message = (
            r"mine: source 0 adds \+5.70 to target 0, .* its score is -5.70 .*: positive is support: is the sign turned round\?"
        )
        self.broken(message, attribute=attribute)

    def test_the_sign_in_retraining(self):
        def attribute(self, ablation: RetrainingAblation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=-found.values)

        self.broken("positive is support", attribute=attribute)

    def test_the_batches_of_queries_in_retraining(self):
        """One part in ten thousand is more than rounding."""

        def attribute(self, ablation: RetrainingAblation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=found.values * (1 + 1e-4 * (batches.BATCH_TOKENS == 40)))

        self.broken("by the same seed and asked in smaller batches, scores are others", attribute=attribute)

    def test_an_error_in_retraining_is_no_excuse(self):
        """A world of sums has no model to look at: that alone is why a method may not be tried there."""

        def attribute(self, ablation: RetrainingAblation, seed=0):
            if len(ablation.sources) == 5:
                raise LlmattrError("five sources are too many")
            return surrogate.leave_one_out(ablation, seed)

        with pytest.raises(LlmattrError, match="five sources are too many"):
            check_method(dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": attribute})))

    def test_the_order(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=found.values[:, ::-1])

        self.broken("does column i stand for source i, in its unit", attribute=attribute)

    def test_the_place(self):
        def attribute(self, ablation, seed=0):
            places = np.tile(np.arange(len(ablation.sources), dtype=float), (len(ablation.targets), 1))
            return similarities(self, ablation, places, "places")

        self.broken("in another order sources have other scores", attribute=attribute, family="corroborative")

    def test_the_seed(self):
        def attribute(self, ablation, seed=0):
            values = np.random.normal(size=(len(ablation.targets), len(ablation.sources)))
            return similarities(self, ablation, values, "numbers")

        self.broken("the same seed gave scores .* is something drawn from a global state", attribute=attribute)

    def test_the_shape(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=found.values[:, :2], sources=found.sources.subset(np.arange(2)))

        self.broken(r"values are \(3, 2\) for 3 targets and 5 sources", attribute=attribute)

    def test_scores_that_are_no_attribution(self):
        def attribute(self, ablation, seed=0):
            return surrogate.leave_one_out(ablation, seed).values

        self.broken("mine: attribute returned a ndarray and no Attribution", attribute=attribute)

    def test_no_seed(self):
        def attribute(self, ablation):
            return surrogate.leave_one_out(ablation)

        mine = dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": attribute}))
        with pytest.raises(LlmattrError, match=r"Mine: attribute takes \(ablation\), and must take \(ablation, seed=0\)"):
            check_method(mine())

    def test_no_arguments_at_all(self):
        mine = dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": lambda self: None}))
        with pytest.raises(LlmattrError, match=r"Mine: attribute takes \(\), and must take \(ablation, seed=0\)"):
            check_method(mine())

    def test_targets_that_are_not_by_themselves(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, values=found.values / found.values.std())

        self.broken("what other targets there are changes a target's scores", attribute=attribute)

    def test_citations_of_what_never_asked(self):
        def attribute(self, ablation, seed=0):
            return replace(similarities(self, ablation, np.ones((3, 5)), "nats"), targets=ablation.targets)

        self.broken("corroborative scores may cite, though nothing was asked", attribute=attribute, family="corroborative")

    @pytest.mark.parametrize("world", ["context", "retraining"])
    def test_other_sources_than_were_asked(self, world):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            turned = replace(found.sources, texts=found.sources.texts[::-1])
            return replace(found, sources=turned)

        mine = dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": attribute}))
        with pytest.raises(LlmattrError, match="mine: attribute gave scores of other sources, or in another order"):
            check_method(mine, world)

    def test_what_it_was_given_is_left_as_it_was(self):
        def reverse(ablation):
            ablation.sources.texts.reverse()

        def rename(ablation):
            ablation.sources.ids[0] = "X"

        for change in (reverse, rename):

            def attribute(self, ablation, seed=0, change=change):
                found = surrogate.leave_one_out(ablation, seed)
                change(ablation)
                return found

            self.broken("mine changed what it was given, which others use after it", attribute=attribute)

    def test_what_rows_belong_to_is_left_as_it_was(self):
        def attribute(self, ablation: RetrainingAblation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            ablation.member[:] = 0
            return found

        self.broken(r"mine changed what it was given, .* \(member\)", attribute=attribute)

    def test_where_sources_stand_is_left_as_it_was(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            ablation.sources.spans[:] = 0
            return found

        self.broken(r"mine changed what it was given, .* \(sources\)", attribute=attribute)

    def test_no_hook_is_left_on_the_model(self):
        def attribute(self, ablation, seed=0):
            ablation.weights.model.register_forward_hook(lambda *_: None)
            return surrogate.leave_one_out(ablation, seed)

        self.broken(r"mine changed what it was given, .* \(hooks\): .* or put it back as it was", attribute=attribute)

    def test_the_baseline(self):
        def attribute(self, ablation, seed=0):
            found = surrogate.leave_one_out(ablation, seed)
            return replace(found, baseline=found.baseline + 100)

        self.broken(r"target \d is .* without any source, and its baseline \+\d", attribute=attribute)

    def test_no_number(self):
        def attribute(self, ablation, seed=0):
            return similarities(self, ablation, np.full((len(ablation.targets), len(ablation.sources)), np.nan), "nats")

        with pytest.raises(LlmattrError, match="scores must be finite"):
            check_method(dataclass(frozen=True)(type("Mine", (Mine,), {"__doc__": "Mine.", "attribute": attribute})))


class TestBrokenTraining:
    def made(self, **changes):
        body = {"__doc__": "Mine.", "name": "mine", "family": "corroborative", "unit": "numbers", "measure": "loss", **changes}
        return dataclass(frozen=True)(type("Mine", (), body))

    def broken(self, message, **changes):
        with pytest.raises(AssertionError, match=message):
            check_method(self.made(**changes))

    def test_the_place(self):
        def retrieve(self, rows, queries):
            return np.tile(np.arange(len(rows), dtype=float), (len(queries), 1))

        self.broken(r"rows in another order .* is one known by its place\?", retrieve=retrieve)

    def test_the_sign(self):
        """A row that is told by its gradient, with the sign of the loss turned round."""

        def weigh(self, index, queries):
            return Weighed(-queries, cosine=True)

        changes = {"family": "predictive", "vectors": "gradients", "retrieves_itself": True, "weigh": weigh}
        self.broken(r"claims that a row finds itself; row \d+ came first", **changes)

    def test_the_batches(self):
        """One part in ten thousand is more than rounding."""

        def weigh(self, index, queries):
            return Weighed(queries * np.float32(1 + 1e-4 * (batches.BATCH_TOKENS == 40)))

        self.broken("rows in smaller batches have other scores", family="predictive", vectors="gradients", weigh=weigh)

    def test_a_claim_that_is_a_text(self, unchecked):
        def retrieve(self, rows, queries):
            return np.zeros((len(queries), len(rows)))

        with pytest.raises(LlmattrError, match="mine: retrieves_itself must be True or False, not 'no'"):
            check_method(self.made(retrieve=retrieve, retrieves_itself="no"))

    def test_the_shape(self):
        def retrieve(self, rows, queries):
            return np.zeros((len(rows), len(queries)))

        self.broken(r"retrieve gave \(24, 2\) for 2 queries and 24 rows: one row for each query", retrieve=retrieve)

    @pytest.mark.parametrize("turned", [False, True])
    def test_the_sign_where_nothing_is_claimed(self, turned):
        """Rows support themselves in the mean, whatever the class says of itself."""

        def weigh(self, index, queries):
            return Weighed(-queries if turned else queries)

        def transform(self, fitted, groups):
            return lambda name, gradients: -gradients if turned else gradients

        def precondition(self, lm, examples, layers, queries, seed):
            return -queries if turned else queries

        def retrieve(self, rows, queries):
            shares = np.array([[len({*row.split()} & {*query.split()}) for row in rows] for query in queries], dtype=float)
            return -shares if turned else shares

        of_gradients = {"family": "predictive", "product": "dot", "rank": 0, "fit": lambda self, lm, examples, layers, seed: {}}
        kinds = (
            {"family": "predictive", "vectors": "gradients", "weigh": weigh},
            {**of_gradients, "transform": transform},
            {"family": "predictive", "precondition": precondition},
            {"retrieve": retrieve},
        )
        for changes in kinds:
            if turned:
                self.broken(r"mine: rows score -\S+ for themselves and -\S+ for any, in the mean: .* sign turned", **changes)
            else:
                check_method(self.made(**changes))

    def test_a_name_that_nothing_reads(self):
        retrieve = training.METHODS["length"].retrieve
        self.broken("says 'retrives_itself', which nothing reads", retrieve=retrieve, retrives_itself=True)

    def test_gradients_that_are_said_to_compare_texts(self):
        def weigh(self, index, queries):
            return Weighed(queries)

        self.broken("mine is corroborative: what asks the model's gradients", vectors="gradients", weigh=weigh)

    def test_a_model_that_is_left_in_another_state(self):
        def precondition(self, lm, examples, layers, queries, seed):
            lm.model.train()
            return queries

        self.broken("mine changed what it was given", family="predictive", precondition=precondition)


def test_a_class_or_an_instance_and_the_kind_that_is_said():
    check_method(LeaveOneOut)
    check_method(Mine())
    check_method(Mine(), "retraining")


def test_a_method_that_looks_inside_though_it_asks_ablations():
    """A world of sums has no inside: what needs one is tried on the model alone."""
    check_method(context.METHODS["ridge"](n_ablations=8, prior="gates", bootstraps=0))
