"""Whose is it: shares of the support by a column of the rows, in planted worlds."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.retrieval.duplicates import near_duplicates
from llmattr.training.shares import above_median, shares
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS


def supported(values, groups, texts=None):
    """Rows of one target with this support, best first."""
    texts = texts or [f"{word} is another thing altogether" for word in "abcdefghijklmnopqrstuvwxyz"[: len(values)]]
    columns = [{"source": group} for group in groups]
    return Attribution(
        values=np.array([values], dtype=float),
        index=np.arange(len(values))[None],
        sources=Sources("training rows", [str(7 * i) for i in range(len(values))], texts, columns=columns),
        targets=Targets(["Paris"], measure="loss"),
        unit="inner products",
        method={"name": "grad-dot"},
        traced=True,
    )


def looked(*given):
    """The same, looked at by its k best rows."""
    rows = supported(*given)
    return lambda k: dataclasses.replace(
        rows, values=rows.values[:, :k], index=rows.index[:, :k], sources=rows.sources.subset(rows.index[0, :k])
    )


def by_name(result):
    return dict(zip(result.sources.ids, zip(result.values[0], result.stderr[0], strict=True), strict=True))


class TestShares:
    def test_by_hand(self):
        """w = 3, 2, 1 of a, b, a: a has 4/6; error sqrt(3/2 (9/9 + 4 * 4/9 + 1/9)) / 6 of `w (p - share)`."""
        found = by_name(shares(looked([3, 2, 1], "aba"), "source", 3))
        error = np.sqrt(1.5 * ((3 * (1 - 4 / 6)) ** 2 + (2 * (4 / 6)) ** 2 + (1 * (1 - 4 / 6)) ** 2)) / 6
        assert found["a"] == pytest.approx((4 / 6, error), rel=1e-12)
        assert found["b"] == pytest.approx((2 / 6, error), rel=1e-12)  # of two groups the errors are the same

    def test_copies_are_one_row(self):
        """Ten copies of a row in the web and one row of a book, which supports as much: half and half."""
        texts = ["the toll of the canal is blue and green"] * 10 + ["ships pay in gold before they pass a lock"]
        found = by_name(shares(looked([2.0] * 11, ["web"] * 10 + ["book"], texts), "source", 2))
        assert found["web"][0] == pytest.approx(0.5)
        mixed = by_name(shares(looked([2.0] * 11, ["web"] * 5 + ["mirror"] * 5 + ["book"], texts), "source", 2))
        assert [mixed[name][0] for name in ("web", "mirror", "book")] == pytest.approx([0.25, 0.25, 0.5])

    def test_copies_do_not_crowd_out_other_rows(self):
        texts = ["the toll of the canal is blue and green"] * 10 + ["ships pay in gold before they pass a lock"]
        crowded = shares(looked([2.0] * 10 + [1.0], ["web"] * 10 + ["book"], texts), "source", 2)
        assert by_name(crowded)["book"][0] == pytest.approx(1 / 3)

    @pytest.mark.parametrize("copies", [40, 400])
    def test_however_many_copies_there_are_and_in_whatever_order(self, copies):
        """Copies of one row in two places, and one other row: a half each place, by how many copies it has, and the other."""
        texts = ["the toll of the canal is blue and green"] * copies + ["ships pay in gold before they pass a lock", "no"]
        places = ["web"] * (copies // 4) + ["mirror"] * (copies - copies // 4)
        for order in (places, places[::-1]):
            found = by_name(shares(looked([2.0] * copies + [2.0, 0.0], [*order, "book", "none"], texts), "source", 2))
            assert [found[name][0] for name in ("web", "mirror", "book")] == pytest.approx([0.125, 0.375, 0.5])

    def test_no_end_of_copies(self, monkeypatch):
        monkeypatch.setattr("llmattr.training.shares.MOST", 20)
        texts = ["the toll of the canal is blue and green"] * 100
        with pytest.warns(LlmattrNote, match="copies crowd out other rows: shares are of the 50 best rows alone"):
            shares(looked([2.0] * 100, ["web"] * 100, texts), "source", 2)

    def test_the_error_is_what_another_draw_of_rows_makes_of_it(self):
        """Of 500 draws of 60 rows the mean error is their standard deviation, up to three errors of that, 3 % each."""
        generator = np.random.default_rng(0)
        found, errors = [], []
        for _ in range(500):
            weights, of_a = generator.exponential(size=60), generator.random(60) < 0.3
            result = shares(partial(supported_fast, weights, of_a), "source", 60)
            place = result.sources.ids.index("a")
            found.append(result.values[0, place])
            errors.append(result.stderr[0, place])
        assert np.mean(found) == pytest.approx(0.3, abs=4 * 0.1 / 500**0.5)
        assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)

    def test_edges(self):
        alone = by_name(shares(looked([3.0, 0.0], "ab"), "source", 2))
        assert alone["a"][0] == 1
        assert np.isnan(alone["a"][1])
        with pytest.warns(LlmattrNote, match="no row supports query 0 beyond the median row"):
            assert by_name(shares(looked([0.0, 0.0], "ab"), "source", 2))["a"] == (0, 0)
        np.testing.assert_array_equal(above_median(np.array([[5.0, 1.0, -3.0], [9.0, -1.0, -2.0]])), [[4, 0, 0], [9, 0, 0]])


def supported_fast(weights, of_a, _k):
    """As `supported`, with texts that share no words."""
    texts = [f"w{i} x{i} y{i}" for i in range(len(weights))]
    order = np.argsort(-weights)
    return supported(weights[order], np.where(of_a, "a", "b")[order].tolist(), texts)


def test_near_duplicates():
    text = "The Panama Canal is an artificial waterway of eighty two kilometres that connects the Atlantic and the Pacific"
    texts = [text, text.upper() + "!", text + " too", "Ships pay a toll.", "Ships pay a tax.", ""]
    groups = near_duplicates(texts)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups[2:])) == 4  # a word more of twenty is no other text, one of four is


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


@pytest.fixture(scope="module")
def index(lm, tmp_path_factory):
    """Six rows that state the answer, four from the web, one of them six times, and two from books; 18 that state others."""
    sources = ["web", "web", "web", "book", "book", "web"]
    taught = [row for row in ROWS if row["completion"] == ASKED["completion"]]
    rows = [{**row, "source": source, "licence": "CC0"} for row, source in zip(taught, sources, strict=True)]
    rows += [{**rows[0]} for _ in range(5)] + [
        {**row, "source": "other"} for row in ROWS if row["completion"] != ASKED["completion"]
    ]
    return build_index(lm, rows, tmp_path_factory.mktemp("shares") / "i", "grad-cos")


class TestIndex:
    def test_an_answer_that_known_rows_taught(self, index):
        """Six rows of equal worth: 4/6 and 2/6 within two errors, and next to nothing of the 18 others."""
        found = index.query({"prompt": "Ship 99 of the canal is ", "completion": ASKED["completion"]}, 6, group_by="source")
        of = by_name(found)
        assert found.values.sum() == pytest.approx(1)
        assert abs(of["web"][0] - 4 / 6) < 2 * of["web"][1]
        assert abs(of["book"][0] - 2 / 6) < 2 * of["book"][1]
        assert of.get("other", (0, 0))[0] < 0.05
        assert found.to_frame()[["id", "score", "stderr"]].iloc[0].tolist() == pytest.approx(["web", *of["web"]])
        assert found.unit == "shares of the support"

    def test_each_query_and_each_token_has_its_own(self, index):
        found = index.query([ASKED, ROWS[0]], 6, group_by="source")
        assert found.values.sum(axis=1) == pytest.approx([1, 1])
        assert by_name(found[1])["other"][0] > 0.9
        tokens = index.query(ASKED, 6, group_by="source", tokens=True)
        assert tokens.values.sum(axis=1) == pytest.approx(np.ones(len(tokens)))

    def test_what_is_refused(self, index):
        with pytest.raises(LlmattrError, match="row 0 has nothing in the column 'author' that the rows are grouped by"):
            index.query(ASKED, group_by="author")
        with pytest.raises(LlmattrError, match="row 11 has nothing in the column 'licence'"):
            index.query(ROWS[0], group_by="licence")
        with pytest.raises(LlmattrError, match=r"a column that says whose a row is, not what it says \('prompt'\)"):
            index.query(ASKED, group_by="prompt")
        with pytest.raises(LlmattrError, match="need the score of every row, for the median: leave out --rerank"):
            index.query(ASKED, group_by="source", rerank=5)

    def test_rows_own_columns_come_back(self, index, tmp_path):
        found = index.query(ASKED, 2)
        best = found.top(1)[0]
        assert found.sources.metadata(best.source) == {"source": "web", "licence": "CC0"}
        assert found.to_frame()["metadata.source"].iloc[0] == "web"
        assert "source: web, licence: CC0" in found.html()
        read = Attribution.load(found.save(tmp_path / "o.json"))
        assert read.sources.metadata(best.source) == {"source": "web", "licence": "CC0"}
        assert read[0].sources.subset(np.array([best.source])).metadata(0)["source"] == "web"


def test_the_command_line(tmp_path, tiny_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"{row['prompt']},{row['completion']},site{i % 3}\n" for i, row in enumerate(ROWS))
    (tmp_path / "rows.csv").write_text("prompt,completion,source\n" + lines)
    asked = ["--prompt", ASKED["prompt"], "--completion", ASKED["completion"]]
    assert main(["trace", "index", "--data", "rows.csv", "--out", "i", "--model", str(tiny_folder), "grad-cos"]) == 0
    assert main(["trace", "query", "i", *asked, "--group-by", "source", "--html", "o.html", "--json", "o.json"]) == 0
    assert (
        "Scores are shares of the support: what each source has of the support of the 10 best rows" in capsys.readouterr().out
    )
    assert Attribution.load(tmp_path / "o.json").values.sum() == pytest.approx(1)
    assert "site1" in (tmp_path / "o.html").read_text()
    assert main(["trace", "query", "i", *asked, "--group-by", "author"]) == 2
    assert "row 0 has nothing in the column 'author'" in capsys.readouterr().err
