"""A refusal says nothing but that the answer is not known or not in the documents."""

import pytest

from llmattr.text.refusal_languages import LANGUAGES
from llmattr.text.refusals import _pattern, refuses
from tests.text.refusal_sentences import CLAIMS, REFUSALS

QUOTES = ["{}", "  {}\n", '"{}"', "{} ", "**{}**"]


def lines(text):
    return [line.split(" ", 1)[1] for line in text.strip().splitlines()]


@pytest.mark.parametrize("sentence", lines(REFUSALS))
def test_a_refusal(sentence):
    assert refuses(sentence)


@pytest.mark.parametrize("sentence", lines(CLAIMS))
def test_a_claim(sentence):
    assert not refuses(sentence)


@pytest.mark.parametrize("frame", QUOTES)
def test_dressing_and_capitals_do_not_matter(frame):
    for sentence in lines(REFUSALS):
        assert refuses(frame.format(sentence))
        assert refuses(sentence.upper()) or not sentence.isascii()
    for sentence in lines(CLAIMS):
        assert not refuses(frame.format(sentence))


@pytest.mark.parametrize("sentence", lines(REFUSALS))
def test_a_refusal_that_goes_on_to_claim_is_none(sentence):
    if sentence.isascii():
        assert not refuses(f"{sentence} The tower was built in 1889.")


def test_long_patterns_are_made_only_for_what_denies():
    _pattern.cache_clear()
    assert not refuses("The tower was built in 1889.")
    assert _pattern.cache_info().currsize == len(LANGUAGES)  # of each the words that deny
    assert refuses("The text does not say it.")
    assert _pattern.cache_info().currsize > len(LANGUAGES)


@pytest.mark.parametrize("nothing", ["", " ", "...", "1889", "Yes.", "The tower was built in 1889."])
def test_nothing_and_plain_facts_refuse_nothing(nothing):
    assert not refuses(nothing)


ASKED = "Who was the father of the director of The Blue Lantern?"


@pytest.mark.parametrize(
    "sentence",
    [
        "Sadly the documents give us no clue as to who the director's father was.",
        "The documents identify the director but not the father.",
        "As to the father of the director, the passages keep silent.",
        "The provided passages offer nothing on the director's father.",
        "The context is insufficient to tell who the father of the director was.",
    ],
)
def test_what_adds_nothing_to_the_question_refuses_it(sentence):
    assert refuses(sentence, ASKED)


@pytest.mark.parametrize(
    "sentence",
    [
        "The father of the director of The Blue Lantern was not Karl Lund.",
        "The documents name Karl Lund as the father of the director, not Ana Petrov.",
        "The director of The Blue Lantern had no father in the film.",
        "Nobody knew the father of the director of The Blue Lantern.",
        "The document was not signed by the director in 1932.",
    ],
)
def test_a_denial_that_adds_something_claims_it(sentence):
    assert not refuses(sentence, ASKED)


@pytest.mark.parametrize(
    "sentence",
    [
        "The document was not signed by the mayor.",
        "The source of the Nile is not in Egypt.",
        "I do not need a licence.",
        "There is no search page.",
        "The text of the treaty does not name the king.",
        "The passage lacked light.",
    ],
)
def test_a_denial_that_the_question_asked_for_is_an_answer(sentence):
    asked = "Was the document signed by the mayor, do I need a licence, is there a search page, does the treaty name the king?"
    assert not refuses(sentence, f"{asked} Is the source of the Nile in Egypt? Did the passage lack light?")


@pytest.mark.parametrize(
    "sentence",
    [
        "The text says it was Lund, not Petrov.",
        "The documents say that Karl Lund built it, not Petrov.",
        "The documents name Lund and no one else.",
        "The document says that it was painted red, not blue.",
        "The article states that nobody built the bridge.",
        "No document has it, but Lund built the bridge.",
    ],
)
def test_what_the_documents_tell_is_an_answer(sentence):
    assert not refuses(sentence, "Who built the bridge, and which colour has it?")


@pytest.mark.parametrize("sentence", ["The power source is not included.", "Source maps are not included in the build."])
def test_a_denial_answers_yes_or_no(sentence):
    assert not refuses(sentence, "Is the power source included? Are source maps included in the build?")


@pytest.mark.parametrize(
    "sentence",
    [
        "There's no mention of the architect.",
        "The docs don't tell us that.",
        "That isn't something the docs go into.",
        "The knowledge base has nothing on this.",
    ],
)
def test_documents_have_more_names(sentence):
    assert refuses(sentence, "Who was the architect of the bridge?")
