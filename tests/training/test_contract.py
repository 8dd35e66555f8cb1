"""What a training method is: exactly one of four Protocols, and an error in one line for a class that is none."""

from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch

from llmattr.cli import main
from llmattr.core.method import describe
from llmattr.errors import LlmattrError
from llmattr.testing import check_method
from llmattr.training import METHODS
from llmattr.training.chosen import saved_method
from llmattr.training.contract import VERBS, IndexMethod, Normalized, TrainingMethod, find_training_method
from llmattr.training.index.search import Weighed
from llmattr.training.trace import build_index, open_index, trace

ROWS = [{"prompt": f"Ship {i} is ", "completion": f"{'red' if i % 2 else 'blue'}."} for i in range(6)]
KINDS = get_args(TrainingMethod)
KNOWN = "a training method has one of the verbs weigh, transform, unroll, precondition, retrieve, quote; Mine has"


@dataclass(frozen=True)
class Signs:
    """A stranger's method with no more than what the contract asks for: products with the signs of the query's row."""

    name: ClassVar[str] = "signs"
    family: ClassVar[str] = "predictive"
    unit: ClassVar[str] = "products"
    measure: ClassVar[str] = "loss"
    vectors: ClassVar[str] = "gradients"

    def weigh(self, index, queries):
        """The signs alone."""
        return Weighed(np.sign(queries))


def made(**changes):
    """A class like `Signs` with these attributes in place of its own; None takes one away."""
    body = {
        key: value for key, value in vars(Signs).items() if key in ("name", "family", "unit", "measure", "vectors", "weigh")
    }
    body = {key: value for key, value in (body | changes).items() if value is not None}
    return dataclass(frozen=True)(type("Mine", (), body))


BASE = {"name": "mine", "family": "predictive", "unit": "products", "measure": "loss"}
WHOLE = "(lm, examples, layers, queries, seed)"
STREAM = {"product": "dot", "rank": 0, "fit": lambda self, lm, examples, layers, seed: {}}


def verb(self, *given):
    """Any verb; none of these is ever called."""


@pytest.mark.parametrize("name", METHODS)
class TestEveryMethod:
    def test_is_exactly_one_of_the_four(self, name):
        method = METHODS[name]()
        kinds = [kind for kind in KINDS if isinstance(method, kind)]
        verbs = [verb for verb, kind in VERBS.items() if kind in kinds]
        assert len(kinds) == 1
        assert [verb for verb in VERBS if verb in dir(method)] == verbs

    def test_is_found_by_name_class_and_itself(self, name):
        method = METHODS[name]()
        assert find_training_method(name, METHODS) == find_training_method(METHODS[name], METHODS) == method
        assert find_training_method(method, METHODS) is method

    def test_comes_back_from_its_record(self, name):
        assert saved_method(describe(METHODS[name]())) == METHODS[name]()

    def test_no_record_has_what_only_the_class_says(self, name):
        """run.json of an index names the fields, which an index of before must share: not what its rows hold."""
        assert not {"vectors", "features", "measure", "unit", "family"} & describe(METHODS[name]()).keys()


def test_the_four_have_one_verb_each():
    assert set(KINDS) == set(VERBS.values())
    for name, kind in VERBS.items():
        assert [verb for verb in VERBS if verb in dir(kind)] == [name]


def test_only_some_normalise():
    normalised = {name for name, method in METHODS.items() if isinstance(method(), Normalized)}
    assert normalised >= {"grad-cos", "tracin", "trackstar"}
    assert not normalised & {"grad-dot", "trak", "logra", "ekfac"}


def test_a_class_of_anyones_works(tiny, monkeypatch):
    monkeypatch.setitem(METHODS, "signs", Signs)
    result = trace(tiny, ROWS, ROWS[0], Signs())
    assert isinstance(Signs(), IndexMethod)
    assert result.method == {"name": "signs"}
    assert result.values.shape == (1, 6)
    assert result.values[0, 0] > 0


PLACE = "llmattr.training.contract"


