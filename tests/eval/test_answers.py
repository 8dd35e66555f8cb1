"""The full-sentence answers: checked against the public data where it is here; pages on a question of our own."""

import re

import numpy as np
import pytest

from eval.context.answers import (
    MOST,
    Answers,
    answered,
    dressed,
    judging,
    read,
    right_gold,
    sources_of,
    without_gold,
)
from eval.context.data import Paper, Question
from llmattr.errors import LlmattrError
from llmattr.text.messages import conversation
from llmattr.text.prompt import cut
from tests.conftest import SHARED

LITTLE = {"a", "an", "and", "as", "at", "by", "from", "in", "is", "of", "on", "the", "to", "with", "d", "s"}  # d'Or, Grey's
OTHERWISE = {"02", "1400s", "1800s", "american", "jeeps", "koreans", "north", "s", "u"}  # forms that pages do not have
ALL = read()


def words(text):
    return re.findall(r"\w+", text.casefold())


def names(text):
    """Its words with a capital or a digit, but not the first, which always has one."""
    return {word.casefold() for word in re.findall(r"\w+", text)[1:] if word[0].isupper() or word[0].isdigit()}


def context(question):
    return set(words(" ".join(text for d in question.documents for text in (d.title or "", d.text))))


def sources(question):
    return cut(conversation(question.documents, question.question), question.splitter)


