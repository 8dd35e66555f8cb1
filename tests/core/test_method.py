"""What a method is: its options, their bounds and their words, wherever they are given."""

from __future__ import annotations  # as in a contributor's file: the types of the fields below are texts

import importlib
import inspect
import pkgutil
import re
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal, Protocol, get_args, get_origin, get_type_hints, runtime_checkable

import numpy as np
import pytest
import torch

import llmattr
from llmattr import context, retraining, training
from llmattr.cli.methods import options_of
from llmattr.core.fields import accepted, types_of
from llmattr.core.kinds import TRAINING_VERBS
from llmattr.core.method import Named, describe, find_method, option
from llmattr.core.returned import returned, unchanged
from llmattr.errors import LlmattrError, check_number
from llmattr.testing.worlds import FACTS, SHORT, model_of_rows
from llmattr.training.contract import VERBS
from llmattr.training.projection import Projection
from tests import worlds


@dataclass(frozen=True)
class Mine:
    """A method in a file whose annotations are not evaluated."""

    name: ClassVar[str] = "mine"
    k: int = option(3, "so many", least=1)
    rate: float | Literal["auto"] = option("auto", "how fast", below=1)
    kind: Literal["one", "other"] = option("one", "which")


@dataclass(frozen=True)
class Annotated(Mine):
    """A method that says more of itself than its fields, in words that only a type checker knows."""

    measure: ClassVar[KnownToCheckersAlone] = "loss"
    more: Literal["this", "that"] = option("this", "which")


@dataclass(frozen=True)
class Unreadable:
    """A method with a type that is nowhere."""

    name: ClassVar[str] = "unreadable"
    k: NoSuchType = 3


@pytest.mark.usefixtures("unchecked")
class TestFields:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"k": -5}, "k must be 1 or more and whole, not -5"),
            ({"k": 1.5}, "k must be 1 or more and whole"),
            ({"k": True}, "k must be 1 or more and whole, not True"),
            ({"rate": 2.0}, "rate must lie between 0 and 1"),
            ({"rate": "autoo"}, "rate must be 'auto' or a number, not 'autoo'; did you mean 'auto'"),
            ({"kind": "othr"}, "kind must be one of one, other, not 'othr'; did you mean 'other'"),
            ({"kind": 3}, "kind must be one of one, other, not 3"),
        ],
    )
    def test_bounds_hold_where_annotations_are_texts(self, given, message):
        with pytest.raises(LlmattrError, match=message):
            find_method(Mine(**given), {"mine": Mine})
        with pytest.raises(LlmattrError, match=message):
            describe(Mine(**given))  # so that no result is made of it

    def test_good_ones_pass_and_are_command_line_options(self):
        assert find_method(Mine(k=np.int64(2), rate=0.5), {"mine": Mine}) == Mine(2, 0.5)
        k, rate, kind = options_of(Mine)
        assert (k.type.name, rate.type.words, kind.type.choices) == ("integer", ("auto",), ("one", "other"))

    def test_a_type_that_is_nowhere(self):
        message = "types of Unreadable's fields cannot be read: name 'NoSuchType' is not defined; import or define it"
        with pytest.raises(LlmattrError, match=message):
            find_method(Unreadable, {"unreadable": Unreadable})

    def test_only_types_of_fields_are_read_and_those_of_bases_too(self):
        assert list(types_of(Annotated)) == ["k", "rate", "kind", "more"]
        assert types_of(Annotated)["more"] == Literal["this", "that"]
        assert types_of(Annotated)["k"] is int


@pytest.mark.parametrize("methods", [context.METHODS, retraining.METHODS, training.METHODS])
def test_the_name_of_another_method_is_refused(methods):
    name, kind = next(iter(methods.items()))
    other = dataclass(frozen=True)(type("Other", (kind,), {}))
    with pytest.raises(LlmattrError, match=f"'{name}' is the name of another method: give Other a name of its own"):
        find_method(other, methods)


@runtime_checkable
class Asking(Named, Protocol):
    """A contract with one verb, as each family has one."""

    def ask(self, masks: int, seed: int = 0) -> int:
        """Nothing."""
        ...