class TestRefused:
    """One line that names the verbs, before any model is loaded."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"weigh": None, "weight": verb}, f"{KNOWN} 'weight'; did you mean 'weigh'?"),
            ({"weigh": None, "transfrom": verb}, f"{KNOWN} 'transfrom'; did you mean 'transform'?"),
            ({"weigh": None, "unrol": verb}, f"{KNOWN} 'unrol'; did you mean 'unroll'?"),
            ({"weigh": None, "retrieves": verb}, f"{KNOWN} 'retrieves'; did you mean 'retrieve'?"),
            ({"weigh": None}, f"{KNOWN} none"),
            ({"retrieve": verb}, f"{KNOWN} weigh and retrieve"),
            ({"vectors": None}, f"the method Mine has no 'vectors', which {PLACE}.IndexMethod describes"),
            (
                {"unit": None, "measure": None},
                f"the method Mine has no 'unit', which {PLACE}.Method describes",
            ),
            (
                {"weigh": None, "transform": verb},
                f"the method Mine has no 'rank', which {PLACE}.StreamMethod describes",
            ),
            (
                {"weigh": None, "unroll": verb},
                f"the method Mine has no 'fit', which {PLACE}.UnrolledMethod describes",
            ),
            ({"measure": "loose"}, "measure must be one of loss, margin, sampled, not 'loose'; did you mean 'loss'?"),
            (
                {"vectors": "gradient"},
                "vectors must be one of gradients, hidden states, weighted hidden states, embeddings, not 'gradient'; did you "
                "mean 'gradients'?",
            ),
        ],
    )
    @pytest.mark.parametrize("instance", [False, True])
    def test_in_python(self, tmp_path, changes, message, instance, unchecked):
        mine = made(**changes)
        with pytest.raises(LlmattrError) as raised:
            build_index("no such model", ROWS, tmp_path / "index", mine() if instance else mine)
        assert str(raised.value) == message
        assert not (tmp_path / "index").exists()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"weigh": lambda self, g: g}, "weigh takes (g), and must take (index, queries)"),
            ({"weigh": None, "precondition": lambda self: 1}, f"precondition takes (), and must take {WHOLE}"),
            ({"weigh": None, "retrieve": lambda self, rows: 1}, "retrieve takes (rows), and must take (rows, queries)"),
            (
                {**STREAM, "weigh": None, "transform": lambda self, fitted: 1},
                "transform takes (fitted), and must take (fitted, groups)",
            ),
            (
                {"weigh": None, "unroll": lambda self, fitted, groups: 1, "fit": lambda self, lm, examples, layers, seed: {}},
                "unroll takes (fitted, groups), and must take (fitted, groups, span)",
            ),
            (
                {**STREAM, "weigh": None, "transform": verb, "fit": lambda self, x, y: 1},
                "fit takes (x, y), and must take (lm, examples, layers, seed)",
            ),
        ],
    )
    def test_a_verb_that_takes_something_else(self, tiny, tmp_path, changes, message, unchecked):
        mine = made(**changes)
        build_index(tiny, ROWS, tmp_path / "built", "tracin")
        for call in (
            lambda: build_index("no such model", ROWS, tmp_path / "index", mine),
            lambda: open_index(tmp_path / "built", "no such model", method=mine()),
            lambda: check_method(dataclass(frozen=True)(type("Mine", (mine,), {"__doc__": "M."}))),
        ):
            with pytest.raises(LlmattrError) as raised:
                call()
            assert str(raised.value) == f"Mine: {message}"

    def test_on_the_command_line(self, tmp_path, monkeypatch, capsys, unchecked):
        monkeypatch.setitem(METHODS, "mine", made(name="mine", weigh=None, weight=verb, __doc__="Mine."))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "rows.jsonl").write_text('{"text": "It opened in 1914."}\n')
        assert main(["trace", "index", "mine", "--data", "rows.jsonl", "--out", "index"]) == 2
        assert capsys.readouterr() == ("", f"llmattr: error: {KNOWN} 'weight'; did you mean 'weigh'?\n")

    def test_rows_that_nothing_says_of_which_layer(self, tiny, tmp_path):
        with pytest.raises(LlmattrError, match="mine has rows of hidden states, and no field layer"):
            build_index(tiny, ROWS, tmp_path / "index", made(name="mine", vectors="hidden states"))

    def test_a_method_whose_fields_are_out_of_bounds(self, tmp_path):
        with pytest.raises(LlmattrError, match="rank must be 0 or more"):
            build_index("no such model", ROWS, tmp_path / "index", replace(METHODS["stream"](), rank=-1))


def test_what_lies_about_is_not_taken_for_what_was_fitted(tiny, tmp_path, monkeypatch):
    """A method of texts fits nothing: a fitted.safetensors of the folder one happens to be in is not its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fitted.safetensors").write_bytes(b"of something else")
    assert len(build_index(tiny, ROWS, tmp_path / "index", "bm25")) == len(ROWS)
    assert not (tmp_path / "index" / "fitted.safetensors").exists()


