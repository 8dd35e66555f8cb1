"""The texts that were marked by hand, and the benchmark that judges splitters by them: `python -m eval splitting`."""

import doctest
import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from eval.text import counts, marks, splitting
from eval.text.marks import BETWEEN, MARKED, Marked, kinds, parse, read, written
from eval.text.splitters import LANGUAGES, SPLITTERS
from llmattr.errors import LlmattrError

FILES = sorted(path for path in MARKED.iterdir())
TEXT = Marked("# A\nB. C. D.", [(4, 6), (7, 9), (10, 12)], [(0, 3)])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_marks_are_read_losslessly(path):
    texts = read(path)
    assert BETWEEN.join(map(written, texts)) == path.read_text(encoding="utf-8")
    for one in texts:
        assert one.units
        spans = sorted(one.units + one.closed)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert not set("⟦⟧⟪⟫") & set(one.text)


def test_both_halves_have_every_kind_in_full():
    halves = {half: kinds(half) for half in ("choose", "judge")}
    assert halves["choose"].keys() == halves["judge"].keys()
    assert len(halves["judge"].keys() - set(LANGUAGES)) == 9
    for kind in halves["judge"]:
        assert sum(len(one.units) for half in halves.values() for path in half[kind] for one in read(path)) >= 80


@pytest.mark.parametrize("wrong", ["⟦A.", "A.⟧", "⟦A. ⟦B.⟧⟧", "⟦A.⟫", "⟦ A.⟧", "⟦⟧"])
def test_marks_out_of_place_are_refused(wrong):
    with pytest.raises(LlmattrError, match=r"unit|out of place"):
        parse(wrong)


def test_f1_by_hand():
    """Found: the heading, and B with C as one. Ends: C's alone of three. Whole units: none of two."""
    found = [(0, 3), (4, 9)]
    np.testing.assert_array_equal(counts.boundaries(TEXT, found), [[1, 1, 3]])
    np.testing.assert_array_equal(counts.units(TEXT, found), [[0, 2, 3]])
    assert counts.f1(counts.boundaries(TEXT, found))[0] == 2 * 1 / (1 + 3)
    assert counts.mean_f1([counts.units(TEXT, TEXT.units)]) == 1


def test_an_end_outside_of_every_unit_is_wrong():
    np.testing.assert_array_equal(counts.boundaries(TEXT, [*TEXT.units, (2, 11)]), [[3, 4, 3]])


def test_chunks_hold_all_that_is_offered():
    text = Marked("a" * 100, [(i, i + 1) for i in range(0, 80, 10)], [])
    found = [(i, i + 1) for i in range(100)]
    each = counts.boundaries(text, found)
    assert each.tolist() == [[3, 21, 3], [3, 30, 3], [2, 49, 2]]


def test_splitters_that_are_alike_are_told_to_be():
    """Equals differ by 0 however they are swapped; 30 chunks that all differ do so as much twice in 2^30."""
    right, wrong = np.tile([3, 3, 3], (30, 1)), np.tile([1, 3, 3], (30, 1))
    assert counts.p_value([right], [right]) == 1
    assert counts.p_value([right], [wrong]) == 1 / (1 + counts.DRAWS)
    assert counts.interval([right]) == (1, 1)


def test_every_splitter_finds_two_plain_sentences():
    text = "This is one. And this is two."
    assert all(splitter(text, "en") == [(0, 12), (13, 29)] for splitter in SPLITTERS.values())


def test_examples():
    assert all(doctest.testmod(module).failed == 0 for module in (counts, marks))


@pytest.fixture
def record(tmp_path, monkeypatch):
    def absent(text, language):
        raise ImportError

    monkeypatch.setitem(SPLITTERS, "syntok", absent)
    out = tmp_path / "splitting.json"
    done = CliRunner().invoke(splitting.command, ["--tiny", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text())


def test_runs_and_says_what_is_not_installed(record):
    assert list(record) == ["boundaries", "units", "speed"]
    for part in ("boundaries", "units"):
        assert [row["text"] for row in record[part]["figures"]] == [
            "en",
            "table",
            "mean of languages",
            "mean of documents",
            "mean",
        ]
        for row in record[part]["figures"]:
            assert row["syntok"] == "not installed"
            scores = {name: row[name] for name in SPLITTERS if name != "syntok"}
            assert all(0 <= score <= 1 for score in scores.values())
            assert row["first"].split(", ")[0] == max(scores, key=scores.__getitem__)
    assert {row["splitter"] for row in record["speed"]["figures"]} == set(SPLITTERS) - {"syntok"}


def test_wrong_ends_are_listed_on_the_half_for_writing():
    done = CliRunner().invoke(splitting.command, ["--wrong"])
    assert done.exit_code == 0
    assert all(": extra: " in line or ": missed: " in line for line in done.output.splitlines())