@pytest.mark.usefixtures("unchecked")
class TestArguments:
    """A verb is called by place: names do not matter, how many it takes and of which kind do."""

    @pytest.mark.parametrize(
        "ask",
        [
            lambda self, masks, seed: 1,
            lambda self, m, s=0, more=None: 1,
            lambda self, *given: 1,
            staticmethod(lambda masks, seed=0: 1),
            classmethod(lambda kind, masks, seed=0, *, how="": 1),
        ],
    )
    def test_that_can_be_given(self, ask):
        kind = dataclass(frozen=True)(type("Some", (), {"name": "some", "ask": ask}))
        assert find_method(kind, {}, Asking).ask(3, 0) == 1

    @pytest.mark.parametrize(
        ("ask", "message"),
        [
            (lambda self: 1, "ask takes (), and must take (masks, seed=0)"),
            (lambda self, masks: 1, "ask takes (masks), and must take (masks, seed=0)"),
            (lambda self, masks, *, seed=0: 1, "ask takes (masks, *, seed=0), and must take (masks, seed=0)"),
            (lambda self, a, b, c: 1, "ask takes (a, b, c), and must take (masks, seed=0)"),
            (lambda self, a, b, *, c: 1, "ask takes (a, b, *, c), and must take (masks, seed=0)"),
            (3, "ask is 3 and no function"),
        ],
    )
    def test_that_cannot(self, ask, message):
        kind = dataclass(frozen=True)(type("Some", (), {"name": "some", "ask": ask}))
        with pytest.raises(LlmattrError) as raised:
            find_method(kind(), {}, Asking)
        assert str(raised.value) == f"Some: {message}"

    def test_before_a_model_is_loaded(self):
        body = {"name": "some", "family": "reference", "attribute": lambda self, ablation: None}
        some, rows = dataclass(frozen=True)(type("Some", (), body))(), [{"prompt": "a", "completion": "b"}] * 3
        for call in (
            lambda: llmattr.cite("no such model", "It opened in 1914.", "When?", method=some),
            lambda: llmattr.retrain("no such model", rows, rows[0], some),
        ):
            with pytest.raises(LlmattrError, match=r"Some: attribute takes \(ablation\), and must take \(ablation, seed=0\)"):
                call()


class TestReturned:
    @pytest.mark.parametrize("ones", [np.ones, torch.ones])
    def test_an_array_of_numbers(self, ones):
        kind, good = type(ones(1)), ones((2, 3))
        assert returned(Mine(), "weigh", good, kind, (2, 3)) is good
        with pytest.raises(LlmattrError, match=r"mine: weigh gave an array \(2, 3\) where \(3, 2\) is needed"):
            returned(Mine(), "weigh", good, kind, (3, 2))
        for bad in (float("nan"), float("inf"), -float("inf")):
            with pytest.raises(LlmattrError, match="mine: weigh gave a number that is not finite, of numbers that are"):
                returned(Mine(), "weigh", good * bad, kind, (2, 3))

    def test_something_else(self):
        for bad, message in (
            ([[1.0]], "mine: retrieve gave a list and no ndarray"),
            (np.array([["a"]]), "mine: retrieve gave an array of <U1, which are no numbers"),
            (np.array([[True]]), "mine: retrieve gave an array of bool, which are no numbers"),
            (np.ma.ones((1, 1)), "mine: retrieve gave a MaskedArray that is masked, sparse or a matrix: give a plain array"),
            (np.ones((1, 1)).view(np.matrix), "mine: retrieve gave a matrix that is"),
        ):
            with pytest.raises(LlmattrError, match=message):
                returned(Mine(), "retrieve", bad, np.ndarray, (1, 1))

    @pytest.mark.parametrize("shape", [(1, 1), None])
    def test_a_sparse_tensor(self, shape):
        with pytest.raises(LlmattrError, match="mine: fit gave a Tensor that is masked, sparse or a matrix"):
            returned(Mine(), "fit", torch.ones(1, 1).to_sparse(), torch.Tensor, shape)

    def test_truth_values_of_torch(self):
        with pytest.raises(LlmattrError, match=r"mine: transform gave an array of torch\.bool, which are no numbers"):
            returned(Mine(), "transform", torch.ones(1, 1) > 0, torch.Tensor, (1, 1))


