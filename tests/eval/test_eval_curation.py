"""Errors are planted as they are said to be, and a signal that knows them is judged best."""

import json
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from eval.curation.case import ERRORS, PlantedSet, Size
from eval.harness.contract import Entry, Scored

COMMAND = import_module("eval.curation.bench").command
SMALL = Size(countries=6, steps=4, bags=24)


@pytest.mark.parametrize("error", ERRORS)
def test_as_many_rows_are_wrong_as_are_told(error):
    one, clean = PlantedSet(error, 0.2, 0, SMALL), PlantedSet(error, 0.01, 0, SMALL)
    rows, wrong = one.planted
    assert wrong.sum() in (6, 7)  # of 36; a swap within one country changes nothing
    true = {row["prompt"]: row["completion"] for row, is_wrong in zip(*clean.planted, strict=True) if not is_wrong}
    for row, is_wrong in zip(rows, wrong, strict=True):
        if row["prompt"] in true:
            assert (row["completion"] != true[row["prompt"]]) == is_wrong
            capital, true_capital = (said.split(",")[0] for said in (row["completion"], true[row["prompt"]]))
            assert error != "near-true" or capital == true_capital


def test_what_is_swapped_is_said_as_often_as_before():
    said = Counter(row["completion"] for row in PlantedSet("swapped", 0.2, 0, SMALL).planted[0])
    assert set(said.values()) == {6}


def test_the_truth_is_judged_best_and_its_opposite_worst():
    one = PlantedSet("wrong", 0.2, 0, SMALL)
    truth = one.planted[1].astype(float)[None]
    judged = one.judge({"truth": Scored(truth), "opposite": Scored(-truth)})
    assert [float(judged["truth"].measures[name][0]) for name in ("AP", "AUROC", "P@wrong")] == [1, 1, 1]
    assert [float(judged["opposite"].measures[name][0]) for name in ("AUROC", "P@wrong")] == [0, 0]


@pytest.mark.slow
def test_scores_are_of_the_rows_and_the_same_again():
    one, again = PlantedSet("wrong", 0.2, 1, SMALL), PlantedSet("wrong", 0.2, 1, SMALL)
    for label in ("loss", "data-oob"):
        np.testing.assert_array_equal(one.score(Entry(label)).values, again.score(Entry(label)).values)
        assert one.score(Entry(label)).values.shape == (1, 36)


def test_the_benchmark_runs(tmp_path):
    words = [
        "--tiny",
        "--kinds",
        "swapped",
        "--shares",
        "0.2",
        "--methods",
        "loss,margin",
        "--out",
        str(tmp_path / "found.json"),
    ]
    done = CliRunner().invoke(COMMAND, words)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "found.json").read_text())["table"]["figures"]
    assert {row["method"] for row in figures} == {"loss", "margin", "random"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kinds", "odd"], "there is no kind of error 'odd'"),
        (["--methods", "luck"], "there is no signal 'luck'"),
        (["--shares", "much"], "--shares are numbers"),
        (["--shares", "0.9"], "--shares lie between 0 and 0.5"),
    ],
)
def test_bad_options_are_one_line(tmp_path, options, message):
    done = CliRunner().invoke(COMMAND, ["--tiny", "--out", str(tmp_path / "found.json"), *options])
    assert done.exit_code == 2
    assert message in done.output
