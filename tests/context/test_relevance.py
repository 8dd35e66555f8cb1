"""By words: how much of a sentence each source has, and which source of another document completes it."""

from dataclasses import replace

import numpy as np
import pytest

from llmattr import cite
from llmattr.context.relevance import asked, completing, relevance
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources
from llmattr.errors import LlmattrNote
from llmattr.report.marks import citation_numbers, marked
from llmattr.report.text import terminal
from llmattr.text.messages import TEMPLATE, conversation

DOCUMENTS = [
    {"text": "The Blue Lantern is a novel by Ana Petrov. Its cover is green.", "title": "The Blue Lantern"},
    {"text": "Ana Petrov is a writer born in Varna. She has two cats.", "title": "Ana Petrov"},
]
QUESTION = "Where was the writer of The Blue Lantern born?"
SAID = "She was born in Varna."


@pytest.fixture
def result(tiny):
    """Where the tiny model, whose scores mean nothing, answers with the second document's words."""
    return cite(tiny, DOCUMENTS, QUESTION, response=SAID, method="leave-one-out")


def sources(groups, quotable=None):
    texts = ["Ana Petrov was born in Varna.", "The Blue Lantern is by Ana Petrov.", "The Blue Lantern, a novel", "It is warm."]
    return Sources("sources", list("abcd"), texts, groups=np.array(groups), quotable=quotable)


class TestRelevance:
    def test_it_is_the_share_of_what_is_added_to_the_question(self, result):
        assert asked(conversation(DOCUMENTS, QUESTION, template=TEMPLATE)).count(QUESTION) == 1
        ablation = result.session.ablation
        assert relevance(ablation).tolist() == [[0, 0, 1, 0]] * 2  # "Varna" alone is new, in answer and sentence
        assert result.relevance.tolist() == [[0, 0, 1, 0]] * 2

    def test_what_has_no_words_to_compare_weighs_nothing(self, tiny):
        silent = cite(tiny, ["Es ist warm. Wir gehen."], "Wie?", response="...", method="leave-one-out", verify=False)
        assert np.isnan(silent.relevance).all()
        assert silent.cited.tolist() == (silent.clear & (silent.values >= 0.2 * silent.values.max())).tolist()

    def test_an_answer_in_another_language_is_not_compared_by_words(self, tiny):
        with pytest.warns(LlmattrNote, match=r"the answer is in another language \(de\) than the documents \(en\)"):
            found = cite(tiny, DOCUMENTS, QUESTION, response="Sie wurde im Jahr 1932 in Warna geboren.", method="leave-one-out")
        assert np.isnan(found.relevance).all()
        assert found.evidence.targets[0].stated is None
        missing = [found.response[start:end] for start, end in found.evidence.targets[0].missing]
        assert missing == ["1932"]  # names have other forms there

    def test_what_has_nothing_to_quote_is_said(self, tiny):
        with pytest.warns(LlmattrNote, match="cannot be quoted: nothing will be cited"):
            found = cite(tiny, ["# The canal\n\n## History\n"], QUESTION, response=SAID, method="leave-one-out", verify=False)
        assert not found.cited.any()

    def test_words_of_a_source_are_no_sources_with_words(self, result):
        assert result.zoom(2).relevance is None

    def test_it_is_kept(self, result, tmp_path):
        again = Attribution.load(result.save(tmp_path / "a.json"))
        assert again.relevance.tolist() == result.relevance.tolist()
        assert again.cited.tolist() == result.cited.tolist()
        assert result.by_document().relevance is None
        assert result[0].relevance.tolist() == result.relevance[:1].tolist()


class TestSecondHop:
    said = "Which town is the writer of The Blue Lantern from? She is from Varna."

    def test_it_has_what_no_cited_source_has(self):
        assert completing(self.said, sources([0, 1, 1, 2]), [0]) == 1

    @pytest.mark.parametrize(
        ("given", "cited"),
        [
            (sources([0, 0, 0, 0]), [0]),  # the same document is at hand
            (sources([0, 1, 1, 2]), []),
            (sources([0, 1, 2, 3]), [0, 1]),  # nothing is left
            (sources([0, 1, 1, 2], np.array([True, False, False, True])), [0]),
        ],
    )
    def test_there_is_none(self, given, cited):
        assert completing(self.said, given, cited) is None

    def test_sources_without_documents_have_none(self):
        assert completing(self.said, Sources("sources", ["a"], ["Varna"]), [0]) is None

    def test_it_is_numbered_behind_what_is_cited_and_called_what_it_is(self, result):
        one = replace(result.evidence.targets[0], verdict="context", second_hop=0)
        scores = np.array([[0.0, 0.0, 4.0, 0.0]] * 2)
        found = replace(result, values=scores, evidence=replace(result.evidence, targets=(one, one)))
        assert citation_numbers(found) == {2: 1, 0: 2}
        assert [score.source for score in marked(found, 1)] == [2, 0]
        assert "[2] has the rest of what was asked; the model did not need it" in terminal(found)
        assert found.cited.tolist() == [[False, False, True, False]] * 2
        assert "[^1][^2]" in found.markdown()
        assert "has the rest of what was asked" in found.html()
