"""Every recipe runs, small, and says what it promises."""

import os
import re
import subprocess
import sys

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow

RECIPES = ROOT / "recipes"


def test_a_fact_is_traced_to_the_rows_that_taught_it(tmp_path):
    command = [sys.executable, RECIPES / "trace_a_fact.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    first = re.search(r"^ +1 .*", done.stdout, re.MULTILINE)[0]
    assert "Dunvale" in first  # the planted fact's row, not one of the other 57
    assert "Hale" in first
    assert int(re.search(r"(\d+) of 20$", done.stdout, re.MULTILINE)[1]) >= 15
    assert "<mark" in (tmp_path / "trace.html").read_text(encoding="utf-8")


def test_a_removal_is_predicted_and_checked_by_training(tmp_path):
    command = [sys.executable, RECIPES / "datamodel.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    everything = float(re.search(r"(\S+) nats with all rows", done.stdout)[1])
    predicted, seen = map(float, re.search(r"predicted (\S+), trained again (\S+)$", done.stdout, re.MULTILINE).groups())
    assert predicted < everything
    assert seen < everything
    assert "Argentina" in done.stdout.split("trained again")[1].splitlines()[1]
    kept = len(list(tmp_path.glob("runs/*/*/*.npz")))
    subprocess.run(command, capture_output=True, check=True)
    assert len(list(tmp_path.glob("runs/*/*/*.npz"))) == kept


def test_the_rows_that_stand_out_from_training_noise(tmp_path):
    command = [sys.executable, RECIPES / "how_sure.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert "Means of 6 runs (deep ensemble)" in done.stdout
    parts = re.search(r"seed (\d+)%, data order (\d+)%, rest (\d+)%", done.stdout).groups()
    assert sum(map(int, parts)) in (99, 100, 101)  # rounded
    assert "for 100% by the mean of all" in done.stdout  # the rows that state a fact are the best of it
    assert ", q " in (tmp_path / "mean.html").read_text(encoding="utf-8")
    assert "<table" in (tmp_path / "stability.html").read_text(encoding="utf-8")


def test_the_heads_behind_an_answer_are_removed(tmp_path):
    command = [sys.executable, RECIPES / "heads.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    change = r"^  {} \(\d+ rows.*; (\S+) ±\S+, (\S+) apart"
    lowered, apart = map(float, re.search(change.format("targets"), done.stdout, re.MULTILINE).groups())
    assert lowered < 0  # what the edit is for
    assert float(re.search(change.format("reference"), done.stdout, re.MULTILINE)[2]) < apart
    assert len(re.findall(r"^    (?:before|after): +\S+ \d\.\d\d, ", done.stdout, re.MULTILINE)) == 6
    assert "<table" in (tmp_path / "heads.html").read_text(encoding="utf-8")
    assert (tmp_path / "edited" / "edit.json").exists()


def test_the_features_behind_an_answer_and_one_held_high(tmp_path):
    command = [sys.executable, RECIPES / "features.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    learnt, drawn = (re.search(rf"^{name}: FVU (\S+);", done.stdout, re.MULTILINE)[1] for name in (r"\S+dictionary", "random"))
    assert float(learnt) < float(drawn)
    assert "without the error term" in done.stdout
    said = [re.search(rf"^    {how}: +(\S.*)$", done.stdout, re.MULTILINE)[1] for how in ("as it is", "held high")]
    assert said[0] != said[1]
    assert "Nearest features" in (tmp_path / "feature.html").read_text(encoding="utf-8")
    assert "error term" in (tmp_path / "behind.html").read_text(encoding="utf-8")


def test_recipes_are_short():
    for recipe in RECIPES.glob("*.py"):
        assert len(recipe.read_text(encoding="utf-8").splitlines()) < 120, recipe
