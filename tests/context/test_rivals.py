"""Other names of the documents in a name's place."""

import dataclasses

import numpy as np
import pytest

from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.rivals import NAMES, OTHERS, rivals
from llmattr.core.evidence import RIVAL, Rival
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut

DOCUMENT = (
    "The bridge was drawn by Karl Lund in 1932. Ana Petrov built it in May 1936. It is 82 km from Varna. It cost 77 euros."
)
QUESTION = "Who built the bridge in Varna?"


@dataclasses.dataclass(frozen=True)
class Likes:
    """A model that gives the last token of a response the log-probability of the first of these texts that stands in it."""

    tokenizer: object
    nats: dict
    asked: list = dataclasses.field(default_factory=list)
    name, window, kind = "likes", None, "causal"
    generate = record = fingerprint = dict  # a scorer has them; nobody asks here

    def score(self, requests):
        for i, request in enumerate(requests):
            text = self.tokenizer.decode(request.ids[request.response])
            self.asked.append(text.strip())
            yield i, self(text, len(request.ids[request.response]))

    def __call__(self, text, tokens):
        return np.append(np.zeros(tokens - 1), next((nats for name, nats in self.nats.items() if name in text), -50.0))


@pytest.fixture
def run(tiny):
    def found(answer, nats, targets=(1,), document=DOCUMENT):
        chat = conversation(document, QUESTION)
        prompt = Prompt(tiny.tokenizer, chat, cut(chat, "sentences")).with_response(answer)
        lm = Likes(tiny.tokenizer, nats)
        ablation = ContextAblation(lm, prompt, prompt.targets())
        return rivals(ablation, QUESTION, lm(answer, len(prompt.response_ids)), targets), lm.asked

    return found


def test_the_likelier_name_of_the_documents_is_the_rival(run):
    answer = "Karl Lund built it."
    found, asked = run(answer, {"Karl Lund": -9.0, "Ana Petrov": -2.0})
    assert found == {1: Rival(0, 9, "Ana Petrov", 7.0)}
    assert asked == ["Ana Petrov built it."]  # no month, no number, and no name of the question, in a name's place


@pytest.mark.parametrize(("gain", "is_rival"), [(RIVAL - 1e-9, False), (RIVAL, True), (-RIVAL, False)])
def test_it_must_be_far_likelier(run, gain, is_rival):
    found, _ = run("Karl Lund built it.", {"Karl Lund": -9.0, "Ana Petrov": -9.0 + gain})
    assert bool(found) is is_rival


def test_years_stand_for_years_months_for_months_and_measures_for_what_they_measure(run):
    document = f"{DOCUMENT} It opened in June. It is 9 m long."
    _, asked = run("It opened in May 1936, 82 km away.", {}, document=document)
    assert sorted(asked) == [
        "It opened in June 1936, 82 km away.",
        "It opened in May 1932, 82 km away.",
        "It opened in May 1936, 9 km away.",
    ]


def test_the_best_of_all_names_wins_and_the_rest_of_the_sentence_counts(run):
    found, _ = run("Karl Lund built it in 1932.", {"Karl Lund built it in 1936": -1.0, "Ana Petrov": -4.0, "Karl Lund": -9.0})
    assert found == {1: Rival(22, 26, "1936", 8.0)}


def test_each_sentence_is_tried_by_itself(run):
    found, asked = run("It opened in 1936. Karl Lund built it.", {"Ana": -1.0, "Lund": -9.0}, targets=(1, 2))
    assert found == {2: Rival(19, 28, "Ana Petrov", 8.0)}
    assert "It opened in 1932." in asked  # without the sentence behind it


def test_the_same_in_another_form_is_no_other_name(run):
    document = "The U.S. built it with the National Hockey League. It is 6 feet long, and 9 metres high."
    _, asked = run("With the NHL came the United States, six feet long.", {}, document=document)
    assert not [text for text in asked if "came the U.S." in text or "National Hockey League came" in text or " 6 " in text]


def test_what_is_tried_is_bounded(run):
    people = " ".join(
        f"{name} Aa came in {1900 + i}." for i, name in enumerate(["Bo", "Cy", "Di", "Ed", "Fay", "Gus", "Hal", "Ida"])
    )
    _, asked = run("Bo Aa came with Uma Oz, Pia Oz, Quin Oz and Rex Oz.", {}, document=people)
    assert len(asked) <= NAMES * OTHERS
