"""Does a row stand out? p-values of planted worlds, of which it is known whether a row has the answer."""

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.report.ranking import ranking
from llmattr.text.rows import row_text
from llmattr.training import METHODS
from llmattr.training.chance import FEWEST, FOREIGN, LOOKED, Foreign
from llmattr.training.contract import IndexMethod
from llmattr.training.index.search import Products, Top
from llmattr.training.index.store import GradientIndex
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS

N, D, TOPICS, UNSEEN = 400, 64, 6, 300
BY_CHANCE = 1.949 * np.sqrt(1 / FOREIGN + 1 / UNSEEN) + 1 / (1 + FOREIGN)  # Kolmogorov and Smirnov, two samples, 1 in 1,000
METHODS_TRIED = ["grad-dot", "grad-cos", "logra", "trak", "bm25", "word-share"]


class World:
    """Facts of six topics, each stated by one row or by three, in words of Zipf's law and with a name of their own.

    A gradient is its topic's, its fact's and its own, of a length that varies by half.
    """

    def __init__(self, seed: int, folder) -> None:
        self.random = np.random.default_rng(seed)
        self.topics, self.named = self.random.standard_normal((TOPICS, D)), 0
        stated, self.taught, self.n_teaching = [], [], 3
        while len(stated) < N:
            times = min(int(self.random.choice([1, self.n_teaching])), N - len(stated))
            *said, asked = self.fact(times + 1)
            stated += said
            self.taught += [asked] if times == self.n_teaching else []
        self.unseen = [self.fact(1)[0] for _ in range(UNSEEN)]
        self.rows, vectors = zip(*stated, strict=True)
        index = GradientIndex.create(folder, {"dim": D, "row_type": "float32", "data_hash": "x"}, self.rows)
        index.write(range(N), np.stack(vectors), np.full(N, 0.5))
        index.finish()
        self.index = GradientIndex.open(folder)

    def fact(self, times):
        """So many wordings with their gradients."""
        own = self.topics[self.random.integers(TOPICS)] * 0.7 + 1.5 * self.random.standard_normal(D)
        self.named += 1
        name = " ".join(f"{part}{self.named}" for part in ("ann", "bo", "cy"))
        sized = [np.exp(self.random.standard_normal() / 2) for _ in range(times)]
        return [(self.wording(name), size * (own + self.random.standard_normal(D))) for size in sized]

    def wording(self, name):
        """A question and its answer, of words that any has."""
        chances = 1 / np.arange(1, 301)
        words = [f"w{i}" for i in self.random.choice(300, self.random.integers(7, 15), p=chances / chances.sum())]
        return {"prompt": " ".join(words[3:]) + " ", "completion": " ".join(words[:3]) + f" {name}."}

    def p(self, method, questions):
        """Each question's p-value, that of its best row."""
        rows, vectors = zip(*questions, strict=True)
        best = self.best(method, np.stack(vectors), rows)
        answers = [row["completion"] for row in rows]
        foreign = Foreign(self.index, FOREIGN, lambda chosen: self.asked_back(method, chosen))
        return foreign.p_values(best, answers).min(axis=1)

    def asked_back(self, method, chosen):
        return self.best(method, self.index.stored(chosen), [self.rows[i] for i in chosen])

    def best(self, method, vectors, rows):
        if isinstance(method, IndexMethod):
            return Top(len(rows), LOOKED).over(Products(self.index, method.weigh(self.index, vectors.astype(np.float32))))
        texts, asked = ([row_text(row) for row in some] for some in (self.rows, rows))
        return Top(len(rows), LOOKED).over([(np.arange(N), method.retrieve(texts, asked))])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(0, tmp_path_factory.mktemp("world") / "i")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    lm, rows = LM(tiny_models.gpt2(), tiny_models.tokenizer(), "gpt2"), [{**row, "colour": row["completion"]} for row in ROWS]
    return build_index(lm, rows, tmp_path_factory.mktemp("asked") / "i", "grad-cos")


@pytest.mark.parametrize("name", METHODS_TRIED)
def test_what_no_row_answers_has_uniform_p_values(world, name):
    """As the foreign questions' do: both are samples of one distribution, as far as 300 and 199 of them tell."""
    found = world.p(METHODS[name](), world.unseen)
    levels = np.arange(1, FOREIGN + 2) / (FOREIGN + 1)
    assert np.abs((found[:, None] <= levels).mean(axis=0) - levels).max() < BY_CHANCE


@pytest.mark.parametrize(("name", "most"), [("grad-cos", 0.9), ("logra", 0.75), ("bm25", 0.9)])
def test_what_three_rows_teach_stands_out(world, name, most):
    """Of so many questions at least, though two of three of the rows have others that say the same."""
    assert (world.p(METHODS[name](), world.taught) <= 0.05).mean() >= most


@pytest.mark.slow
def test_what_knows_nothing_finds_nothing(world):
    """Of m taught questions 1 in 20 by chance; three deviations of that many draws, and of 199."""
    found = world.p(METHODS["random"](), world.taught)
    assert (found <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 * (1 / len(found) + 1 / FOREIGN))