def test_what_is_changed_is_named():
    given = {"rows": [1, 2], "queries": [3]}

    @unchanged("mine", lambda: {name: list(some) for name, some in given.items()})
    def reverse():
        for some in given.values():
            some.reverse()

    with pytest.raises(LlmattrError, match=r"mine changed what it was given, which others use after it \(rows\): let it work"):
        reverse()


def words_of(kind):
    return get_args(kind) if get_origin(kind) is Literal else accepted(kind)[1]


PLACES = ("ablation", "context", "metrics", "origins", "retraining", "surrogate", "training")


def functions_with_choices():
    """Every public function of what attributes and measures that has an argument with a choice of words, and that argument."""
    found = {}
    for module in pkgutil.walk_packages(llmattr.__path__, "llmattr."):
        if module.name.split(".")[1] not in PLACES:
            continue
        for name, function in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.name:
                continue
            try:
                hints = get_type_hints(function)
            except NameError:  # a type of another file that is imported for checks alone
                continue
            for argument, kind in hints.items():
                if argument != "return" and words_of(kind):
                    found[f"{module.name}.{name}({argument})"] = (function, argument)
    return found


FUNCTIONS = functions_with_choices()
# What the choice is handed on to, which refuses it: see run_backward.
HANDED_ON = {f"llmattr.training.gradients.capture.{name}(measure)" for name in ("record", "exact_gradients")}
HANDED_ON |= {f"llmattr.training.vectors.fill.{name}(measure)" for name in ("fill", "project")}
GIVEN = {
    "ablation": worlds.either(3),
    "masks": worlds.all_masks(3),
    "logprobs": np.zeros((8, 2)),
    "tokens": np.array([[0, 2]]),
    "keep": 0.5,
    "limit": 16,
    "seed": 0,
    "name": "option",
}


@pytest.mark.usefixtures("unchecked")
class TestFunctions:
    def test_they_are_found(self):
        for name in ("surrogate.game.shapley(method)", "surrogate.game.banzhaf(method)", "context.cite.cite(measure)"):
            assert f"llmattr.{name}" in FUNCTIONS
        assert set(FUNCTIONS) > HANDED_ON

    @pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - HANDED_ON))
    def test_no_unknown_word_is_taken(self, name):
        function, argument = FUNCTIONS[name]
        plain = inspect.unwrap(function)
        needed = [p.name for p in inspect.signature(plain).parameters.values() if p.default is p.empty]
        given = {one: GIVEN.get(one) for one in needed}
        if "method" in needed:
            given["method"] = "leave-one-out"
        for typo in ("no such word", "Exact", "AUTO", ""):
            with pytest.raises(LlmattrError, match=f"{argument}|normalize|prior"):
                plain(**{**given, argument: typo})

    def test_the_two_that_took_another_estimator(self):
        for typo in ("permutations", "Exact", "exat"):
            for estimate in (llmattr.surrogate.shapley, llmattr.surrogate.banzhaf):
                with pytest.raises(LlmattrError, match="method must be one of"):
                    estimate(worlds.either(3), method=typo)


EVERY = {
    f"{family.__name__}.{name}": method for family in (context, training, retraining) for name, method in family.METHODS.items()
} | {"Recipe": retraining.Recipe, "Projection": Projection}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", EVERY)
def test_no_option_of_a_method_takes_an_unknown_word(name):
    method = EVERY[name]()
    for one in fields(method):
        words = accepted(types_of(type(method))[one.name])[1]
        if words:
            with pytest.raises(LlmattrError, match=f"{one.name} must be"):
                llmattr.core.method.check_options(replace(method, **{one.name: "no such word"}))


def test_a_truth_value_is_no_number():
    with pytest.raises(LlmattrError, match="k must be 1 or more and whole, not True"):
        check_number("k", True, 1, whole=True)


@dataclass(frozen=True)
class Plain:
    """A method with a switch and a name."""

    name: ClassVar[str] = "plain"
    is_on: bool = option(True, "whether")
    model: str = option("minilm", "which")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"is_on": "no"}, "is_on must be True or False, not 'no'"),
        ({"is_on": None}, "is_on must be True or False, not None"),
        ({"model": 5}, "model must be a text, not 5"),
        ({"model": None}, "model must be a text, not None"),
    ],
)
def test_switches_and_names_are_checked_too(options, what):
    with pytest.raises(LlmattrError, match=what):
        describe(Plain(**options))
    assert describe(Plain()) == {"name": "plain", "is_on": True, "model": "minilm"}


