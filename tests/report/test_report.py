"""The text and Markdown of an attribution: the numbers of its sources, and the lines of its answer."""

import dataclasses
import json
import re

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.ablation import from_function
from llmattr.core.attribution import Attribution
from llmattr.core.evidence import Evidence, TargetEvidence
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.report.json import from_json, to_dict, to_json
from llmattr.report.marks import citation_numbers
from llmattr.report.text import terminal
from llmattr.text import split


class TestMarkdown:
    """The answer keeps its lines; a mark stands behind its sentence, where it breaks nothing."""

    def body(self, answer, marked=True):
        spans = [(0, len(answer)), *split.spans(answer, split.sentences)]
        n = len(spans)
        sources = Sources("sentences", [f"d#{i}" for i in range(n)], [f"Source {i}." for i in range(n)])
        targets = Targets([answer[a:b] for a, b in spans], np.array(spans))
        values = np.eye(n) * 9 * marked
        return Attribution(values, sources, targets, "nats", {"name": "m"}, response=answer).markdown().split("\n\n[^1]: ")[0]

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ("Facts:\n\n- It is old.\n- 330 m tall\n", "Facts:[^1]\n\n- It is old.[^2]\n- 330 m tall[^3]"),
            ("So:\n\n```sh\na_b * 2 < 3\n```\nDone.\n", "So:[^1]\n\n```sh\na_b * 2 < 3\n```\n\n[^2][^3][^4]\nDone.[^5]"),
            ("It is:\n```\na [b]", "It is:[^1]\n```\na [b]\n```\n\n[^2][^3]"),
            ("| a | b |\n|---|---|\n| 1 | 2 |\n", "| a | b[^1][^2] |\n|---|---|\n| 1 | 2[^3] |"),
            ("这座塔建于1889年。它很高。", "这座塔建于1889年。[^1]它很高。[^2]"),
            ("A **bold** _word_. `x[0]` ok.", "A **bold** _word_.[^1] `x[0]` ok.[^2]"),
            ("<b>No</b> [link](u) tags.", "\\<b>No\\</b> \\[link](u) tags.[^1]"),
        ],
    )
    def test_the_lines_stay(self, answer, expected):
        found = self.body(answer)
        assert re.sub(r"\[\^\d+\]", "", found).split() == re.sub(r"\[\^\d+\]", "", expected).split()
        assert re.sub(r"(\[\^\d+\])+", "#", found) == re.sub(r"(\[\^\d+\])+", "#", expected)


def test_one_numbering_in_every_report():
    """The number of a source is the same with few and with many sources shown, for what cites it and what it opposes."""
    values = np.array([[0.0] * 4, [1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 9.0, -8.0]])
    evidence = tuple(TargetEvidence(0.0, 5.0, "contradicted" if t == 2 else "context", 3 if t == 2 else None) for t in range(3))
    tokens = np.array([[0, 6], [6, 12]])
    attribution = Attribution(
        values,
        Sources("sentences", list("abcd"), ["A.", "B.", "C.", "D."]),
        Targets(["One. Two.", "One.", "Two."], np.array([[0, 9], [0, 4], [5, 9]])),
        "nats",
        {"name": "m"},
        response="One. Two.",
        evidence=Evidence(evidence, tokens, np.zeros(2), np.zeros(2)),
    )
    assert citation_numbers(attribution) == {2: 1, 1: 2, 0: 3, 3: 4}
    assert citation_numbers(attribution, top=1) == {2: 1, 3: 4}
    for report in (terminal(attribution), terminal(attribution, top=1), attribution.html()):
        assert "pposed by source [4]" in report  # on the page a sentence of its own
    assert json.loads(to_json(attribution))["numbers"] == {"2": 1, "1": 2, "0": 3, "3": 4}