def test_by_hand(tmp_path):
    """20 rows, each of which as a question has itself at 100 and the others at 0 to 4: the null is 20 times about the same."""
    rows = [{"prompt": f"p{i} ", "completion": f"c{i}"} for i in range(20)]
    index = GradientIndex.create(tmp_path / "i", {"dim": 20, "row_type": "float32", "data_hash": "x"}, rows)
    index.write(range(20), np.eye(20), np.zeros(20))
    index.finish()
    index = GradientIndex.open(tmp_path / "i")
    noise = np.arange(20) % 5  # of rows as questions: 4 at most, but for their own score of 100

    def asked_back(chosen):
        scores = np.stack([np.where(np.arange(20) == row, 100.0, noise) for row in chosen])
        return Top(len(chosen), LOOKED).over([(np.arange(20), scores)])

    def best(scores):
        return Top(1, LOOKED).over([(np.arange(20), np.array([scores], dtype=float))])

    foreign = Foreign(index, 20, asked_back)
    assert foreign.p_values(best(noise), ["nothing"]).min() > 0.05
    above = foreign.p_values(best(np.where(np.arange(20) == 7, 100, noise)), ["c7"])
    assert above[0, 0] == 1 / 21
    assert (above[0, 1:] > 0.5).all()
    assert Foreign(index, FEWEST - 1, asked_back).p_values(best(noise), ["nothing"]) is None
    alike = foreign.p_values(best(np.ones(20)), ["nothing"])
    assert (alike == 1).all()  # where every row has one score none stands out


def test_of_more_rows_with_the_answer_than_are_looked_at_nothing_is_told(tmp_path):
    """What is left of them would be taken for what scores are by chance."""
    rows = [{"prompt": f"p{i} ", "completion": "the same" if i < LOOKED + 5 else f"c{i}"} for i in range(LOOKED + 60)]
    index = GradientIndex.create(tmp_path / "i", {"dim": 4, "row_type": "float32", "data_hash": "x"}, rows)
    index.write(range(len(rows)), np.ones((len(rows), 4)), np.zeros(len(rows)))
    index.finish()
    scores = np.arange(len(rows), 0, -1.0)[None]

    def best(chosen):
        return Top(len(chosen), LOOKED).over([(np.arange(len(rows)), np.repeat(scores, len(chosen), axis=0))])

    foreign = Foreign(GradientIndex.open(tmp_path / "i"), 40, best)
    assert np.isnan(foreign.p_values(best([0]), ["the same"])).all()
    assert np.isfinite(foreign.p_values(best([0]), ["c70"])).all()


class TestAsked:
    """Through the public interface."""

    def test_every_face_has_them(self, index, tmp_path):
        result = index.query(ASKED, top=3)
        assert result.p_values.shape == result.values.shape
        assert (np.diff(result.p_values[0]) >= 0).all()  # the higher a score, the lower its p-value
        read = Attribution.load(result.save(tmp_path / "a.json"))
        np.testing.assert_array_equal(read.p_values, result.p_values)
        assert result.to_frame()["p"].tolist() == result.p_values[0].tolist()
        said = f"out: p = {result.p_values.min():.2g}"
        assert said in ranking(result)
        assert said in result.html()

    def test_the_null_is_kept_with_the_index(self, index):
        """Of the same method and number alone; a damaged file is made anew."""
        before = index.query(ASKED)
        files = set(index.index.folder.glob("null.*"))
        np.testing.assert_array_equal(index.query(ASKED).p_values, before.p_values)
        assert set(index.index.folder.glob("null.*")) == files
        for file in files:
            file.write_bytes(b"no array")
        np.testing.assert_array_equal(index.query(ASKED).p_values, before.p_values)
        index.query(ASKED, method="bm25")
        assert len(set(index.index.folder.glob("null.*")) - files) == 1

    def test_of_groups_it_is_their_best_rows(self, index):
        rows = index.query(ASKED, None)
        groups = index.query(ASKED, group_by="colour")
        assert groups.p_values.min() == rows.p_values.min()

    @pytest.mark.parametrize("how", [{"tokens": True}, {"rerank": 5}, {"foreign": 0}])
    def test_parts_have_none(self, index, how):
        result = index.query(ASKED, **how)
        assert result.p_values is None
        assert "p" not in result.to_frame()
        assert "stands out" not in ranking(result)

    def test_a_pass_for_each_where_that_is_asked_for(self, tmp_path):
        index = build_index(LM(tiny_models.gpt2(), tiny_models.tokenizer(), "gpt2"), ROWS, tmp_path / "i", "stream")
        assert index.query(ASKED).p_values is None
        assert index.query(ASKED, foreign=20).p_values.shape == (1, 20)

    def test_what_cannot_be(self, index):
        with pytest.raises(LlmattrError, match="foreign must be"):
            index.query(ASKED, foreign=3)
        with pytest.raises(LlmattrError, match="asked of all rows: leave them out, or --tokens"):
            index.query(ASKED, foreign=20, tokens=True)

    def test_on_the_command_line(self, index, capsys):
        folder = str(index.index.folder)
        assert main(["trace", "query", folder, "--help"]) == 0
        assert "--foreign" in capsys.readouterr().out