ONE = option(1, "so many")


def some(kind="int", made=ONE, **body):
    """A method with one field `k`."""
    body = {"__annotations__": {"k": kind}, "k": made, "name": "some", "__module__": __name__, **body}
    return dataclass(frozen=True)(type("Some", (), body))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Literal[1, 2], "Some: the words of k \\(Literal\\) must be texts, not 1"),
        ("int |", "the types of Some's fields cannot be read: "),
        (
            "np.nosuch",
            "fields cannot be read: module 'numpy' has no attribute 'nosuch'; import or define it",
        ),
    ],
)
def test_types_that_cannot_be_read_are_one_line(kind, what):
    with pytest.raises(LlmattrError, match=what):
        find_method(some(kind)(), {})


def test_none_is_taken_where_it_is_said():
    assert describe(some("str | None", option(None, "which"))()) == {"name": "some", "k": None}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: option(1, 5), "an option's help must be text, not 5"),
        (lambda: option(1, "so many", least="1"), "an option's bounds must be numbers, not '1' and inf"),
        (lambda: option(1, "so many", below=None), "an option's bounds must be numbers, not 0 and None"),
    ],
)
def test_an_option_that_is_none(made, what):
    with pytest.raises(LlmattrError, match=f"^{what}$"):
        made()


@pytest.mark.usefixtures("unchecked")
class TestNames:
    @pytest.mark.parametrize("name", ["My Method", "", "a\nb", "-a", "a--b", "naïve"])
    def test_no_word_of_a_command_line(self, name):
        with pytest.raises(LlmattrError, match="becomes a sub-command: it must be small letters, digits and hyphens"):
            find_method(some(name=name), {})

    @pytest.mark.parametrize("name", [5, ["x"]])
    def test_no_text(self, name):
        with pytest.raises(LlmattrError, match=re.escape(f"Some: name must be text, not {name}")):
            find_method(some(name=name), {"mine": Mine})

    @pytest.mark.parametrize("name", ["other", 5])
    def test_listed_under_another(self, name):
        with pytest.raises(LlmattrError, match=re.escape(f"METHODS[{name!r}] is <class") + ".* of a method of that name"):
            find_method("mine", {"mine": Mine, name: Mine})

    @pytest.mark.parametrize("listed", [Mine(), 5, lambda: Mine(), str, None])
    def test_something_else_is_listed(self, monkeypatch, capsys, listed):
        message = "METHODS['mine'] is .*, and must be the class of a method of that name"
        monkeypatch.setitem(context.METHODS, "mine", listed)
        with pytest.raises(LlmattrError, match=message.replace("[", r"\[")):
            llmattr.cite("no such model", "It opened in 1914.", "When?")
        for line in (["cite", "file", "mine"], ["cite", "--help"]):
            assert llmattr.cli.main(line) == 2
            assert capsys.readouterr().err.startswith("llmattr: error: METHODS['mine'] is ")


@pytest.mark.parametrize("value", [np.int64(2), np.float32(2.0), np.float64(2.0)])
def test_a_record_has_plain_numbers(value):
    found = describe(some("float")(value))
    assert found == {"name": "some", "k": 2}
    assert type(found["k"]) in (int, float)