@pytest.fixture(scope="module")
def asked():
    """All answers with their questions, of the shared data or the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        if (SHARED / "data").exists():
            patch.setenv("LLMATTR_EVAL_DATA", str(SHARED / "data"))
        try:
            yield answered(ALL)
        except LlmattrError as error:
            pytest.skip(str(error))


@pytest.fixture
def tower():
    """Two papers of 3 and 2 sentences, of which the second and the fifth are gold."""
    first = Paper("Tower", ("The tower is old .", "It was built in 1889 .", "It is `` tall '' ."), (False, True, False))
    return Question("tower", "When?", (first, Paper(None, ("Stone is grey.", "So is 1889 stone."), (False, True))), "1889")


def answers(of="qed", id="tower", **given):
    fields = {"dressed": False, "right": "", "paraphrase": "", "reworded": "", "false": "", "swapped": None, "refusal": ""}
    return Answers(of, id, **{**fields, **given})


class TestAnswers:
    def test_there_are_as_many_as_were_meant(self):
        sets = [(one.of, one.dressed) for one in ALL]
        assert len({(one.of, one.id) for one in ALL}) == len(ALL) == 96
        counts = {kind: sets.count(kind) for kind in sets}
        assert counts == {("qed", True): 28, ("qed", False): 28, ("hotpotqa", False): 24, ("2wiki", False): 16}
        assert sum(len(one.right_gold) == 2 for one in ALL) >= 24

    def test_sentences_differ_and_are_neither_short_nor_long(self):
        assert len({one.refusal for one in ALL}) == len(ALL)
        for one in ALL:
            assert len(set(one.said.values())) == len(one.said), one.id
            for kind, text in one.said.items():
                sentences = len(one.right_gold) if kind == "right" and one.right_gold else 1
                assert 6 <= len(text.split()) <= 30 * sentences, (one.id, kind)
                assert text[-1] == "."

    def test_right_ones_have_the_answer_of_the_data(self, asked):
        for one, question in asked:
            answer, said = words(question.answer), words(one.right)
            whole = " ".join(answer) in " ".join(said)
            most = len(answer) > 10 and sum(word in said for word in answer) >= 0.75 * len(answer)  # a clause, not a name
            assert whole or most, (one.id, question.answer)

    def test_reworded_ones_have_the_names_of_the_page(self, asked):
        """And half as many words that it does not have as paraphrases, or fewer."""

        def foreign(text, question):
            return set(words(text)) - context(question) - set(words(question.question)) - LITTLE

        for one, question in asked:
            assert names(one.reworded) & foreign(one.reworded, question) <= OTHERWISE, one.id
            assert one.reworded not in one.right
        paraphrased, reworded = (
            sum(len(foreign(one.said[kind], question)) for one, question in asked) for kind in ("paraphrase", "reworded")
        )
        assert 2 * reworded < paraphrased

    def test_false_ones_have_what_stands_nowhere(self, asked):
        for one, question in asked:
            new = set(words(one.false)) - set(words(one.right)) - LITTLE
            assert new, one.id
            assert not new & context(question), one.id

    def test_swapped_ones_have_what_stands_elsewhere(self, asked):
        for one, question in asked:
            if one.swapped is not None:
                there = context(question) | set(words(question.question))
                assert names(one.swapped) <= there, one.id
                assert one.swapped not in one.right
                assert (set(words(one.swapped)) - set(words(one.false)) - LITTLE) & there, one.id

    def test_questions_are_of_their_size_and_keep_their_gold(self, asked):
        for one, question in asked:
            plain = question.plain if one.dressed else question
            assert 4 <= plain.size <= MOST
            assert plain.gold.any()
            assert without_gold(question).size
            gold = right_gold(one, question)
            assert gold.shape == (max(len(one.right_gold), 1), question.size)
            assert gold.any(axis=1).all()

    def test_pages_have_the_gold_of_their_questions(self, asked):
        for one, question in asked:
            if one.dressed:
                for number, gold in enumerate(question.plain.gold):
                    held = sources_of(question, [number])
                    assert held.any()
                    assert question.gold[held].any() == gold, one.id
                assert list(sources(question).texts) == [text for page in question.papers for text in page.sentences]

    def test_a_question_that_is_not_there(self, asked):
        with pytest.raises(LlmattrError, match="there is no question qed tower"):
            answered([answers()])

    def test_data_that_is_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setenv("LLMATTR_EVAL_DATA", str(tmp_path))
        with pytest.raises(LlmattrError, match="the set qed is not here: python -m eval data qed"):
            answered([answers()])


class TestDressing:
    def test_a_page_is_cut_by_the_library(self, tower):
        page = dressed(tower)
        found = sources(page)
        assert list(found.texts) == [text for paper in page.papers for text in paper.sentences]
        assert set(found.blocks) >= {"heading", "item", "paragraph"}  # that it is Markdown was seen
        true = [text for text, furniture in zip(found.texts, page.furniture, strict=True) if not furniture]
        assert true == ["The tower is old.", "It was built in 1889.", 'It is "tall".', "Stone is grey.", "So is 1889 stone."]

    def test_gold_stays_on_the_true_sentences(self, tower):
        page = dressed(tower)
        texts = np.array(sources(page).texts)
        assert texts[page.gold].tolist() == ["It was built in 1889.", "So is 1889 stone."]
        assert texts[sources_of(page, [2, 3])].tolist() == ['It is "tall".', "Stone is grey."]
        assert not (page.furniture & page.gold).any()

    def test_it_is_chosen_by_the_id(self, tower):
        assert dressed(tower) == dressed(tower)
        pages = {dressed(Question(str(i), tower.question, tower.papers)).documents[0].text for i in range(20)}
        assert len(pages) > 15

    def test_a_source_that_is_longer_or_shorter_than_a_sentence(self):
        """Half of either is enough: the library joins what the data parts, and parts what it joins."""
        parts = ("He met Dr.", "Grey in the morning of that day.", "One. Two of them came.")
        page = dressed(Question("odd", "Who?", (Paper("Odd", parts, (True, False, True)),)))
        texts = [text for text, gold in zip(sources(page).texts, page.gold, strict=True) if gold]
        assert texts == ["He met Dr. Grey in the morning of that day.", "One.", "Two of them came."]
        assert sources_of(page, [1]).tolist() == sources_of(page, [0]).tolist()

    def test_without_gold(self, tower):
        rest = without_gold(tower)
        assert [paper.sentences for paper in rest.papers] == [("The tower is old .", "It is `` tall '' ."), ("Stone is grey.",)]
        assert not rest.gold.any()
        assert without_gold(dressed(tower)) == dressed(rest)
        assert "1889" not in "".join(document.text for document in without_gold(dressed(tower)).documents)

    def test_a_paper_of_gold_alone_goes(self):
        papers = (Paper("A", ("All of it.",), (True,)), Paper("B", ("None of it.",), (False,)))
        assert [paper.title for paper in without_gold(Question("q", "?", papers)).papers] == ["B"]

    def test_gold_of_two_sentences(self, tower):
        two = answers(right_gold=((1,), (0, 3)))
        assert right_gold(two, tower).tolist() == [[False, True, False, False, False], [True, False, False, True, False]]
        assert right_gold(answers(), tower).tolist() == [tower.gold.tolist()]
        page = dressed(tower)
        assert (right_gold(two, page)[1] == sources_of(page, [0, 3])).all()


class TestHalves:
    def test_half_of_every_kind_judges(self):
        kinds = [(one.of, one.dressed) for one in ALL]
        judge = [kind for kind, judges in zip(kinds, judging(ALL), strict=True) if judges]
        assert len(judge) == 48
        assert all(2 * judge.count(kind) == kinds.count(kind) for kind in kinds)

    def test_more_questions_change_nothing(self):
        few = [answers("qed", str(i), dressed=i % 3 == 0) for i in range(30)]
        more = [*few, *(answers(of, str(i)) for i in range(30, 41) for of in ("qed", "2wiki"))]
        assert judging(more)[:30] == judging(few)
        assert judging(few) != judging(few, seed=1)
