"""Claims with references: signals, thresholds, and the table."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from eval.context import checks
from eval.context.checks import Claim, best_threshold, by, claims, figures, macro_f1, words
from eval.harness import data
from llmattr.core.evidence import MISSING

TOWER = "The Eiffel Tower was built in 1889. It is 330 metres tall."


def row(claim, references, label="attributable", of="AttrScore", question=""):
    return {
        "id": "1", "question": question, "claim": claim, "references": references, "attribution_label": label, "src_dataset": of
    }  # fmt: skip


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The three files, of six claims each, two sets."""
    rows = [row("It is 330 metres tall.", [TOWER]), row("It is 20 metres tall.", [TOWER], "not attributable")]
    rows += [row("The tower is tall.", [TOWER], of="BEGIN"), row("Lions hunt at night.", [TOWER], "not attributable", "BEGIN")]
    rows += [row("No reference.", []), row(" ", [TOWER])]
    for name in checks.FILES.values():
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(data, "files", lambda _: tmp_path)
    return tmp_path


def test_claims_without_a_reference_are_left_out(bench):
    found = list(claims(bench / checks.FILES["dev"]))
    assert [one.text for one in found] == [
        "It is 330 metres tall.", "It is 20 metres tall.", "The tower is tall.", "Lions hunt at night."
    ]  # fmt: skip
    assert [one.supported for one in found] == [True, False, True, False]


def test_the_worst_sentence_and_the_best_reference_decide():
    one = Claim("x", None, "It is 330 metres tall. Lions hunt at night.", ["Nothing.", TOWER], supported=False)
    assert by(None)(one) == 0
    assert by(None)(one._replace(text="It is 330 metres tall.")) == 1
    assert by(None)(one._replace(text="It is 20 metres tall.")) < 1 - MISSING  # a word less, and the number is not there
    assert words(one._replace(text="Lions hunt at night.")) == 0


def test_macro_f1_and_its_threshold():
    values, labels = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True])
    assert best_threshold(values, labels) == 0.6
    assert macro_f1(values >= 0.6, labels) == 1
    assert macro_f1(values >= 0.4, labels) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_thresholds_are_of_dev_alone():
    some = [Claim("a", None, "x", ["x"], supported) for supported in (False, True, False, True)]
    scores = {"s": {"dev": np.array([0.0, 1.0, 0.2, 0.8]), "test": np.array([0.9, 1.0, 0.95, 0.99])}}
    rows = figures(scores, {"dev": some, "test": some})
    assert [one["threshold"] for one in rows] == [0.8] * 4
    test = next(one for one in rows if one["file"] == "test" and one["set"] == "all")
    assert test["AUROC"] == 1.0
    assert test["macro-F1"] == pytest.approx((0 + 2 / 3) / 2)  # all are above dev's threshold


def test_the_command_makes_the_table(bench, tmp_path):
    done = CliRunner().invoke(checks.command, ["--out", str(tmp_path / "out.json"), "--examples", "2"])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out.json").read_text())["table"]["figures"]
    assert {(one["file"], one["set"]) for one in rows} == {
        (file, of) for file in ("dev", "test", "ood") for of in ("all", "AttrScore", "BEGIN")
    }
    assert all(one["AUROC"] == 1 for one in rows if one["signal"] == "llmattr, quick")