@pytest.mark.usefixtures("unchecked")
class TestFieldsOfAClass:
    """Python needs a default where a class is given, the command line a description and a type besides."""

    def test_without_a_default(self):
        bare = some(made=field())
        with pytest.raises(LlmattrError, match=r"Some cannot be had by its name or class: every option needs a default .*'k'"):
            find_method(bare, {})
        assert describe(find_method(bare(3), {})) == {"name": "some", "k": 3}

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"made": field()}, "k has no default"),
            ({"made": 3}, r"k has no description for --help: make it with option\(.*, or annotate it as ClassVar"),
            (
                {"kind": tuple[int, ...], "made": option((1,), "some")},
                "k is of the type tuple.*, which no command line",
            ),
        ],
    )
    def test_on_the_command_line(self, monkeypatch, capsys, changes, what):
        monkeypatch.setitem(context.METHODS, "some", some(**changes))
        with pytest.raises(LlmattrError, match=f"Some's option {what}"):
            options_of(context.METHODS["some"])
        assert llmattr.cli.main(["cite", "file", "some"]) == 2
        assert capsys.readouterr().err.startswith("llmattr: error: Some's option k")

    def test_a_hidden_one(self, monkeypatch):
        body = {"__annotations__": {"_k": "int"}, "_k": ONE, "name": "some", "__module__": __name__}
        hidden = dataclass(frozen=True)(type("Some", (), body))
        with pytest.raises(LlmattrError, match="Some's option _k begins with an underscore, which no command line can give"):
            options_of(hidden)

    @pytest.mark.parametrize("said", [None, 5])
    def test_a_name_or_family_that_is_no_text(self, said):
        body = {"family": said, "attribute": lambda self, ablation, seed=0: None}
        with pytest.raises(LlmattrError, match=f"Some: family must be text, not {said}"):
            find_method(some(**body), {}, context.contract.Method)


@pytest.mark.usefixtures("unchecked")
class TestKinds:
    """A method that is given to the function of another family is told which function takes it."""

    def test_of_this_package(self):
        rows = [{"prompt": "a", "completion": "b"}]
        ours, trained, again = context.METHODS, training.METHODS, retraining.METHODS
        for call, taken_by in (
            (lambda: llmattr.retrain("scratch", rows, rows, ours["screening"]()), "retraining: give it to llmattr.cite"),
            (lambda: llmattr.retrain("scratch", rows, rows, trained["bm25"]()), "to llmattr.build_index"),
            (
                lambda: llmattr.cite("none", "It is.", "?", method=again["ame"]),
                "context: give it to llmattr.retrain",
            ),
            (lambda: llmattr.cite("none", "It is.", "?", method=trained["ekfac"]), "to llmattr.build_index"),
            (lambda: llmattr.trace("none", rows, rows, ours["random"]), "training: give it to llmattr.cite"),
            (
                lambda: llmattr.trace("none", rows, rows, again["shapley"]()),
                "training: give it to llmattr.retrain",
            ),
        ):
            with pytest.raises(LlmattrError, match=f"is no method of .*{taken_by}$"):
                call()

    def test_one_that_does_not_say_is_taken_by_both(self):
        body = {"family": "datamodel", "attribute": lambda self, ablation, seed=0: None}
        for contract in (context.contract.Method, retraining.contract.Method):
            assert find_method(some(**body), {}, contract)

    def test_one_that_does_not_say_and_is_of_the_other_kind(self):
        """One line, with what it looked for and which function gives that; an error of the method's own stays what it is."""
        rows = FACTS
        model = model_of_rows(*rows)

        def tried(attribute):
            mine = some(family="predictive", attribute=attribute)()
            yield lambda: llmattr.cite(model, "The canal is wide. It is old.", "What?", response="It is wide.", method=mine)
            yield lambda: llmattr.retrain(model, rows, rows[:1], mine, recipe=SHORT)

        message = "some looks for '{}', which a {} has not: annotate in `attribute` .*llmattr.cite gives a ContextAblation"
        cite, retrain = tried(lambda self, ablation, seed=0: ablation.member)
        with pytest.raises(LlmattrError, match=message.format("member", "ContextAblation")):
            cite()
        cite, retrain = tried(lambda self, ablation, seed=0: ablation.prompt)
        with pytest.raises(LlmattrError, match=message.format("prompt", "RetrainingAblation")):
            retrain()
        for call in tried(lambda self, ablation, seed=0: seed.nosuch):
            with pytest.raises(AttributeError, match="'int' object has no attribute 'nosuch'"):
                call()

    def test_a_verb_that_a_base_takes_away(self):
        base = type("Base", (), {"attribute": None})
        kind = dataclass(frozen=True)(type("Some", (base,), {"name": "some", "family": "datamodel"}))
        with pytest.raises(LlmattrError, match="the method Some has no 'attribute', which llmattr"):
            find_method(kind, {}, context.contract.Method)

    def test_the_verbs_of_training(self):
        assert VERBS.keys() == TRAINING_VERBS