class TestGiven:
    """What a verb gives is checked where it is multiplied with rows: one line with the method and the verb."""

    def fails(self, tiny, message, **changes):
        mine = dataclass(frozen=True)(type("Mine", (), {**BASE, **changes}))()
        with pytest.raises(LlmattrError, match=message):
            trace(tiny, ROWS, ROWS[:2], mine)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda q: None, "mine: weigh gave a NoneType and no Weighed"),
            (lambda q: Weighed(q[:, :10]), r"mine: weigh gave an array \(2, 10\) where \(2, \d+\) is needed"),
            (lambda q: Weighed(q[:1]), r"mine: weigh gave an array \(1, \d+\) where"),
            (lambda q: Weighed(q, cosine=True, root=np.ones((3, 3))), r"mine: root of weigh gave an array \(3, 3\) where"),
            (lambda q: Weighed(q, outer=np.ones(3)), r"mine: outer of weigh gave an array \(3,\) where \(6,\) is needed"),
            (lambda q: Weighed(q, cosine="no"), "mine: weigh: cosine must be True or False, not 'no'"),
            (lambda q: Weighed(np.ma.masked_array(q)), "mine: weigh gave a MaskedArray that is masked, sparse or a matrix"),
            (lambda q: Weighed(q * np.nan), "mine: weigh gave a number that is not finite, of numbers that are"),
        ],
    )
    def test_weigh(self, tiny, unchecked, change, message):
        self.fails(tiny, message, vectors="gradients", weigh=lambda self, index, queries: change(queries))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x.mT, r"mine: transform of the layer model\S+ gave an array \(1, \d+, \d+\) where"),
            (lambda x: x[:0], r"mine: transform of the layer model\S+ gave an array \(0, \d+, \d+\) where"),
            (lambda x: x * float("nan"), r"mine: transform of the layer model\S+ gave a number that is not finite"),
            (lambda x: None, r"mine: transform of the layer model\S+ gave a NoneType and no Tensor"),
            (lambda x: x > 0, r"mine: transform of the layer model\S+ gave an array of torch.bool, which are no numbers"),
            (lambda x: x.to_sparse(), r"mine: transform of the layer model\S+ gave a Tensor that is masked, sparse"),
            (lambda x: x.mul_(2), r"mine changed what it was given, which others use after it \(gradients\)"),
        ],
    )
    def test_transform(self, tiny, unchecked, change, message):
        def transform(self, fitted, groups):
            return lambda name, gradients: change(gradients)

        self.fails(tiny, message, **STREAM, transform=transform)

    def test_transform_and_fit_that_give_something_else(self, tiny, unchecked):
        self.fails(tiny, "mine: transform gave a dict and no function", **STREAM, transform=lambda self, fitted, groups: {})
        numpys = {**STREAM, "transform": verb, "fit": lambda self, lm, examples, layers, seed: {"a": np.ones(3)}}
        self.fails(tiny, "mine: fit's 'a' gave a ndarray and no Tensor", **numpys)
        numbered = {**numpys, "fit": lambda self, lm, examples, layers, seed: {1: torch.ones(3)}}
        self.fails(tiny, "mine: the name of a tensor that fit gave must be text, not 1", **numbered)
        one = {**STREAM, "transform": lambda self, fitted, groups: lambda gradients: gradients}
        self.fails(tiny, r"the function that transform gave takes \(gradients\), and must take \(name, gradient\)", **one)

    @pytest.mark.parametrize("rank", ["2", -1, 1.5, True])
    def test_a_rank_that_is_none(self, unchecked, rank):
        mine = dataclass(frozen=True)(type("Mine", (), {**BASE, **STREAM, "transform": verb, "rank": rank}))
        with pytest.raises(LlmattrError, match="rank must be 0 or more and whole"):
            find_training_method(mine, METHODS)

    def test_queries_that_are_changed(self, tiny, unchecked):
        """They are multiplied again, with the rows or, of rows for themselves, with what `weigh` gave."""

        def weigh(self, index, queries):
            weighed = Weighed(queries.copy())
            queries[:] = 0
            return weighed

        self.fails(tiny, "mine changed what it was given, which others use after it", vectors="gradients", weigh=weigh)

    @pytest.mark.parametrize("change", [lambda run: run.update(dim=3), lambda run: run["layers"].pop()])
    def test_a_record_that_is_changed(self, tiny, unchecked, change):
        def weigh(self, index, queries):
            change(index.run)
            return Weighed(queries)

        self.fails(tiny, r"mine changed .* \(index.run\): let it work on a copy", vectors="gradients", weigh=weigh)

    @pytest.mark.parametrize("part", ["rows", "queries"])
    def test_texts_that_are_changed(self, tiny, unchecked, part):
        """Scores of rows in another order would be read as those of rows in theirs."""

        def retrieve(self, rows, queries):
            {"rows": rows, "queries": queries}[part].reverse()
            return np.ones((len(queries), len(rows)))

        self.fails(tiny, rf"mine changed what it was given, which others use after it \({part}\)", retrieve=retrieve)

    @pytest.mark.parametrize(
        ("part", "change"), [("layers", lambda layers, _: layers.popitem()), ("examples", lambda _, rows: rows.ids.reverse())]
    )
    def test_layers_and_examples_that_are_changed(self, tiny, unchecked, part, change):
        def fit(self, lm, examples, layers, seed):
            change(layers, examples)
            return {}

        def precondition(self, lm, examples, layers, queries, seed):
            change(layers, examples)
            return queries

        message = rf"mine changed what it was given, which others use after it \({part}\)"
        self.fails(tiny, message, **{**STREAM, "fit": fit}, transform=verb)
        self.fails(tiny, message, precondition=precondition)

    def test_what_was_fitted_is_its_own_to_change(self, tiny, unchecked):
        """Nobody else reads these two dicts: the next question is given them anew."""

        def transform(self, fitted, groups):
            fitted.clear()
            groups.clear()
            return lambda name, gradients: gradients

        mine = dataclass(frozen=True)(type("Mine", (), {**BASE, **STREAM, "transform": transform}))()
        assert trace(tiny, ROWS, ROWS[:2], mine).values.shape == (2, 6)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda q: q[:, :-1], r"mine: precondition gave an array \(2, \d+\) where \(2, \d+\) is needed"),
            (lambda q: None, "mine: precondition gave a NoneType and no Tensor"),
            (lambda q: q * float("inf"), "mine: precondition gave a number that is not finite"),
            (lambda q: q.to_sparse(), "mine: precondition gave a Tensor that is masked, sparse or a matrix"),
            (lambda q: q.mul_(2), r"mine changed what it was given, which others use after it \(queries\)"),
        ],
    )
    def test_precondition(self, tiny, unchecked, change, message):
        self.fails(tiny, message, precondition=lambda self, lm, examples, layers, queries, seed: change(queries))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (np.ones((6, 2)), r"mine: retrieve gave an array \(6, 2\) where \(2, 6\) is needed"),
            ([[1.0], [1.0, 2.0]], "mine: retrieve gave a list and no ndarray"),
            (np.full((2, 6), np.nan), "mine: retrieve gave a number that is not finite"),
        ],
    )
    def test_retrieve(self, tiny, unchecked, given, message):
        self.fails(tiny, message, retrieve=lambda self, rows, queries: given)

    def test_an_inner_product_that_is_none(self, unchecked):
        mine = dataclass(frozen=True)(type("Mine", (), {**BASE, **STREAM, "transform": verb, "product": "cos"}))
        with pytest.raises(LlmattrError, match="product must be one of dot, cosine, not 'cos'"):
            find_training_method(mine, METHODS)


def test_an_index_of_ones_own_method_is_opened_with_it(tiny, tmp_path):
    built = build_index(tiny, ROWS, tmp_path / "index", Signs())
    with pytest.raises(
        LlmattrError, match=r"was built with 'signs', which is not in METHODS: open_index\(folder, method=...\)"
    ):
        open_index(tmp_path / "index", tiny).query(ROWS[0])
    opened = open_index(tmp_path / "index", tiny, method=Signs())
    assert opened.query(ROWS[0]).values.tolist() == built.query(ROWS[0]).values.tolist()
    with pytest.raises(
        LlmattrError, match=r"was built with another method \(method: {'name': 'signs'} there, {'name': 'grad-dot', "
    ):
        open_index(tmp_path / "index", tiny, method=METHODS["grad-dot"]())