def test_files_from_before_there_were_fields_say_the_same(tmp_path):
    """What was asked, the ceiling and what was verified stood in the run."""
    now = Attribution(
        values=np.array([[1.0, 2.0], [0.5, -1.0]]),
        sources=Sources("training rows", ["0", "1"], ["a", "b"]),
        targets=Targets(["x", "y"], measure="logprob"),
        unit="nats",
        method={"name": "datamodel"},
        run={"runs": 3},
        traced=True,
        asked=[{"prompt": "p", "completion": "x"}, {"prompt": "q", "completion": "y"}],
        ceiling=np.array([0.5, 0.75]),
        meaning="so much",
        verified={"removed": 2},
    )
    saved = to_dict(now)
    old = {key: value for key, value in saved.items() if key not in ("cites", "asked", "meaning", "verified")}
    old["run"] = {"runs": 3, "queries": now.asked, "ceiling": [0.5, 0.75], "meaning": "so much", "verified": {"removed": 2}}
    old["targets"] = [{key: value for key, value in target.items() if key != "ceiling"} for target in saved["targets"]]
    for part in (saved, old):
        read = from_json(json.dumps(part))
        assert (read.asked, read.meaning, read.verified, read.run) == (now.asked, now.meaning, now.verified, now.run)
        np.testing.assert_array_equal(read.ceiling, now.ceiling)
        assert read[1].asked == now.asked[1:]
        assert read[1].ceiling.tolist() == [0.75]


def test_what_is_said_of_each_target_is_cut_and_saved_with_it():
    world = from_function(lambda masks: np.stack([masks[:, 0] & masks[:, 1], masks[:, 2]], axis=1).astype(float), 3, 2)
    found = surrogate.pairs(world, "auto")
    assert found.details.keys() == {"alpha", "pairs"}
    assert len(found.details["alpha"]) == 2
    (((i, j, effect),), none) = found.details["pairs"]
    assert (i, j, none) == (0, 1, [])
    assert 0.9 < effect < 1.0  # 1 without a penalty
    assert found[1].details == {"alpha": found.details["alpha"][1:], "pairs": [[]]}
    for part in (found, found[0]):
        assert from_json(to_json(part)).details == part.details
    assert "details" not in to_dict(surrogate.shapley(world))["targets"][0]
    of_one = surrogate.ridge(world, prior=found.values)[0].details
    assert {name: len(column) for name, column in of_one.items()} == {"alpha": 1, "around_prior": 1, "prior_agreement": 1}


def test_files_whose_run_has_the_details_say_the_same():
    world = from_function(lambda masks: np.stack([masks[:, 0] & masks[:, 1], masks[:, 2]], axis=1).astype(float), 3, 2)
    now = dataclasses.replace(surrogate.pairs(world, "auto"), run={"model": "tiny", "seed": 0})
    saved = to_dict(now)
    (effect,) = now.details["pairs"][0]
    old = {key: value for key, value in saved.items() if key != "model"}
    old["run"] = {**now.run, "alpha": now.details["alpha"], "pairs": [[0, 1, [effect[2], 0.0]]]}
    old["targets"] = [{key: value for key, value in target.items() if key != "details"} for target in saved["targets"]]
    read = from_json(json.dumps(old))
    assert (read.details, read.run, read.model) == (now.details, now.run, {"model": "tiny"})
    cut = from_json(json.dumps({**old, "targets": old["targets"][:1]}))  # a slice, in whose run all stayed
    assert (cut.details, cut.run["alpha"]) == ({}, now.details["alpha"])


def test_what_has_a_unit_and_is_no_effect_cites_nothing():
    scores = {"values": np.array([[9.0]]), "unit": "nats", "method": {"name": "data-oob"}}
    found = Attribution(sources=Sources("rows", ["0"], ["a"]), targets=Targets(["x"], measure="logprob"), cites=False, **scores)
    assert not found.can_cite
    assert not found.cited.any()
    assert not from_json(to_json(found)).can_cite


def test_an_empty_slice_comes_back(tmp_path):
    result = surrogate.leave_one_out(from_function(lambda masks: masks @ [[2.0], [1.0]], 2))
    assert Attribution.load(result[:0].save(tmp_path / "none.json")).values.shape == (0, 2)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"\xff\x00", "it is not text"),
        (b'{"unit": "nats"}', "it has no 'run'"),
        (b"[1]", "no saved"),
        (b"[" * 100_000, "saved"),
    ],
)
def test_what_is_no_result_is_refused_with_its_name(tmp_path, data, wrong):
    (tmp_path / "other.json").write_bytes(data)
    with pytest.raises(LlmattrError, match=r"cannot read.*other\.json") as refused:
        Attribution.load(tmp_path / "other.json")
    assert wrong.replace("no saved", "not a saved attribution") in str(refused.value)
