"""The core types: what may index them, what is cited, what is written down."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from llmattr import surrogate
from llmattr.ablation import from_function
from llmattr.core.attribution import Attribution
from llmattr.core.citing import citation_rule
from llmattr.core.evidence import Citation, Evidence, TargetEvidence
from llmattr.core.plain_json import json_text
from llmattr.core.sources import Document, Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.report.text import ranking
from tests import worlds


def made(values, measure="logit", **fields):
    values = np.asarray(values, dtype=float)
    names = [f"s{i}" for i in range(values.shape[1])]
    targets = Targets([f"t{i}" for i in range(len(values))], np.array([(i, i + 1) for i in range(len(values))]), measure)
    return Attribution(values, Sources("sentences", names, names), targets, "nats", {"name": "given"}, **fields)


class TestIndices:
    A = made([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])

    @pytest.mark.parametrize("kind", [int, np.int8, np.int64, np.uint16, np.array])
    @pytest.mark.parametrize("place", [0, 2])
    def test_numpys_whole_numbers_too(self, kind, place):
        one = self.A[kind(place)]
        assert one.values.shape == (1, 3)
        assert one.targets.texts == [f"t{place}"]
        assert self.A.targets[kind(place)].texts == [f"t{place}"]
        assert self.A.targets[kind(place)].spans.tolist() == [[place, place + 1]]
        assert self.A.sources[kind(place)].ids == [f"s{place}"]

    def test_from_the_end_and_what_argmax_returns(self):
        assert self.A[np.int64(-1)].targets.texts == self.A[-1].targets.texts == ["t2"]
        assert self.A[self.A.values.sum(axis=1).argmax()].values.tolist() == [[7, 8, 9]]
        assert self.A[1:].targets.texts == ["t1", "t2"]
        assert self.A.sources[::2].ids == ["s0", "s2"]

    @pytest.mark.parametrize("bad", [True, np.True_, 1.0, "t1", None, np.array([True, False, True]), [0, 1]])
    @pytest.mark.usefixtures("unchecked")
    def test_nothing_else(self, bad):
        for of in (self.A, self.A.targets, self.A.sources):
            with pytest.raises(LlmattrError, match="are chosen by a whole number or a slice, not by"):
                of[bad]

    def test_out_of_range(self):
        for of in (self.A, self.A.targets, self.A.sources):
            for place in (3, -4, np.int64(3)):
                with pytest.raises(IndexError, match="out of range: there are 3"):
                    of[place]


class TestCitations:
    def test_an_error_that_is_not_known_is_no_citation_and_none_is_no_error(self):
        values = [[9.0, 9.0, 9.0, 0.05]]
        assert made(values).cited.tolist() == [[True, True, True, False]]
        known = made(values, stderr=np.array([[np.nan, np.inf, 1.0, 0.0]]))
        assert known.cited.tolist() == [[False, False, True, False]]

    def test_what_speaks_against_is_clear_and_not_cited(self):
        a = made([[-9.0, 9.0, -1.0]], stderr=np.array([[1.0, 1.0, 1.0]]))
        assert a.clear.tolist() == [[True, True, False]]
        assert a.cited.tolist() == [[False, True, False]]
        assert not made([[9.0]], measure="similarity").clear.any()

    @pytest.mark.parametrize("unit", [1e-9, 0.01, 1.0, 1e9])
    def test_a_unit_of_anybodys_is_judged_alike(self, unit):
        a = made(np.array([[3.0, 0.2, 0.02, 1e-14, -3.0]]) * unit, measure="value", baseline=np.array([100.0 * unit]))
        assert a.cited.tolist() == [[True, False, False, False, False]]  # 0.2 is less than a share of .2 of the highest
        assert replace(a, share=0.0).cited.tolist() == [[True, True, False, False, False]]
        assert citation_rule("value").startswith(
            "cited = its score is above 1% of the largest and above 2 standard errors, and at"
        )

    def test_what_is_rounding_beside_the_baseline_is_no_effect(self):
        a = made([[1e-10, 2e-10]], measure="value", baseline=np.array([1e6]))
        assert not a.cited.any()

    @pytest.mark.parametrize("fit", [surrogate.lasso, surrogate.ridge, surrogate.blend, surrogate.pairs])
    @pytest.mark.parametrize("unit", [0.01, 100.0])
    def test_an_open_end_stops_alike_in_any_unit(self, fit, unit):
        weights = np.concatenate([[4.0, -3.0, 2.0, 1.5], np.zeros(8)])
        world = worlds.noisy(weights, 1.0)
        scaled = from_function(lambda masks: unit * world(masks), 12)
        one, other = fit(world, "auto"), fit(scaled, "auto")
        assert one.run["n_ablations"] == other.run["n_ablations"] > 16
        assert one.run["stopped"] == other.run["stopped"]
        np.testing.assert_array_equal(one.cited, other.cited)
        np.testing.assert_allclose(one.values * unit, other.values, rtol=1e-6, atol=1e-6 * unit)


@pytest.mark.usefixtures("unchecked")
class TestShapes:
    """What a method of anyone's may give by mistake is one clear line with the method's name."""

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"values": [[1.0, 2], [3, 4]]}, r"given gave a list as values: give an array of numbers \(numpy\)"),
            ({"values": torch.ones(2, 2)}, "given gave a Tensor as values"),
            ({"values": np.ones((2, 2)).astype(str)}, "given gave a ndarray as values: give an array of numbers"),
            ({"values": np.ones((2, 3))}, r"given gave values \(2, 3\) for 2 targets and 2 sentences: \(2, 2\) is needed"),
            ({"values": np.ones(2)}, r"given gave values \(2,\) for 2 targets and 2 sentences"),
            ({"stderr": np.ones(2)}, r"given gave stderr \(2,\) for 2 targets and 2 sentences"),
            ({"stderr": -np.ones((2, 2))}, "given gave a standard error below 0: give nan where it is not known"),
            ({"index": np.zeros((2, 3), dtype=int)}, r"given gave values \(2, 2\) for .*: \(2, 3\) is needed"),
            ({"baseline": np.ones((1, 2))}, r"given gave baseline \(1, 2\) for 2 targets and 2 sentences: \(2,\) is needed"),
            ({"lds": np.ones(3)}, "given gave lds"),
            ({"targets": Targets(["one"])}, r"given gave values \(2, 2\) for 1 targets"),
            ({"details": {"x": [1]}}, "given gave 1 details 'x' for 2 targets"),
            ({"details": {"x": 1}}, "given gave no list of details 'x' for 2 targets"),
            ({"values": np.ma.ones((2, 2))}, "given gave a MaskedArray as values: give an array of numbers"),
            ({"stderr": np.ma.masked_all((2, 2))}, "given gave a MaskedArray as stderr"),
        ],
    )
    def test_arrays_of_another_shape(self, fields, message):
        with pytest.raises(LlmattrError, match=message):
            replace(made([[1.0, 2], [3, 4]]), **fields)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"run": None}, "given: run must be dict, not None"),
            ({"details": "abc"}, "given: details must be Mapping, not 'abc'"),
            ({"evidence": 3}, "given: evidence must be Evidence or None, not 3"),
            ({"cites": "no"}, "given: cites must be True or False, not 'no'"),
            ({"share": "all"}, "given: share must be a number, not 'all'"),
            ({"unit": 5}, "given: unit must be a text, not 5"),
            ({"targets": "abc"}, "given: targets must be Targets, not 'abc'"),
            ({"method": "given"}, r"an attribution's method must be the record of one \(describe\(self\)\), not 'given'"),
            ({"method": {}}, "an attribution's method must be the record of one"),
        ],
    )
    def test_fields_of_another_type(self, fields, message):
        with pytest.raises(LlmattrError, match=f"^{message}"):
            replace(made([[1.0, 2], [3, 4]]), **fields)

    def test_whole_numbers_and_numpys_are_numbers(self):
        assert replace(made([[1.0, 2], [3, 4]]), share=np.float32(0.5)).share == 0.5
        assert replace(made([[1.0, 2], [3, 4]]), share=1).share == 1


class TestFinite:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_scores_that_are_not_finite_are_no_attribution(self, bad):
        """A report would say that no source has an effect."""
        with pytest.raises(LlmattrError, match=r"given gave .* for target 1 \('t1'\) and 's0' of the sentences"):
            made([[1.0, 2], [bad, 3]])


def refused(text):
    raise AssertionError(f"{text} is no JSON")


class TestJson:
    def test_numbers_that_are_not_finite_are_null_and_come_back_as_nan(self, tmp_path):
        run = {
            "ceiling": [np.nan, 0.5],
            "seed": np.int64(3),
            "least": np.float32(-np.inf),
            "many": np.array([1, 2]),
            7: "seven",
        }
        fields = {"stderr": np.array([[np.nan, 1], [np.inf, 2]]), "baseline": np.array([np.nan, 1.0])}
        a = made([[1.0, 2], [3, 4]], run=run, lds=np.array([np.nan, 0.5]), **fields)
        path = a.save(tmp_path / "a.json")
        saved = json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)
        assert saved["run"] == {"ceiling": [None, 0.5], "seed": 3, "least": None, "many": [1, 2], "7": "seven"}
        assert saved["targets"][0]["stderr"] == [None, 1]
        assert saved["targets"][0]["cited"] == [False, False]
        back = Attribution.load(path)
        np.testing.assert_array_equal(back.stderr, [[np.nan, 1], [np.nan, 2]])
        np.testing.assert_array_equal(back.baseline, [np.nan, 1])
        np.testing.assert_array_equal(back.lds, [np.nan, 0.5])
        np.testing.assert_array_equal(back.cited, a.cited)

    def test_what_is_not_there_is_not_there(self, tmp_path):
        back = Attribution.load(made([[1.0, 2]]).save(tmp_path / "a.json"))
        assert (back.stderr, back.baseline, back.lds, back.index) == (None, None, None, None)
        undefined = Attribution.load(made([[1.0, 2]], lds=np.array([np.nan])).save(tmp_path / "b.json"))
        assert np.isnan(undefined.lds).all()

    def test_evidence_comes_back(self, tmp_path):
        found = TargetEvidence(1.0, float("nan"), "context", citations=(Citation(0, float("nan"), 2.0),))
        a = made([[1.0, 2]], evidence=Evidence((found,), np.array([[0, 1]]), np.array([-np.inf]), np.array([-1.0])))
        path = a.save(tmp_path / "a.json")
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)
        back = Attribution.load(path).evidence
        assert np.isnan([back.targets[0].empty, back.targets[0].support, back.targets[0].citations[0].necessity]).all()
        np.testing.assert_array_equal(back.full, [np.nan])

    def test_the_writer_takes_what_numpy_and_python_have(self, tmp_path):
        given = {"a": (1, np.True_, None), "b": {"c": np.float64("inf")}, "path": tmp_path, "half": "\ud800 é"}
        written = json_text(given).encode()
        assert json.loads(written) == {"a": [1, True, None], "b": {"c": None}, "path": str(tmp_path), "half": "\ud800 é"}


class TestPages:
    def test_an_error_that_is_not_known_is_a_question_mark(self):
        a = made([[3.0, 2.0]], measure="logprob", stderr=np.array([[np.nan, 1.0]]), run={"n": 2})
        assert "+3 ±?" in ranking(a)
        assert "nan" not in ranking(a)
        assert "± ?" in a.html()

    def test_sums_of_documents_are_no_trace(self):
        document = Document("Ay. Bee.", "notes")
        spans, group = np.array([(0, 3), (4, 8)]), np.zeros(2, dtype=int)
        sources = Sources("sentences", ["0", "1"], ["Ay.", "Bee."], spans, group, (document,))
        for measure in ("similarity", "logit"):
            a = Attribution(np.array([[1.0, 2.0]]), sources, Targets(["t"], measure=measure), "cosine", {"name": "bm25"})
            html = a.by_document().html()
            assert "Training rows" not in html
            assert "notes" in html

    def test_a_trace_is_one_by_a_field_that_is_saved(self, tmp_path):
        trace = made([[1.0, 2]], measure="loss", traced=True)
        assert "Training rows" in trace.html()
        assert "Training rows" in Attribution.load(trace.save(tmp_path / "a.json")).html()
        assert "Training rows" not in made([[1.0, 2]], measure="loss").html()
