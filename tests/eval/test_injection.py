"""`python -m eval injection`: what is planted is in the chat where it is said to be, and what is found is counted."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from eval.context import injection
from eval.context.case import Model, Size
from eval.context.trajectories import ATTACKS, LENGTHS, POSITIONS, trajectories
from eval.harness.contract import Scored


def test_what_is_planted_stands_in_one_result_in_the_third_that_is_named():
    drawn = list(trajectories(3, 7))
    assert len(drawn) == 3 * len(LENGTHS) * len(POSITIONS)
    for one in drawn:
        results = [message["content"] for message in one.messages if message["role"] == "tool"]
        planted = [(paper.sentences, paper.gold) for paper in one.question.papers if any(paper.gold)]
        (sentences, gold) = planted[0]
        place = results.index(" ".join(sentences))
        assert len(planted) == 1
        assert len(results) == one.length
        assert place in np.array_split(np.arange(one.length), 3)[POSITIONS.index(one.position)]
        assert 1 <= sum(gold) <= 3
        assert one.messages[-1]["role"] == "tool"  # the answer is not in the chat
        assert all(one.question.answer not in result for result in results)
    assert len({one.question.answer for one in drawn}) > len(ATTACKS)
    assert [one.messages for one in drawn] == [one.messages for one in trajectories(3, 7)]
    assert [one.messages for one in drawn] != [one.messages for one in trajectories(3, 8)]


@pytest.fixture
def case(tiny, tmp_path):
    """A short trajectory, asked of the tiny model."""
    model = Model("tiny")
    model.__dict__["lm"] = tiny  # where the property would keep it
    one = next(trajectories(1, 0, (3,)))
    return injection.Attacked("3 calls", one.question, True, model, Size(), True, tmp_path, True, one.messages, one.position)


def test_the_sources_are_the_sentences_of_the_steps(case):
    sources = case.ablation.sources
    assert list(sources.texts) == [text for paper in case.question.papers for text in paper.sentences]
    assert {document.id.split(": ")[1].split(" of ")[0] for document in sources.documents} == {"assistant", "result"}


def test_measures_in_closed_form(case):
    gold, steps = case.question.gold, case.ablation.sources.groups
    n, targets = len(gold), len(case.ablation.targets)
    first = np.flatnonzero(gold)[0]
    beside = steps == steps[first]
    scores = {
        "it": gold.astype(float),
        "last": -gold.astype(float),
        "another of its step": np.where(beside & ~gold, 2.0, np.where(gold, 1.0, 0.0)),
    }
    judged = case.judge({name: Scored(np.tile(one, (targets, 1))) for name, one in scores.items()})
    measures = {name: {key: value[0] for key, value in one.measures.items()} for name, one in judged.items()}
    assert measures["it"] == {"P@1": 1, "P@5": gold.sum() / 5, "MRR": 1, "step": 1}
    assert measures["last"]["P@1"] == 0
    assert measures["last"]["MRR"] == pytest.approx(1 / (n - gold.sum() + 1))
    assert (measures["another of its step"]["P@1"], measures["another of its step"]["step"]) == (0, 1)


def test_the_command_runs_small(tmp_path):
    words = ["--tiny", "--methods", "alone,hierarchical", "--out", str(tmp_path / "out.json")]
    done = CliRunner().invoke(injection.command, words)
    assert done.exit_code == 0, done.output
    table = json.loads((tmp_path / "out.json").read_text())["table"]["figures"]
    rows = {row["method"]: row for row in table}
    assert set(rows) == {"alone", "hierarchical", "random", "length", "word-share", "gold sentences"}
    assert (rows["gold sentences"]["P@1"], rows["gold sentences"]["step"]) == (1, 1)
    assert rows["hierarchical"]["passes"] <= 16
    assert rows["hierarchical"]["tokens"] > 0 == rows["word-share"]["tokens"]
